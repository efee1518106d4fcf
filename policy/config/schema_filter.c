/* filter: plugins with their settings, and what is done for each of their outcomes. */
#include "relay/base/nearest.h"
#include "policy/config/schema.h"

enum { DEADLINE_MS = 20000 };

/* Names that `filters` and `plugin` know besides the plugins themselves. */
static const struct {
	const char *name, *plugin;
} aliases[] = {{"antivirus", "clamav"}};

static const char *const plugins_not_yet[] = {"spf", "dkim", "dmarc", "dkim_sign", "disclaimer"};

enum {
	ALIASES = sizeof(aliases) / sizeof(aliases[0]),
	PLUGINS_NOT_YET = sizeof(plugins_not_yet) / sizeof(plugins_not_yet[0])
};

static const struct pnf_about *
plugin_named(const struct reading *r, struct span name)
{
	for (size_t i = 0; r->plugins[i] != NULL; i++)
		if (span_eq(name, span_str(r->plugins[i]->name)))
			return r->plugins[i];
	return NULL;
}

static const struct pnf_about *
plugin_find(const struct reading *r, struct span name)
{
	const struct pnf_about *p = plugin_named(r, name);

	for (size_t i = 0; i < ALIASES && p == NULL; i++)
		if (span_eq(name, span_str(aliases[i].name)))
			p = plugin_named(r, span_str(aliases[i].plugin));
	return p;
}

static bool
is_not_yet(struct span name)
{
	for (size_t i = 0; i < PLUGINS_NOT_YET; i++)
		if (span_eq(name, span_str(plugins_not_yet[i])))
			return true;
	return false;
}

static void
known_add_plugins(struct known *k, const struct reading *r)
{
	for (size_t i = 0; r->plugins[i] != NULL; i++)
		schema_known_add(k, r->plugins[i]->name, true);
	for (size_t i = 0; i < ALIASES; i++)
		if (plugin_find(r, span_str(aliases[i].name)) != NULL)
			schema_known_add(k, aliases[i].name, true);
	for (size_t i = 0; i < PLUGINS_NOT_YET; i++)
		schema_known_add(k, plugins_not_yet[i], false);
}

/* --- actions -------------------------------------------------------------------------------- */

static size_t
count_outcomes(const struct pnf_about *p)
{
	size_t n = 0;

	while (p->outcomes != NULL && p->outcomes[n].name != NULL)
		n++;
	return n;
}

static size_t
count_options(const struct pnf_about *p)
{
	size_t n = 0;

	while (p->options != NULL && p->options[n].name != NULL)
		n++;
	return n;
}

/* Index of the outcome of this name; the count of outcomes: none. */
static size_t
find_outcome(const struct pnf_about *p, struct span name)
{
	size_t n = count_outcomes(p), i = 0;

	while (i < n && !span_eq(name, span_str(p->outcomes[i].name)))
		i++;
	return i;
}

static size_t
find_option(const struct pnf_about *p, struct span name)
{
	size_t n = count_options(p), i = 0;

	while (i < n && !span_eq(name, span_str(p->options[i].name)))
		i++;
	return i;
}

static void
known_add_actions(struct known *k)
{
	for (enum action a = ACTION_PASS; a <= ACTION_KEEP; a++)
		schema_known_add(k, action_name(a), action_is_supported(a));
}

static void
read_action(struct reading *r, const struct node *n, enum action *out)
{
	const struct value *v;
	struct known known = {.n = 0};
	enum action a;

	if (!schema_fits(r, n, RULE_ONE))
		return;
	v = n->first_value;
	if (!action_parse(v->text, &a)) {
		known_add_actions(&known);
		schema_known_complain(r, v->line, "action", "", v->text, &known);
	} else if (!action_is_supported(a)) {
		config_complain(r->complaints, v->line,
		    "action \"%s\" of \"%s\" is not in this version; write pass, tag, "
		    "quarantine, discard, tempfail, reject or keep",
		    action_name(a), SHOW(n->word));
	} else {
		*out = a;
	}
}

static void
read_failure(struct reading *r, const struct node *n, enum action *out)
{
	const struct value *v;
	enum action a;

	if (!schema_fits(r, n, RULE_ONE))
		return;
	v = n->first_value;
	if (span_eq(v->text, SPAN("tempfail")))
		*out = ACTION_TEMPFAIL;
	else if (span_eq(v->text, SPAN("tag")))
		*out = ACTION_TAG;
	else if (span_eq(v->text, SPAN("quarantine")))
		*out = ACTION_QUARANTINE;
	else if (span_eq(v->text, SPAN("pass")))
		config_complain(r->complaints, v->line,
		    "failure = \"pass\": a filter may not fail open; write tempfail, tag or "
		    "quarantine");
	else if (action_parse(v->text, &a) && !action_is_supported(a))
		config_complain(r->complaints, v->line,
		    "action \"%s\" of \"failure\" is not in this version; write tempfail, tag or "
		    "quarantine",
		    action_name(a));
	else
		config_complain(r->complaints, v->line,
		    "failure = \"%s\" is not what a failure may do; write tempfail, tag or "
		    "quarantine",
		    SHOW(v->text));
}

static void
default_actions(struct reading *r, const struct node *n, struct conf_filter *f)
{
	size_t count = count_outcomes(f->plugin);

	f->actions.failure = ACTION_TEMPFAIL;
	f->actions.outcomes = schema_keep_array(r, count, sizeof(f->actions.outcomes[0]));
	for (size_t i = 0; i < count; i++) {
		const struct pnf_outcome *o = &f->plugin->outcomes[i];

		if (action_parse(span_str(o->action), &f->actions.outcomes[i]) &&
		    action_is_supported(f->actions.outcomes[i]))
			continue;
		f->actions.outcomes[i] = ACTION_TEMPFAIL;
		if (n == NULL || n->kind != NODE_SECTION || schema_child(n, o->name) == NULL)
			config_complain(r->complaints, n != NULL ? n->line : 1,
			    "the action \"%s\" that plugin %s has for \"%s\" is not in this "
			    "version; set "
			    "%s in filter \"%s\" { }",
			    o->action != NULL ? o->action : "", f->plugin->name, o->name, o->name,
			    SHOW(span_str(f->name)));
	}
}

/* --- options -------------------------------------------------------------------------------- */

/* Fills number and values out of one or more written values; complains at each that is wrong. */
static void
read_option(struct reading *r, const struct node *n, struct conf_option *o)
{
	static const struct range any_time = {0, INT64_MAX, "from 0 up"};
	static const struct range any_number = {0, UINT32_MAX, "from 0 to 4294967295"};
	static const struct range any_size = {0, INT64_MAX, "from 0 up"};
	uint64_t size = 0;
	uint32_t number = 0;
	bool flag = false;

	if (!schema_fits(r, n, o->about->type == PNF_OPTION_LIST ? RULE_LIST : RULE_ONE))
		return;
	o->values = schema_keep_array(r, n->n_values, sizeof(o->values[0]));
	o->n_values = 0;
	for (const struct value *v = n->first_value; v != NULL; v = v->next)
		o->values[o->n_values++] = schema_keep_text(r, v->text);
	switch (o->about->type) {
	case PNF_OPTION_BOOL:
		if (schema_read_bool(r, n, &flag))
			o->number = flag;
		break;
	case PNF_OPTION_NUMBER:
		if (schema_read_number(r, n, &any_number, &number))
			o->number = number;
		break;
	case PNF_OPTION_SIZE:
		if (schema_read_size(r, n, &any_size, &size))
			o->number = (int64_t)size;
		break;
	case PNF_OPTION_TIME:
		(void)schema_read_time(r, n, &any_time, &o->number); /* or the fallback */
		break;
	case PNF_OPTION_TEXT:
	case PNF_OPTION_LIST:
		break;
	}
}

/* The fallback through the same grammar as if it stood in the file. */
static void
read_fallback(struct reading *r, struct conf_option *o)
{
	struct arena scratch;
	struct buf text = BUF_INIT(CONFIG_TEXT_MAX);
	const struct node *root;

	if (o->about->fallback == NULL || o->about->fallback[0] == '\0')
		return;
	arena_init(&scratch, CONFIG_MEMORY_MAX);
	(void)buf_addf(&text, "%s = %s", o->about->name, o->about->fallback); /* fits or is cut */
	root = config_tree_parse(buf_span(&text), &scratch, r->complaints);
	if (root->first != NULL && root->first->kind != NODE_SECTION)
		read_option(r, root->first, o);
	arena_free(&scratch);
	buf_free(&text);
}

static void
default_options(struct reading *r, struct conf_filter *f)
{
	f->n_options = count_options(f->plugin);
	f->options = schema_keep_array(r, f->n_options, sizeof(f->options[0]));
	for (size_t i = 0; i < f->n_options; i++) {
		f->options[i].about = &f->plugin->options[i];
		read_fallback(r, &f->options[i]);
	}
}

/* --- sections ------------------------------------------------------------------------------- */

static void
known_add_filter_words(struct known *k, const struct pnf_about *p, bool is_override)
{
	schema_known_add(k, "failure", true);
	for (size_t i = 0; i < count_outcomes(p); i++)
		schema_known_add(k, p->outcomes[i].name, true);
	if (is_override)
		return;
	schema_known_add(k, "plugin", true);
	schema_known_add(k, "deadline", true);
	for (size_t i = 0; i < count_options(p); i++)
		schema_known_add(k, p->options[i].name, true);
}

static void
complain_of_word(struct reading *r, const struct node *section, const struct node *n,
    const struct pnf_about *p, bool is_override)
{
	struct known known = {.n = 0};

	known_add_filter_words(&known, p, is_override);
	schema_known_complain(r, n->line, "word", schema_inside(section).text, n->word, &known);
}

/* A word that is the filter's own, not the plugin's; true when it was one. */
static bool
read_own_word(struct reading *r, const struct node *n, struct conf_filter *f)
{
	static const struct range range = {1, 3600000, "from 1ms to 1h"};

	if (span_eq(n->word, SPAN("plugin")))
		return true; /* read first, by filter_plugin */
	if (span_eq(n->word, SPAN("failure"))) {
		read_failure(r, n, &f->actions.failure);
		return true;
	}
	if (!span_eq(n->word, SPAN("deadline")))
		return false;
	if (schema_fits(r, n, RULE_ONE))
		(void)schema_read_time(r, n, &range, &f->deadline_ms); /* or the default */
	return true;
}

static void
read_filter_word(
    struct reading *r, const struct node *section, const struct node *n, struct conf_filter *f)
{
	size_t i;

	if (read_own_word(r, n, f) || f->plugin == NULL)
		return; /* of an unknown plugin no word can be judged */
	i = find_outcome(f->plugin, n->word);
	if (i < count_outcomes(f->plugin)) {
		read_action(r, n, &f->actions.outcomes[i]);
		return;
	}
	i = find_option(f->plugin, n->word);
	if (i == f->n_options) {
		complain_of_word(r, section, n, f->plugin, false);
		return;
	}
	f->options[i].is_given = true;
	read_option(r, n, &f->options[i]);
}

static void
complain_of_plugin(struct reading *r, unsigned line, const char *what, struct span name)
{
	struct known known = {.n = 0};

	if (is_not_yet(name)) {
		config_complain(r->complaints, line, "%s \"%s\" is not in this version; remove it",
		    what, SHOW(name));
		return;
	}
	known_add_plugins(&known, r);
	schema_known_complain(r, line, what, "", name, &known);
}

/* The plugin of a section: named by `plugin`, else like the section; NULL is complained of. */
static const struct pnf_about *
filter_plugin(struct reading *r, const struct node *section)
{
	const struct node *n = schema_child(section, "plugin");
	const struct pnf_about *p;
	struct span name = section->title;
	unsigned line = section->line;

	if (n != NULL) {
		if (!schema_fits(r, n, RULE_ONE))
			return NULL;
		name = n->first_value->text;
		line = n->first_value->line;
	}
	p = plugin_find(r, name);
	if (p == NULL)
		complain_of_plugin(r, line, n != NULL ? "plugin" : "filter", name);
	return p;
}

static struct conf_filter *
filter_new(struct reading *r, struct span name, const struct pnf_about *p, const struct node *n)
{
	struct conf_filter *f = &r->config->filters[r->config->n_filters++];

	*f = (struct conf_filter){
	    .name = schema_keep_text(r, name), .plugin = p, .deadline_ms = DEADLINE_MS};
	f->actions.failure = ACTION_TEMPFAIL;
	if (p != NULL) {
		default_actions(r, n, f);
		default_options(r, f);
	}
	return f;
}

void
schema_read_filters(struct reading *r)
{
	size_t count = config_tree_count_sections(r->root, "filter"), implied = 0;

	while (r->plugins[implied] != NULL)
		implied++; /* a plugin's name and its aliases each make one filter at most */
	r->config->filters =
	    schema_keep_array(r, count + implied + ALIASES, sizeof(r->config->filters[0]));
	for (const struct node *n = NULL;
	     (n = config_tree_section(r->root, n, "filter")) != NULL;) {
		struct conf_filter *f = filter_new(r, n->title, filter_plugin(r, n), n);

		for (const struct node *word = n->first; word != NULL; word = word->next)
			read_filter_word(r, n, word, f);
	}
}

/* Complains of a name in `filters` that is neither a section nor a plugin. */
static void
complain_of_filter(struct reading *r, const struct value *v)
{
	struct known known = {.n = 0};

	for (size_t i = 0; i < r->config->n_filters; i++)
		schema_known_add(&known, r->config->filters[i].name, true);
	known_add_plugins(&known, r);
	if (is_not_yet(v->text))
		config_complain(r->complaints, v->line,
		    "filter \"%s\" is not in this version; remove it", SHOW(v->text));
	else
		schema_known_complain(r, v->line, "filter", "", v->text, &known);
}

const struct conf_filter *
schema_filter_find(struct reading *r, const struct node *n, const struct value *v)
{
	const struct config *c = r->config;
	const struct pnf_about *p;

	for (size_t i = 0; i < c->n_filters; i++)
		if (span_eq(v->text, span_str(c->filters[i].name)))
			return &c->filters[i];
	p = plugin_find(r, v->text);
	if (p != NULL)
		return filter_new(r, v->text, p, n);
	complain_of_filter(r, v);
	return NULL;
}

void
schema_read_override(struct reading *r, const struct node *section, struct conf_flow_filter *filter)
{
	const struct pnf_about *p = filter->filter->plugin;

	for (const struct node *n = section->first; n != NULL; n = n->next) {
		size_t i;

		if (span_eq(n->word, SPAN("failure"))) {
			read_failure(r, n, &filter->actions.failure);
			continue;
		}
		if (p == NULL)
			continue;
		i = find_outcome(p, n->word);
		if (i < count_outcomes(p))
			read_action(r, n, &filter->actions.outcomes[i]);
		else if (span_eq(n->word, SPAN("plugin")) || span_eq(n->word, SPAN("deadline")) ||
			 find_option(p, n->word) < count_options(p))
			config_complain(r->complaints, n->line,
			    "\"%s\" cannot differ by flow, only actions can; write it into filter "
			    "\"%s\" "
			    "{ } outside the flow",
			    SHOW(n->word), SHOW(section->title));
		else
			complain_of_word(r, section, n, p, true);
	}
}

/* filter: plugins with their settings, and what is done for each of their outcomes. */
#include "relay/base/nearest.h"
#include "policy/config/schema.h"

enum { DEADLINE_MS = 20000, MAX_FAILURES = 5, PAUSE_MS = 30000 };
enum { LOAD_MS = 60000, LOAD_DATABASES_MS = 900000 };

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
		schema_known_add(k, action_name(a), true);
}

static void
read_action(
    struct reading *r, const struct node *n, const struct pnf_about *plugin, enum action *out)
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
	} else if (a == ACTION_NORMALISE && !config_can_normalise(plugin, n->word)) {
		config_complain(r->complaints, v->line,
		    "action \"normalise\" of \"%s\": only \"malformed\" of antivirus is about how "
		    "a "
		    "message can be read; write pass, tag, %squarantine, discard, hold, tempfail, "
		    "reject or keep",
		    SHOW(n->word), plugin->may & PNF_MAY_NAME_PARTS ? "strip, " : "");
	} else if (a == ACTION_STRIP && !(plugin->may & PNF_MAY_NAME_PARTS)) {
		config_complain(r->complaints, v->line,
		    "action \"strip\" of \"%s\": plugin %s does not say which part it is about; "
		    "write pass, tag, quarantine, discard, hold, tempfail, reject or keep",
		    SHOW(n->word), plugin->name);
	} else {
		*out = a;
	}
}

static void
read_failure(struct reading *r, const struct node *n, enum action *out)
{
	const struct value *v;

	if (!schema_fits(r, n, RULE_ONE))
		return;
	v = n->first_value;
	if (span_eq(v->text, SPAN("tempfail")))
		*out = ACTION_TEMPFAIL;
	else if (span_eq(v->text, SPAN("tag")))
		*out = ACTION_TAG;
	else if (span_eq(v->text, SPAN("hold")))
		*out = ACTION_HOLD;
	else if (span_eq(v->text, SPAN("quarantine")))
		*out = ACTION_QUARANTINE;
	else if (span_eq(v->text, SPAN("pass")))
		config_complain(r->complaints, v->line,
		    "failure = \"pass\": a filter may not fail open; write tempfail, tag, hold or "
		    "quarantine");
	else
		config_complain(r->complaints, v->line,
		    "failure = \"%s\" is not what a failure may do; write tempfail, tag, hold "
		    "or quarantine",
		    SHOW(v->text));
}

static void
default_actions(struct reading *r, const struct node *n, struct conf_filter *f)
{
	size_t count = count_outcomes(f->plugin);

	f->actions.failure = ACTION_TEMPFAIL;
	f->actions.outcomes = schema_keep_array(r, count, sizeof(f->actions.outcomes[0]));
	f->is_said = schema_keep_array(r, count, sizeof(f->is_said[0]));
	for (size_t i = 0; i < count; i++) {
		const struct pnf_outcome *o = &f->plugin->outcomes[i];

		if (action_parse(span_str(o->action), &f->actions.outcomes[i]))
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

/* The fallback through the same grammar as if it stood in the file; one that is wrong is the plugin's
 * fault, told at the line that asks for it. */
static void
read_fallback(
    struct reading *r, struct conf_option *o, const struct pnf_about *plugin, unsigned line)
{
	struct complaints *outer = r->complaints, own = {.n = 0};
	struct arena scratch;
	struct buf text = BUF_INIT(CONFIG_TEXT_MAX);
	const struct node *root;

	if (o->about->fallback == NULL || o->about->fallback[0] == '\0')
		return;
	arena_init(&scratch, CONFIG_MEMORY_MAX);
	(void)buf_addf(&text, "%s = %s", o->about->name, o->about->fallback); /* fits or is cut */
	r->complaints = &own;
	root = config_tree_parse(buf_span(&text), &scratch, r->complaints);
	if (root->first != NULL && root->first->kind != NODE_SECTION)
		read_option(r, root->first, o);
	r->complaints = outer;
	if (own.n > 0)
		config_complain(r->complaints, line,
		    "plugin \"%s\" has a wrong fallback of an option: %s; have it corrected",
		    plugin->name, own.items[0].text);
	config_complaints_free(&own);
	arena_free(&scratch);
	buf_free(&text);
}

static void
default_options(struct reading *r, struct conf_filter *f, unsigned line)
{
	f->n_options = count_options(f->plugin);
	f->options = schema_keep_array(r, f->n_options, sizeof(f->options[0]));
	for (size_t i = 0; i < f->n_options; i++) {
		f->options[i].about = &f->plugin->options[i];
		read_fallback(r, &f->options[i], f->plugin, line);
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
	schema_known_add(k, "max_failures", true);
	schema_known_add(k, "pause", true);
	schema_known_add(k, "load_deadline", true);
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
	static const struct range load = {1000, 3600000, "from 1s to 1h"};
	static const struct range count = {1, 1000000, "from 1 to 1000000"};

	if (span_eq(n->word, SPAN("plugin")))
		return true; /* read first, by filter_plugin */
	if (span_eq(n->word, SPAN("failure"))) {
		f->is_failure_said = true;
		read_failure(r, n, &f->actions.failure);
		return true;
	}
	if (span_eq(n->word, SPAN("deadline"))) {
		if (schema_fits(r, n, RULE_ONE))
			(void)schema_read_time(r, n, &range, &f->deadline_ms); /* or the default */
		return true;
	}
	if (span_eq(n->word, SPAN("pause"))) {
		if (schema_fits(r, n, RULE_ONE))
			(void)schema_read_time(r, n, &range, &f->pause_ms); /* or the default */
		return true;
	}
	if (span_eq(n->word, SPAN("load_deadline"))) {
		if (schema_fits(r, n, RULE_ONE))
			(void)schema_read_time(r, n, &load, &f->load_ms); /* or the default */
		return true;
	}
	if (!span_eq(n->word, SPAN("max_failures")))
		return false;
	if (schema_fits(r, n, RULE_ONE))
		(void)schema_read_number(r, n, &count, &f->max_failures); /* or the default */
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
		f->is_said[i] = true;
		read_action(r, n, f->plugin, &f->actions.outcomes[i]);
		return;
	}
	i = find_option(f->plugin, n->word);
	if (i == f->n_options) {
		complain_of_word(r, section, n, f->plugin, false);
		return;
	}
	f->options[i].is_given = true;
	read_option(r, n, &f->options[i]);
	for (size_t k = 0; k < f->options[i].n_values; k++)
		schema_note_place(r, f->options[i].values[k], n->line, false);
}

/* No word that is known comes near it: it is no slip of the pen. */
static bool
is_strange(const struct known *k, struct span name)
{
	size_t i = nearest_word(name, k->words, k->n);

	return i == k->n || 2 * nearest_distance(name, span_str(k->words[i])) >= name.n;
}

/* Whoever writes a plugin reads this once: neither typed wrong nor where plugins are looked for. */
static void
complain_of_name(
    struct reading *r, unsigned line, const char *what, struct span name, const struct known *known)
{
	schema_known_complain(r, line, what,
	    is_strange(known, name)
		? " (not built in, and no plugin of the folder that \"plugins\" names)"
		: "",
	    name, known);
}

/* Its file is there, and what is wrong with that has been said. */
static bool
is_unread(struct reading *r, struct span name)
{
	for (size_t i = 0; r->unread != NULL && r->unread[i] != NULL; i++) {
		struct span file = span_str(r->unread[i]);

		if (span_eq(span_take(file, span_rfind(file, '.')), name)) {
			r->lacks_plugin = true;
			return true;
		}
	}
	return false;
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
	if (is_unread(r, name))
		return;
	known_add_plugins(&known, r);
	complain_of_name(r, line, what, name, &known);
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

	*f = (struct conf_filter){.name = schema_keep_text(r, name),
	    .plugin = p,
	    .line = n->line,
	    .deadline_ms = DEADLINE_MS,
	    .max_failures = MAX_FAILURES,
	    .pause_ms = PAUSE_MS,
	    .load_ms = LOAD_MS};
	f->actions.failure = ACTION_TEMPFAIL;
	if (p != NULL) {
		/* A folder of databases may be big, and the machine slow. */
		if (find_option(p, SPAN("databases")) < count_options(p))
			f->load_ms = LOAD_DATABASES_MS;
		default_actions(r, n, f);
		default_options(r, f, n->line);
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

	if (is_unread(r, v->text))
		return;
	for (size_t i = 0; i < r->config->n_filters; i++)
		schema_known_add(&known, r->config->filters[i].name, true);
	known_add_plugins(&known, r);
	if (is_not_yet(v->text))
		config_complain(r->complaints, v->line,
		    "filter \"%s\" is not in this version; remove it", SHOW(v->text));
	else
		complain_of_name(r, v->line, "filter", v->text, &known);
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

static bool
is_own_word(struct span word)
{
	return span_eq(word, SPAN("plugin")) || span_eq(word, SPAN("deadline")) ||
	       span_eq(word, SPAN("max_failures")) || span_eq(word, SPAN("pause")) ||
	       span_eq(word, SPAN("load_deadline"));
}

/* `where` is "flow" or "domain". */
static void
read_override(struct reading *r, const struct node *section, const struct pnf_about *p,
    struct conf_actions *actions, const char *where)
{
	for (const struct node *n = section->first; n != NULL; n = n->next) {
		size_t i;

		if (span_eq(n->word, SPAN("failure"))) {
			read_failure(r, n, &actions->failure);
			continue;
		}
		if (p == NULL)
			continue;
		i = find_outcome(p, n->word);
		if (i < count_outcomes(p))
			read_action(r, n, p, &actions->outcomes[i]);
		else if (is_own_word(n->word) || find_option(p, n->word) < count_options(p))
			config_complain(r->complaints, n->line,
			    "\"%s\" cannot differ by %s, only actions can; write it into filter "
			    "\"%s\" "
			    "{ } outside the %s",
			    SHOW(n->word), where, SHOW(section->title), where);
		else
			complain_of_word(r, section, n, p, true);
	}
}

/* Which outcomes a section has words for. */
static bool *
said_in(struct reading *r, const struct node *section, const struct pnf_about *p)
{
	size_t n = count_outcomes(p);
	bool *is_said = schema_keep_array(r, n, sizeof(is_said[0]));

	for (size_t i = 0; i < n; i++)
		is_said[i] = schema_child(section, p->outcomes[i].name) != NULL;
	return is_said;
}

void
schema_read_override(struct reading *r, const struct node *section, struct conf_flow_filter *filter)
{
	read_override(r, section, filter->filter->plugin, &filter->actions, "flow");
	filter->is_failure_said = schema_child(section, "failure") != NULL;
	if (filter->filter->plugin != NULL)
		filter->is_said = said_in(r, section, filter->filter->plugin);
}

/* A filter that some flow runs; NULL, complained of. */
static const struct conf_filter *
running_filter(struct reading *r, const struct node *section)
{
	const struct config *c = r->config;

	for (size_t i = 0; i < c->n_flows; i++)
		for (size_t k = 0; k < c->flows[i].n_filters; k++)
			if (span_eq(section->title, span_str(c->flows[i].filters[k].filter->name)))
				return c->flows[i].filters[k].filter;
	config_complain(r->complaints, section->line,
	    "filter \"%s\" is in filters of no flow; add it there or remove this",
	    SHOW(section->title));
	return NULL;
}

static void
read_domain_override(struct reading *r, const struct node *section, struct conf_domain *d)
{
	const struct conf_filter *f = running_filter(r, section);
	struct conf_override *o;
	size_t n;

	if (f == NULL || f->plugin == NULL)
		return; /* complained of, here or at the filter */
	n = count_outcomes(f->plugin);
	o = &d->overrides[d->n_overrides++];
	*o = (struct conf_override){.filter = f,
	    .actions.outcomes = schema_keep_array(r, n, sizeof(o->actions.outcomes[0])),
	    .is_said = said_in(r, section, f->plugin),
	    .is_failure_said = schema_child(section, "failure") != NULL};
	read_override(r, section, f->plugin, &o->actions, "domain");
}

/* The domain that a section has made; of two whose titles differ by case only the first. */
static struct conf_domain *
domain_of_section(const struct reading *r, const struct node *section)
{
	bool has_subdomains = section->title.n > 0 && section->title.p[0] == '.';
	struct span name = span_skip(section->title, has_subdomains ? 1 : 0);

	for (size_t i = 0; i < r->config->n_domains; i++) {
		struct conf_domain *d = &r->config->domains[i];

		if (d->has_subdomains == has_subdomains && span_eq_nocase(name, span_str(d->name)))
			return d;
	}
	return NULL;
}

void
schema_read_domain_overrides(struct reading *r)
{
	for (const struct node *section = NULL;
	     (section = config_tree_section(r->root, section, "domain")) != NULL;) {
		size_t n = config_tree_count_sections(section, "filter");
		struct conf_domain *d = n > 0 ? domain_of_section(r, section) : NULL;

		if (d == NULL || d->overrides != NULL)
			continue;
		d->overrides = schema_keep_array(r, n, sizeof(d->overrides[0]));
		for (const struct node *f = NULL;
		     (f = config_tree_section(section, f, "filter")) != NULL;)
			read_domain_override(r, f, d);
	}
}

/* flow: who may use it and what is done to its mail. */
#include "policy/config/scalar.h"
#include "policy/config/schema.h"

enum { MAX_RECIPIENTS = 100, MAX_SIZE_MB = 50 };

static void
read_clients(struct reading *r, const struct node *n, void *to)
{
	if (n->n_values == 0)
		config_complain(r->complaints, n->line,
		    "\"clients\" is empty; write clients = {\"10.0.0.0/8\"}, or remove it to let "
		    "anyone connect");
	schema_read_nets(r, n, &((struct conf_flow *)to)->clients);
}

static void
read_relay(struct reading *r, const struct node *n, void *to)
{
	static const struct choice choices[] = {
	    {"domains", RELAY_DOMAINS, true}, {"any", RELAY_ANY, true}, {NULL, 0, false}};
	int value;

	if (schema_choice(r, n, n->first_value, choices, &value))
		((struct conf_flow *)to)->relay = (enum relay_rule)value;
}

static void
read_flow_gateway(struct reading *r, const struct node *n, void *to)
{
	struct conf_flow *f = to;
	struct span name = n->first_value->text;

	f->gateway = config_gateway(r->config, name);
	if (f->gateway == NULL)
		schema_complain_missing(r, n->first_value->line, "gateway", name);
}

static void
read_refuse_at(struct reading *r, const struct node *n, void *to)
{
	static const struct choice choices[] = {
	    {"rcpt", REFUSE_AT_RCPT, true}, {"banner", REFUSE_AT_BANNER, true}, {NULL, 0, false}};
	int value;

	if (schema_choice(r, n, n->first_value, choices, &value))
		((struct conf_flow *)to)->refuse_at = (enum refuse_at)value;
}

static bool
has_filter(const struct conf_flow *f, const struct conf_filter *filter)
{
	for (size_t i = 0; i < f->n_filters; i++)
		if (f->filters[i].filter == filter)
			return true;
	return false;
}

static void
add_filter(struct reading *r, struct conf_flow *f, const struct conf_filter *filter)
{
	struct conf_flow_filter *ff = &f->filters[f->n_filters++];
	size_t n = 0;

	*ff = (struct conf_flow_filter){.filter = filter, .actions = filter->actions};
	if (filter->plugin == NULL)
		return; /* complained of at its section */
	while (filter->plugin->outcomes != NULL && filter->plugin->outcomes[n].name != NULL)
		n++;
	ff->actions.outcomes = schema_keep_array(r, n, sizeof(ff->actions.outcomes[0]));
	if (n > 0)
		memcpy(ff->actions.outcomes, filter->actions.outcomes,
		    n * sizeof(ff->actions.outcomes[0]));
}

static void
read_flow_filters(struct reading *r, const struct node *n, void *to)
{
	struct conf_flow *f = to;

	for (const struct value *v = n->first_value; v != NULL; v = v->next) {
		const struct conf_filter *filter = schema_filter_find(r, n, v);

		if (filter == NULL)
			continue;
		if (has_filter(f, filter)) {
			config_complain(r->complaints, v->line,
			    "filters has \"%s\" twice; keep one", SHOW(v->text));
		} else if (f->n_filters == CONFIG_FILTERS_MAX) {
			config_complain(r->complaints, v->line,
			    "more than %d filters in one flow; remove \"%s\" and those behind it",
			    CONFIG_FILTERS_MAX, SHOW(v->text));
			return;
		} else {
			add_filter(r, f, filter);
		}
	}
}

static void
read_threshold(struct reading *r, const struct node *n, void *to)
{
	struct conf_score *s = to;
	enum action a;

	must(action_parse(n->word, &a)); /* it stands in the table */
	s->has[a] = scalar_milli(n->first_value->text, &s->milli[a]);
	if (!s->has[a])
		config_complain(r->complaints, n->first_value->line,
		    "%s = \"%s\" is not a score; write a number like 4, 2.5 or -1, with at most "
		    "three "
		    "decimals",
		    SHOW(n->word), SHOW(n->first_value->text));
}

/* A stronger action needs at least the score of a weaker one, or the weaker never happens. */
static void
check_order(struct reading *r, const struct node *section, const struct conf_score *s)
{
	enum action weaker = ACTION_PASS;

	for (enum action a = ACTION_TAG; a <= ACTION_KEEP; a++) {
		if (!s->has[a])
			continue;
		if (weaker != ACTION_PASS && s->milli[weaker] > s->milli[a])
			config_complain(r->complaints, schema_child(section, action_name(a))->line,
			    "%s has a lower score than %s; make it %s <= %s", action_name(a),
			    action_name(weaker), action_name(weaker), action_name(a));
		weaker = a;
	}
}

static void
read_score(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {
	    {"tag", RULE_ONE, read_threshold},
	    {"quarantine", RULE_ONE, read_threshold},
	    {"discard", RULE_ONE, read_threshold},
	    {"hold", RULE_ONE, read_threshold},
	    {"tempfail", RULE_ONE, read_threshold},
	    {"reject", RULE_ONE, read_threshold},
	    {"keep", RULE_ONE, read_threshold},
	    {NULL, RULE_ONE, NULL},
	};
	struct conf_score *s = &((struct conf_flow *)to)->score;

	schema_read(r, n, rules, s);
	check_order(r, n, s);
}

static void
read_max_size(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {1024, (int64_t)2 << 30, "from 1K to 2G"};

	(void)schema_read_size(
	    r, n, &range, &((struct conf_flow *)to)->max_size); /* or the default */
}

static void
read_max_recipients(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {1, 10000, "from 1 to 10000"};

	(void)schema_read_number(
	    r, n, &range, &((struct conf_flow *)to)->max_recipients); /* or the default */
}

static void
read_strip_tags(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_bool(r, n, &((struct conf_flow *)to)->strip_tags); /* or the default */
}

static const struct rule flow_rules[] = {
    {"clients", RULE_LIST, read_clients},
    {"relay", RULE_ONE, read_relay},
    {"gateway", RULE_ONE, read_flow_gateway},
    {"refuse_at", RULE_ONE, read_refuse_at},
    {"connect", RULE_LIST, schema_read_connect},
    {"greet", RULE_SECTION, schema_read_greet},
    {"rate", RULE_SECTION, schema_read_rate},
    {"greylist", RULE_SECTION, schema_read_greylist},
    {"sender", RULE_SECTION, schema_read_sender},
    {"filters", RULE_LIST, read_flow_filters},
    {"filter", RULE_TITLED, NULL}, /* after all the others, by read_overrides */
    {"score", RULE_SECTION, read_score},
    {"max_size", RULE_ONE, read_max_size},
    {"max_recipients", RULE_ONE, read_max_recipients},
    {"strip_tags", RULE_ONE, read_strip_tags},
    {"dkim_sign", RULE_NOT_YET, NULL},
    {"disclaimer", RULE_NOT_YET, NULL},
    {NULL, RULE_ONE, NULL},
};

static struct conf_flow_filter *
flow_filter(struct conf_flow *f, struct span name)
{
	for (size_t i = 0; i < f->n_filters; i++)
		if (span_eq(name, span_str(f->filters[i].filter->name)))
			return &f->filters[i];
	return NULL;
}

static bool
lists_filter(const struct node *section, struct span name)
{
	const struct node *n = schema_child(section, "filters");

	for (const struct value *v = n != NULL ? n->first_value : NULL; v != NULL; v = v->next)
		if (span_eq(v->text, name))
			return true;
	return false;
}

static void
read_overrides(struct reading *r, const struct node *section, struct conf_flow *f)
{
	for (const struct node *n = NULL;
	     (n = config_tree_section(section, n, "filter")) != NULL;) {
		struct conf_flow_filter *filter = flow_filter(f, n->title);

		if (filter != NULL)
			schema_read_override(r, n, filter);
		else if (!lists_filter(section, n->title)) /* else the list was complained of */
			config_complain(r->complaints, n->line,
			    "filter \"%s\" is not in filters of %s; add it there or remove this",
			    SHOW(n->title), schema_place(section).text);
	}
}

/* What the words of a flow mean together. */
static void
check_flow(struct reading *r, const struct node *n, const struct conf_flow *f)
{
	const struct node *gateway = schema_child(n, "gateway");
	struct shown place = schema_place(n);

	if (f->relay == RELAY_DOMAINS) {
		if (gateway != NULL)
			config_complain(r->complaints, gateway->line,
			    "\"gateway\" has a meaning with relay = \"any\" only; remove it");
		if (schema_child(r->root, "domain") == NULL)
			config_complain(r->complaints, n->line,
			    "%s relays to the domains, but there is none; add domain "
			    "\"example.org\" { "
			    "gateway = NAME }",
			    place.text);
		return;
	}
	if (gateway == NULL)
		config_complain(r->complaints, n->line,
		    "%s has relay = \"any\" but no gateway, and delivery by MX is not in this "
		    "version; "
		    "add gateway = NAME",
		    place.text);
	if (schema_child(n, "clients") == NULL)
		config_complain(r->complaints, n->line,
		    "%s has relay = \"any\" for anyone, which is an open relay; add clients = "
		    "{\"10.0.0.0/8\"}",
		    place.text);
}

void
schema_read_flows(struct reading *r)
{
	struct config *c = r->config;
	size_t count = config_tree_count_sections(r->root, "flow");

	if (count == 0)
		config_complain(r->complaints, 1, "no flow section; add flow \"inbound\" { }");
	c->flows = schema_keep_array(r, count, sizeof(c->flows[0]));
	for (const struct node *n = NULL; (n = config_tree_section(r->root, n, "flow")) != NULL;) {
		struct conf_flow *f = &c->flows[c->n_flows++];

		f->name = schema_keep_text(r, n->title);
		schema_connect_defaults(f);
		f->max_size = (uint64_t)MAX_SIZE_MB << 20;
		f->max_recipients = MAX_RECIPIENTS;
		schema_read(r, n, flow_rules, f);
		read_overrides(r, n, f);
		schema_check_connect(r, n, f);
		check_flow(r, n, f);
	}
}

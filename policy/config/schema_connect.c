/* What a flow asks of who connects: connect, greet, rate, greylist. */
#include "policy/config/scalar.h"
#include "policy/config/schema.h"

enum {
	DAY_MS = 24 * 60 * 60 * 1000,
	GREET_WAIT_MS = 2000,
	GREET_WAIT_MAX_MS = 30000,
	DELAY_MS = 5 * 60 * 1000,
	WINDOW_DAYS = 2,
	KEEP_DAYS = 35,
	KNOWN_CLIENTS = 5,
	ALLOWANCE_MAX = 1000000
};

void
schema_connect_defaults(struct conf_flow *f)
{
	/* rate without a section limits nothing. */
	f->connect = CONNECT_ACCESS | CONNECT_DNSBL | CONNECT_PTR | CONNECT_RATE;
	f->greet_wait_ms = GREET_WAIT_MS;
	f->greylist = (struct conf_greylist){.delay_ms = DELAY_MS,
	    .window_ms = (int64_t)WINDOW_DAYS * DAY_MS,
	    .keep_ms = (int64_t)KEEP_DAYS * DAY_MS,
	    .clients = KNOWN_CLIENTS};
	schema_sender_defaults(&f->sender);
}

void
schema_read_connect(struct reading *r, const struct node *n, void *to)
{
	static const struct choice choices[] = {{"access", CONNECT_ACCESS, true},
	    {"dnsbl", CONNECT_DNSBL, true}, {"ptr", CONNECT_PTR, true},
	    {"greet", CONNECT_GREET, true}, {"rate", CONNECT_RATE, true},
	    {"greylist", CONNECT_GREYLIST, true}, {"sender", CONNECT_SENDER, true},
	    {NULL, 0, false}};
	struct conf_flow *f = to;
	int value;

	f->connect = 0;
	for (const struct value *v = n->first_value; v != NULL; v = v->next) {
		if (!schema_choice(r, n, v, choices, &value))
			continue;
		if (f->connect & (unsigned)value)
			config_complain(r->complaints, v->line,
			    "connect has \"%s\" twice; keep one", SHOW(v->text));
		f->connect |= (unsigned)value;
	}
}

static void
read_wait(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {0, GREET_WAIT_MAX_MS, "from 0s to 30s"};

	(void)schema_read_time(
	    r, n, &range, &((struct conf_flow *)to)->greet_wait_ms); /* or the default */
}

void
schema_read_greet(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {{"wait", RULE_ONE, read_wait}, {NULL, RULE_ONE, NULL}};

	schema_read(r, n, rules, to);
}

static void
read_connections(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {1, 20000, "from 1 to 20000"};

	(void)schema_read_number(
	    r, n, &range, &((struct conf_rate *)to)->connections); /* or no limit */
}

/* "100/1m": so many in so long. */
static bool
parse_allowance(struct span text, uint64_t *count, int64_t *per_ms)
{
	size_t slash = span_find(text, '/');

	return slash < text.n && span_to_u64(span_take(text, slash), count) && *count >= 1 &&
	       *count <= ALLOWANCE_MAX && scalar_time(span_skip(text, slash + 1), per_ms) &&
	       *per_ms >= 1000 && *per_ms <= DAY_MS;
}

static void
read_allowance(struct reading *r, const struct node *n, struct conf_allowance *to)
{
	struct span text;
	uint64_t count;
	int64_t per_ms;

	if (!schema_read_text(r, n, &text))
		return;
	if (!parse_allowance(text, &count, &per_ms))
		config_complain(r->complaints, n->first_value->line,
		    "%s = \"%s\" is no rate; write how many, from 1 to %d, in how long, from 1s to "
		    "1d: \"100/1m\"",
		    SHOW(n->word), SHOW(text), ALLOWANCE_MAX);
	else
		*to = (struct conf_allowance){(uint32_t)count, per_ms, schema_keep_text(r, text)};
}

static void
read_messages(struct reading *r, const struct node *n, void *to)
{
	read_allowance(r, n, &((struct conf_rate *)to)->messages);
}

static void
read_recipients(struct reading *r, const struct node *n, void *to)
{
	read_allowance(r, n, &((struct conf_rate *)to)->recipients);
}

static void
read_errors(struct reading *r, const struct node *n, void *to)
{
	read_allowance(r, n, &((struct conf_rate *)to)->errors);
}

void
schema_read_rate(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {{"connections", RULE_ONE, read_connections},
	    {"messages", RULE_ONE, read_messages}, {"recipients", RULE_ONE, read_recipients},
	    {"errors", RULE_ONE, read_errors}, {NULL, RULE_ONE, NULL}};

	schema_read(r, n, rules, &((struct conf_flow *)to)->rate);
}

static void
read_delay(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {1000, DAY_MS, "from 1s to 1d"};

	(void)schema_read_time(
	    r, n, &range, &((struct conf_greylist *)to)->delay_ms); /* or the default */
}

static void
read_window(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {2000, (int64_t)30 * DAY_MS, "from 2s to 30d"};

	(void)schema_read_time(
	    r, n, &range, &((struct conf_greylist *)to)->window_ms); /* or the default */
}

static void
read_keep(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {2000, (int64_t)365 * DAY_MS, "from 2s to 365d"};

	(void)schema_read_time(
	    r, n, &range, &((struct conf_greylist *)to)->keep_ms); /* or the default */
}

static void
read_known_clients(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {0, 1000, "from 0 (never) to 1000"};

	(void)schema_read_number(
	    r, n, &range, &((struct conf_greylist *)to)->clients); /* or the default */
}

void
schema_read_greylist(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {{"delay", RULE_ONE, read_delay},
	    {"window", RULE_ONE, read_window}, {"keep", RULE_ONE, read_keep},
	    {"clients", RULE_ONE, read_known_clients}, {NULL, RULE_ONE, NULL}};
	struct conf_greylist *g = &((struct conf_flow *)to)->greylist;

	schema_read(r, n, rules, g);
	if (g->window_ms <= g->delay_ms)
		config_complain(r->complaints, n->line,
		    "greylist: the window closes before the delay is over, so no mail ever passes; "
		    "make window longer than delay");
}

/* A section whose word `connect` leaves out does nothing: said, since somebody meant it to. */
void
schema_check_connect(struct reading *r, const struct node *flow, const struct conf_flow *f)
{
	static const struct {
		const char *word;
		unsigned bit;
	} sections[] = {{"greet", CONNECT_GREET}, {"rate", CONNECT_RATE},
	    {"greylist", CONNECT_GREYLIST}, {"sender", CONNECT_SENDER}};

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		const struct node *n = schema_child(flow, sections[i].word);

		if (n != NULL && (f->connect & sections[i].bit) == 0)
			config_complain(r->complaints, n->line,
			    "%s { } does nothing while connect of %s leaves out \"%s\"; add it "
			    "there, or remove this",
			    sections[i].word, schema_place(flow).text, sections[i].word);
	}
}

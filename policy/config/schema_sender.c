/* What a flow does when the DNS says of the sender's domain that nobody can answer: sender. */
#include "policy/config/scalar.h"
#include "policy/config/schema.h"

void
schema_sender_defaults(struct conf_sender *s)
{
	*s = (struct conf_sender){.missing = ACTION_REJECT,
	    .null_mx = ACTION_REJECT,
	    .unreachable = ACTION_TAG,
	    .private = ACTION_TAG,
	    .canary = "com"};
}

/* What the DNS denies may refuse. */
static void
read_denied(struct reading *r, const struct node *n, enum action *to)
{
	static const struct choice choices[] = {{"pass", ACTION_PASS, true},
	    {"tag", ACTION_TAG, true}, {"tempfail", ACTION_TEMPFAIL, true},
	    {"reject", ACTION_REJECT, true}, {NULL, 0, false}};
	int value;

	if (schema_choice(r, n, n->first_value, choices, &value))
		*to = (enum action)value;
}

/* What only looks wrong may mark. */
static void
read_odd(struct reading *r, const struct node *n, enum action *to)
{
	static const struct choice choices[] = {
	    {"pass", ACTION_PASS, true}, {"tag", ACTION_TAG, true}, {NULL, 0, false}};
	int value;

	if (schema_choice(r, n, n->first_value, choices, &value))
		*to = (enum action)value;
}

static void
read_missing(struct reading *r, const struct node *n, void *to)
{
	read_denied(r, n, &((struct conf_sender *)to)->missing);
}

static void
read_null_mx(struct reading *r, const struct node *n, void *to)
{
	read_denied(r, n, &((struct conf_sender *)to)->null_mx);
}

static void
read_unreachable(struct reading *r, const struct node *n, void *to)
{
	read_odd(r, n, &((struct conf_sender *)to)->unreachable);
}

static void
read_private(struct reading *r, const struct node *n, void *to)
{
	read_odd(r, n, &((struct conf_sender *)to)->private);
}

static void
read_canary(struct reading *r, const struct node *n, void *to)
{
	struct span name;

	if (!schema_read_text(r, n, &name))
		return;
	if (!scalar_is_host(name))
		config_complain(r->complaints, n->first_value->line,
		    "canary = \"%s\" is no name; write one that surely exists, like \"com\"",
		    SHOW(name));
	((struct conf_sender *)to)->canary = schema_keep_text(r, name);
}

void
schema_read_sender(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {{"missing", RULE_ONE, read_missing},
	    {"null_mx", RULE_ONE, read_null_mx}, {"unreachable", RULE_ONE, read_unreachable},
	    {"private", RULE_ONE, read_private}, {"canary", RULE_ONE, read_canary},
	    {NULL, RULE_ONE, NULL}};

	schema_read(r, n, rules, &((struct conf_flow *)to)->sender);
}

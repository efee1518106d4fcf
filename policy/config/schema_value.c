/* The readers of single values that schema.h declares. */
#include "policy/config/scalar.h"
#include "policy/config/schema.h"

bool
schema_read_text(struct reading *r, const struct node *n, struct span *out)
{
	if (n->first_value->text.n == 0) {
		config_complain(r->complaints, n->line,
		    "\"%s\" is empty; give it a value or remove it", SHOW(n->word));
		return false;
	}
	*out = n->first_value->text;
	return true;
}

static void
complain_of_type(struct reading *r, const struct node *n, const struct value *v, const char *type)
{
	config_complain(
	    r->complaints, v->line, "%s = \"%s\" is not %s", SHOW(n->word), SHOW(v->text), type);
}

static bool
is_within(struct reading *r, const struct node *n, const struct range *range, int64_t x)
{
	if (x >= range->min && x <= range->max)
		return true;
	config_complain(r->complaints, n->first_value->line,
	    "%s = \"%s\" is out of range; it goes %s", SHOW(n->word), SHOW(n->first_value->text),
	    range->text);
	return false;
}

bool
schema_read_bool(struct reading *r, const struct node *n, bool *out)
{
	if (scalar_bool(n->first_value->text, out))
		return true;
	complain_of_type(r, n, n->first_value, "true or false; write one of the two");
	return false;
}

bool
schema_read_number(
    struct reading *r, const struct node *n, const struct range *range, uint32_t *out)
{
	uint64_t value;

	if (!span_to_u64(n->first_value->text, &value)) {
		complain_of_type(r, n, n->first_value, "a number; write digits only");
		return false;
	}
	if (!is_within(r, n, range, value > INT64_MAX ? INT64_MAX : (int64_t)value))
		return false;
	*out = (uint32_t)value;
	return true;
}

bool
schema_read_size(struct reading *r, const struct node *n, const struct range *range, uint64_t *out)
{
	uint64_t value;

	if (!scalar_size(n->first_value->text, &value)) {
		complain_of_type(r, n, n->first_value, "a size; write one like 500K, 10M or 2G");
		return false;
	}
	if (!is_within(r, n, range, (int64_t)value))
		return false;
	*out = value;
	return true;
}

bool
schema_value_time(struct reading *r, const struct node *n, const struct value *v, int64_t *ms)
{
	if (scalar_time(v->text, ms))
		return true;
	complain_of_type(r, n, v, "a time; write one like 300ms, 20s, 5m, 4h or 7d");
	return false;
}

bool
schema_read_time(struct reading *r, const struct node *n, const struct range *range, int64_t *ms)
{
	int64_t value;

	if (!schema_value_time(r, n, n->first_value, &value) || !is_within(r, n, range, value))
		return false;
	*ms = value;
	return true;
}

bool
schema_read_path(struct reading *r, const struct node *n, const char **out)
{
	return schema_value_path(r, n, n->first_value, out);
}

bool
schema_value_path(struct reading *r, const struct node *n, const struct value *v, const char **out)
{
	struct span path = v->text;

	if (!scalar_is_path(path)) {
		complain_of_type(r, n, v, "an absolute path; write it from / on, without . and ..");
		return false;
	}
	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	*out = schema_keep_text(r, path);
	schema_note_place(r, *out, v->line, true);
	return true;
}

void
schema_read_nets(struct reading *r, const struct node *n, struct nets *out)
{
	out->items = schema_keep_array(r, n->n_values, sizeof(out->items[0]));
	for (const struct value *v = n->first_value; v != NULL; v = v->next)
		if (net_parse(v->text, &out->items[out->n]))
			out->n++;
		else
			complain_of_type(r, n, v,
			    "an address or a network without host bits; write one like 192.0.2.7, "
			    "10.0.0.0/8 or 2001:db8::/32");
}

bool
schema_value_endpoint(
    struct reading *r, const struct node *n, const struct value *v, struct endpoint *out)
{
	if (!ip_parse_with_port(v->text, &out->ip, &out->port)) {
		complain_of_type(r, n, v,
		    "an address with a port; write one like 192.0.2.1:25 or [2001:db8::1]:25");
		return false;
	}
	out->text = schema_keep_text(r, v->text);
	return true;
}

void
schema_read_endpoints(struct reading *r, const struct node *n, struct endpoint **out, size_t *n_out)
{
	*out = schema_keep_array(r, n->n_values, sizeof((*out)[0]));
	for (const struct value *v = n->first_value; v != NULL; v = v->next)
		if (schema_value_endpoint(r, n, v, &(*out)[*n_out]))
			(*n_out)++;
}

#include "relay/base/json.h"
#include "relay/base/clock.h"

/* Every write below relies on the buf's sticky failure, which its owner tests at the end. */

static void
json_key(struct json *j, const char *key)
{
	if (j->needs_comma)
		(void)buf_add_char(j->to, ',');
	j->needs_comma = true;
	if (key != NULL)
		(void)buf_addf(j->to, "\"%s\":", key);
}

void
json_open(struct json *j, const char *key, char bracket)
{
	json_key(j, key);
	(void)buf_add_char(j->to, bracket);
	j->needs_comma = false;
}

void
json_close(struct json *j, char bracket)
{
	(void)buf_add_char(j->to, bracket);
	j->needs_comma = true;
}

void
json_text(struct json *j, const char *key, struct span value)
{
	json_key(j, key);
	(void)buf_add_json(j->to, value);
}

void
json_str(struct json *j, const char *key, const char *value)
{
	if (value == NULL)
		json_none(j, key);
	else
		json_text(j, key, span_str(value));
}

void
json_int(struct json *j, const char *key, int64_t value)
{
	json_key(j, key);
	(void)buf_addf(j->to, "%lld", (long long)value);
}

void
json_decimal(struct json *j, const char *key, int64_t milli)
{
	int64_t whole = milli / 1000, part = milli % 1000;
	int digits = 3;

	json_key(j, key);
	if (part < 0)
		part = -part;
	(void)buf_addf(j->to, "%s%lld", milli < 0 && whole == 0 ? "-" : "", (long long)whole);
	if (part == 0)
		return;
	for (; part % 10 == 0; part /= 10)
		digits--;
	(void)buf_addf(j->to, ".%0*lld", digits, (long long)part);
}

void
json_bool(struct json *j, const char *key, bool value)
{
	json_key(j, key);
	(void)buf_add_str(j->to, value ? "true" : "false");
}

void
json_none(struct json *j, const char *key)
{
	json_key(j, key);
	(void)buf_add_str(j->to, "null");
}

void
json_time(struct json *j, const char *key, int64_t wall_ms)
{
	json_key(j, key);
	(void)buf_add_char(j->to, '"');
	(void)clock_add_rfc3339(j->to, wall_ms);
	(void)buf_add_char(j->to, '"');
}

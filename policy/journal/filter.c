#include "policy/journal/filter.h"
#include "policy/config/action.h"

#include <jansson.h>
#include <time.h>

/* --- times ------------------------------------------------------------------------------------- */

/* Exactly n digits off the front. */
static bool
take_number(struct span *s, size_t n, int *out)
{
	uint64_t value;

	if (s->n < n || !span_to_u64(span_take(*s, n), &value))
		return false;
	*out = (int)value;
	*s = span_skip(*s, n);
	return true;
}

static bool
take_char(struct span *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = span_skip(*s, 1);
	return true;
}

static bool
take_clock(struct span *s, struct tm *tm, int *ms)
{
	if (!take_char(s, 'T') || !take_number(s, 2, &tm->tm_hour) || !take_char(s, ':') ||
	    !take_number(s, 2, &tm->tm_min))
		return false;
	if (take_char(s, ':') && !take_number(s, 2, &tm->tm_sec))
		return false;
	if (take_char(s, '.')) {
		if (!take_number(s, 3, ms))
			return false;
		while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9')
			*s = span_skip(*s, 1); /* finer than we count */
	}
	return take_char(s, 'Z') && tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60;
}

static bool
parse_date(struct span s, int64_t *wall_ms)
{
	struct tm tm = {0};
	int ms = 0;

	if (!take_number(&s, 4, &tm.tm_year) || !take_char(&s, '-') ||
	    !take_number(&s, 2, &tm.tm_mon) || !take_char(&s, '-') ||
	    !take_number(&s, 2, &tm.tm_mday))
		return false;
	if (s.n > 0 && (!take_clock(&s, &tm, &ms) || s.n > 0))
		return false;
	if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
	    tm.tm_mday > 31)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*wall_ms = (int64_t)timegm(&tm) * 1000 + ms;
	return true;
}

static bool
parse_age(struct span s, int64_t now_ms, int64_t *wall_ms)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
	uint64_t number;

	if (s.n < 2 || !span_to_u64(span_take(s, s.n - 1), &number) || number > 1000000)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (s.p[s.n - 1] == units[i].unit) {
			*wall_ms = now_ms - (int64_t)number * units[i].ms;
			return true;
		}
	return false;
}

bool
journal_time_parse(struct span text, int64_t now_ms, int64_t *wall_ms)
{
	return parse_date(text, wall_ms) || parse_age(text, now_ms, wall_ms);
}

/* --- the words of trace ------------------------------------------------------------------------ */

static int
set_time(struct span value, int64_t now_ms, int64_t *to, struct err *err)
{
	if (journal_time_parse(value, now_ms, to))
		return 0;
	return err_set(err, E_SYNTAX,
	    "\"%.*s\" is no time; write 2026-11-22, 2026-11-22T01:02Z or an age such as 2h",
	    SPAN_ARG(span_take(value, 64)));
}

/* A word that no event has would find nothing, and look like an answer. */
static int
set_verdict(struct journal_filter *f, struct span value, struct err *err)
{
	enum action a;

	f->verdict = value;
	return action_parse(value, &a)
		   ? 0
		   : err_set(err, E_SYNTAX,
			 "\"%.*s\" is no verdict; there are pass tag normalise strip quarantine "
			 "discard hold tempfail reject keep",
			 SPAN_ARG(span_take(value, 64)));
}

static int
set_option(struct journal_filter *f, struct span option, struct span value, int64_t now_ms,
    struct err *err)
{
	if (span_eq(option, SPAN("--client"))) {
		f->has_client = net_parse(value, &f->client);
		return f->has_client ? 0
				     : err_set(err, E_SYNTAX, "\"%.*s\" is no address or network",
					   SPAN_ARG(span_take(value, 64)));
	}
	if (span_eq(option, SPAN("--since")))
		return set_time(value, now_ms, &f->since_ms, err);
	if (span_eq(option, SPAN("--until")))
		return set_time(value, now_ms, &f->until_ms, err);
	if (span_eq(option, SPAN("--from")))
		f->from = span_eq(value, SPAN("<>")) ? SPAN("") : value;
	else if (span_eq(option, SPAN("--to")))
		f->to = value;
	else if (span_eq(option, SPAN("--verdict")))
		return set_verdict(f, value, err);
	else if (span_eq(option, SPAN("--subject")))
		f->subject = value;
	else
		return err_set(err, E_SYNTAX,
		    "trace does not know %.*s; it knows --client --from --to --subject --verdict "
		    "--since --until --follow",
		    SPAN_ARG(span_take(option, 64)));
	return 0;
}

/* Ids are written in capitals; who types one need not. */
static int
set_id(struct journal_filter *f, struct span word, struct err *err)
{
	if (f->id[0] != '\0' || word.n == 0 || !span_copy(word, f->id, sizeof(f->id)))
		return err_set(err, E_SYNTAX, "trace takes one id, as the refusal showed it");
	for (char *c = f->id; *c != '\0'; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 32);
	return 0;
}

int
journal_filter_parse(const struct span *words, size_t n_words, int64_t now_ms,
    struct journal_filter *out, struct err *err)
{
	*out = (struct journal_filter){.until_ms = INT64_MAX};
	for (size_t i = 0; i < n_words; i++) {
		int rc;

		if (!span_starts(words[i], SPAN("--"))) {
			rc = set_id(out, words[i], err);
			if (rc < 0)
				return rc;
			continue;
		}
		if (i + 1 == n_words)
			return err_set(
			    err, E_SYNTAX, "%.*s needs a value", SPAN_ARG(span_take(words[i], 64)));
		rc = set_option(out, words[i], words[i + 1], now_ms, err);
		if (rc < 0)
			return rc;
		i++;
	}
	return 0;
}

/* --- matching ---------------------------------------------------------------------------------- */

static struct span
text_of(const json_t *value)
{
	return json_is_string(value) ? span_of(json_string_value(value), json_string_length(value))
				     : (struct span){0};
}

static struct span
member(const json_t *event, const char *key)
{
	return text_of(json_object_get(event, key));
}

static bool
id_matches(struct span wanted, struct span id)
{
	return span_starts(id, wanted) && (id.n == wanted.n || id.p[wanted.n] == '-');
}

static bool
client_matches(const struct net *net, struct span text)
{
	struct ip ip;

	return ip_parse(text, &ip) && net_has(net, &ip);
}

/* A string, or a list of strings or of objects with a member `to`. */
static bool
recipient_matches(struct span wanted, const json_t *to)
{
	size_t i;
	const json_t *item;

	if (json_is_string(to))
		return span_eq_nocase(text_of(to), wanted);
	json_array_foreach(to, i, item)
	{
		struct span text = json_is_object(item) ? member(item, "to") : text_of(item);

		if (text.p != NULL && span_eq_nocase(text, wanted))
			return true;
	}
	return false;
}

static bool
has_part(struct span text, struct span part)
{
	for (; text.n >= part.n; text = span_skip(text, 1)) {
		if (span_starts_nocase(text, part))
			return true;
		if (text.n == 0)
			break;
	}
	return false;
}

static bool
time_matches(const struct journal_filter *f, struct span time)
{
	int64_t wall_ms;

	if (f->since_ms == 0 && f->until_ms == INT64_MAX)
		return true;
	return parse_date(time, &wall_ms) && wall_ms >= f->since_ms && wall_ms <= f->until_ms;
}

static bool
has_text(const json_t *event, const char *key, struct span wanted)
{
	struct span text = member(event, key);

	return text.p != NULL && span_eq_nocase(text, wanted);
}

bool
journal_filter_matches(const struct journal_filter *f, const json_t *event)
{
	if (f->id[0] != '\0' && !id_matches(span_str(f->id), member(event, "id")))
		return false;
	if (f->has_client && !client_matches(&f->client, member(event, "client")))
		return false;
	if (f->from.p != NULL && !has_text(event, "from", f->from))
		return false;
	if (f->to.p != NULL && !recipient_matches(f->to, json_object_get(event, "to")) &&
	    !recipient_matches(f->to, json_object_get(event, "recipients")))
		return false;
	if (f->verdict.p != NULL && !has_text(event, "verdict", f->verdict) &&
	    !has_text(event, "action", f->verdict))
		return false;
	if (f->subject.p != NULL && !has_part(member(event, "subject"), f->subject))
		return false;
	return time_matches(f, member(event, "time"));
}

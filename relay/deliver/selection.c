#include "relay/deliver/selection.h"
#include "policy/journal/filter.h"
#include "relay/base/mem.h"
#include "relay/deliver/show.h"
#include "relay/smtp/command.h"

/* --- parsing ----------------------------------------------------------------------------------- */

static void
to_capitals(char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (text[i] >= 'a' && text[i] <= 'z')
			text[i] = (char)(text[i] - 32);
}

static bool
is_id(struct span word)
{
	if (word.n == 0 || word.n > SPOOL_ID_MAX)
		return false;
	for (size_t i = 0; i < word.n; i++) {
		char c = char_lower(word.p[i]);

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && c != '-')
			return false;
	}
	return true;
}

/* A word without an option before it: "all", or ids divided by blanks. */
static int
take_ids(struct selection *s, struct span word, struct err *err)
{
	if (span_eq_nocase(word, SPAN("all"))) {
		s->is_all = true;
		return 0;
	}
	while (word.n > 0) {
		struct span id = span_word(&word);

		if (id.n == 0)
			break;
		if (!is_id(id))
			return err_set(err, E_SYNTAX,
			    "\"%.*s\" is no message id; `postern queue list` shows them",
			    SPAN_ARG(span_take(id, 64)));
		if (s->n_ids == SELECTION_IDS_MAX)
			return err_set(err, E_LIMIT, "at most %d ids at once", SELECTION_IDS_MAX);
		to_capitals(s->text + (id.p - s->text), id.n);
		s->id_room = mem_grow(s->id_room, (s->n_ids + 1) * sizeof(*s->id_room));
		s->id_room[s->n_ids++] = id;
		s->ids = s->id_room;
	}
	return 0;
}

static int
take_state(struct selection *s, struct span value, struct err *err)
{
	static const struct span states[] = {
	    SPAN("waiting"), SPAN("active"), SPAN("deferred"), SPAN("held")};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (span_eq_nocase(value, states[i])) {
			s->state = states[i];
			return 0;
		}
	return err_set(err, E_SYNTAX,
	    "\"%.*s\" is no state; there are waiting, active, deferred, held",
	    SPAN_ARG(span_take(value, 64)));
}

static int
take_option(
    struct selection *s, struct span option, struct span value, int64_t wall_ms, struct err *err)
{
	const struct {
		struct span name;
		struct span *to;
	} texts[] = {{SPAN("--from"), &s->from}, {SPAN("--to"), &s->to},
	    {SPAN("--domain"), &s->domain}, {SPAN("--gateway"), &s->gateway}};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (span_eq(option, texts[i].name)) {
			*texts[i].to = span_eq(value, SPAN("<>")) ? span_take(value, 0) : value;
			return 0;
		}
	if (span_eq(option, SPAN("--state")))
		return take_state(s, value, err);
	if (span_eq(option, SPAN("--id"))) {
		to_capitals(s->text + (value.p - s->text), value.n);
		s->id = value;
		return is_id(value) ? 0
				    : err_set(err, E_SYNTAX, "\"%.*s\" is no message id",
					  SPAN_ARG(span_take(value, 64)));
	}
	if (span_eq(option, SPAN("--older")))
		return journal_time_parse(value, wall_ms, &s->until_ms)
			   ? 0
			   : err_set(err, E_SYNTAX,
				 "\"%.*s\" is no age; write 30m, 2h, 3d, or a time as "
				 "2026-11-22T01:02Z",
				 SPAN_ARG(span_take(value, 64)));
	if (span_eq(option, SPAN("--limit")))
		return span_to_u64(value, &s->limit) && s->limit > 0
			   ? 0
			   : err_set(err, E_SYNTAX, "--limit takes a number, 1 and above");
	return err_set(err, E_SYNTAX,
	    "queue does not know %.*s; it knows --id --from --to --domain --gateway --state "
	    "--older "
	    "--limit",
	    SPAN_ARG(span_take(option, 64)));
}

static int
take_words(
    struct selection *s, const struct span *words, size_t n_words, int64_t wall_ms, struct err *err)
{
	char *at = s->text;
	int rc = 0;

	for (size_t i = 0; i < n_words && rc == 0; i++) {
		struct span word = span_of(at, words[i].n);

		at += word.n;
		if (span_eq(word, SPAN("--headers"))) {
			s->has_headers = true;
		} else if (!span_starts(word, SPAN("--"))) {
			rc = take_ids(s, word, err);
		} else if (i + 1 == n_words) {
			rc = err_set(
			    err, E_SYNTAX, "%.*s needs a value", SPAN_ARG(span_take(word, 64)));
		} else {
			rc = take_option(s, word, span_of(at, words[i + 1].n), wall_ms, err);
			at += words[++i].n;
		}
	}
	return rc;
}

/* Words that say which, without ids and "all". */
static bool
has_words(const struct selection *s)
{
	return s->from.p != NULL || s->to.p != NULL || s->domain.p != NULL ||
	       s->gateway.p != NULL || s->state.p != NULL || s->id.p != NULL ||
	       s->until_ms != INT64_MAX;
}

int
selection_parse(const struct span *words, size_t n_words, struct span by, int64_t wall_ms,
    struct selection *out, struct err *err)
{
	struct buf text = BUF_INIT(SELECTION_TEXT_MAX);
	int rc;

	*out = (struct selection){.until_ms = INT64_MAX};
	for (size_t i = 0; i < n_words; i++)
		(void)buf_add_span(&text, words[i]); /* sticky */
	(void)buf_add_char(&text, '\0');
	out->text = text.p; /* with its memory */
	rc = text.failed ? err_set(err, E_LIMIT, "too many words")
			 : take_words(out, words, n_words, wall_ms, err);
	if (rc == 0 && out->n_ids > 0 && (out->is_all || has_words(out)))
		rc = err_set(err, E_SYNTAX,
		    "name messages either by their ids or by what they have in common");
	(void)span_copy(by.n > 0 ? by : SPAN("unknown"), out->by, sizeof(out->by)); /* cut */
	if (rc < 0)
		selection_free(out);
	return rc;
}

void
selection_free(struct selection *s)
{
	mem_free(s->text);
	mem_free(s->id_room);
	*s = (struct selection){0};
}

bool
selection_is_given(const struct selection *s)
{
	return s->is_all || s->n_ids > 0 || has_words(s);
}

/* --- matching ---------------------------------------------------------------------------------- */

static bool
address_matches(struct span wanted, struct span address)
{
	if (wanted.p == NULL)
		return true;
	if (wanted.n > 1 && wanted.p[0] == '@')
		return span_eq_nocase(smtp_address_domain(address), span_skip(wanted, 1));
	return span_eq_nocase(address, wanted);
}

static bool
domain_matches(struct span wanted, struct span address)
{
	return wanted.p == NULL || span_eq_nocase(smtp_address_domain(address), wanted);
}

bool
selection_has_rcpt(
    const struct selection *s, const struct queue_entry *e, const struct queue_rcpt *r)
{
	return rcpt_is_open(r) && address_matches(s->to, r->address) &&
	       domain_matches(s->domain, r->address) &&
	       (s->gateway.p == NULL || span_eq(e->legs[r->leg].gateway, s->gateway));
}

bool
selection_has(const struct selection *s, const struct queue_entry *e)
{
	if (e->received_ms > s->until_ms || !address_matches(s->from, e->from) ||
	    (s->id.p != NULL && !span_starts(span_str(e->id), s->id)) ||
	    (s->state.p != NULL && !span_eq(span_str(show_state(e)), s->state)))
		return false;
	if (s->to.p == NULL && s->domain.p == NULL && s->gateway.p == NULL)
		return true;
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (selection_has_rcpt(s, e, &e->rcpts[i]))
			return true;
	return false;
}

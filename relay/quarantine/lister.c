#include "relay/quarantine/lister.h"
#include "policy/journal/filter.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <stdlib.h>

enum { NAMES_MAX = 1024 * 1024 * 1024 };

static void
on_id(void *arg, struct span id)
{
	struct lister *l = arg;

	(void)buf_add(&l->text, id.p, id.n); /* sticky: lister_start tests */
	(void)buf_add_char(&l->text, '\n');
	l->n++;
}

/* Ids begin with their time. */
static int
by_newest(const void *a, const void *b)
{
	return span_cmp(*(const struct span *)b, *(const struct span *)a);
}

int
lister_start(struct lister *l, const struct shelf *s, bool clears)
{
	int r = 0;
	struct span rest;

	*l = (struct lister){.shelf = s, .text = BUF_INIT(NAMES_MAX)};
	for (unsigned i = 0; i < SHELF_FOLDERS && r == 0; i++)
		r = shelf_names(s, i, clears, on_id, l);
	if (r < 0 || l->text.failed)
		return -E_IO;
	l->ids = mem_array(l->n, sizeof(*l->ids));
	rest = buf_span(&l->text);
	for (size_t i = 0; i < l->n; i++)
		l->ids[i] = span_cut(&rest, '\n');
	if (l->n > 0)
		qsort(l->ids, l->n, sizeof(*l->ids), by_newest);
	return 0;
}

void
lister_free(struct lister *l)
{
	mem_free(l->ids);
	buf_free(&l->text);
	*l = (struct lister){0};
}

bool
lister_next(struct lister *l, struct span *id)
{
	if (l->next == l->n)
		return false;
	*id = l->ids[l->next++];
	return true;
}

/* --- filters ----------------------------------------------------------------------------------- */

static int
take_word(
    struct letter_filter *f, struct span name, struct span value, int64_t now_ms, struct err *err)
{
	struct span *const texts[] = {&f->from, &f->to, &f->subject, &f->reason};
	static const char *const names[] = {"--from", "--to", "--subject", "--reason"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (span_eq(name, span_str(names[i]))) {
			*texts[i] = value;
			return 0;
		}
	if (span_eq(name, SPAN("--limit"))) {
		if (!span_to_u64(value, &f->limit) || f->limit == 0)
			return err_set(err, E_SYNTAX, "--limit %.*s: write a number from 1 up",
			    SPAN_ARG(span_take(value, 40)));
		return 0;
	}
	if (span_eq(name, SPAN("--since")) || span_eq(name, SPAN("--until"))) {
		if (!journal_time_parse(value, now_ms,
			span_eq(name, SPAN("--since")) ? &f->since_ms : &f->until_ms))
			return err_set(err, E_SYNTAX,
			    "%.*s %.*s: write a time like 2026-11-22, 2026-11-22T01:02Z or an age "
			    "like 2h",
			    SPAN_ARG(name), SPAN_ARG(span_take(value, 40)));
		return 0;
	}
	return err_set(err, E_SYNTAX,
	    "quarantine list takes --from --to --subject --reason --since --until --limit, not "
	    "%.*s",
	    SPAN_ARG(span_take(name, 40)));
}

int
letter_filter_parse(const struct span *words, size_t n_words, int64_t now_ms,
    struct letter_filter *out, struct err *err)
{
	*out = (struct letter_filter){.until_ms = INT64_MAX, .limit = LISTER_LIMIT};
	for (size_t i = 0; i < n_words; i += 2) {
		struct span value = i + 1 < n_words ? words[i + 1] : (struct span){0};
		int r = take_word(out, words[i], value, now_ms, err);

		if (r < 0)
			return r;
		if (i + 1 == n_words)
			return err_set(err, E_SYNTAX, "%.*s needs its value",
			    SPAN_ARG(span_take(words[i], 40)));
	}
	return 0;
}

static bool
has_part(struct span text, struct span part)
{
	if (part.p == NULL)
		return true;
	if (part.n == 0)
		return text.n == 0;
	for (; text.n >= part.n; text = span_skip(text, 1))
		if (span_starts_nocase(text, part))
			return true;
	return false;
}

static bool
has_rcpt(const struct letter *l, struct span part)
{
	for (size_t i = 0; i < l->n_rcpts; i++)
		if (has_part(l->rcpts[i].address, part))
			return true;
	return false;
}

bool
letter_filter_matches(const struct letter_filter *f, const struct letter *l)
{
	return l->received_ms >= f->since_ms && l->received_ms <= f->until_ms &&
	       has_part(l->from, f->from) && has_rcpt(l, f->to) &&
	       has_part(l->subject, f->subject) && has_part(l->reason, f->reason);
}

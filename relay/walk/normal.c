#include "relay/walk/normal.h"
#include "relay/ipc/rewrite.h"
#include "relay/message/normal_head.h"
#include "relay/message/strip.h"

enum { TEXTS_MAX = COMMIT_PREFIXES_MAX / 2 };

static size_t
list_reasons(const struct strip_order *o, struct strip_reason to[STRIP_REASONS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < o->result->n_outcomes && n < STRIP_REASONS_MAX; i++) {
		const struct scan_outcome *outcome = &o->result->outcomes[i];
		const struct conf_filter *filter = o->flow->filters[outcome->filter].filter;

		if (outcome->outcome >= 0 && verdict_normalises(o->verdict, i))
			to[n++] = (struct strip_reason){span_str(filter->name),
			    span_str(filter->plugin->outcomes[outcome->outcome].name),
			    outcome->why};
	}
	return n;
}

/* Whether the message may be parted here: not between CR and LF. */
static bool
is_seam(struct span message, uint64_t at)
{
	return at == 0 || at >= message.n || message.p[at] != '\n' || message.p[at - 1] != '\r';
}

static bool
is_in_place(const struct strip_order *o, const struct rewrite_cut *c)
{
	return c->at >= o->header && c->n <= o->message.n && c->at <= o->message.n - c->n &&
	       is_seam(o->message, c->at) && is_seam(o->message, c->at + c->n) &&
	       normal_text_is_fine(c->text, true);
}

static bool
has_fine_head(const struct strip_order *o, const struct rewrite *r)
{
	if (!r->has_head)
		return r->section == 0 && r->head.n == 0;
	return r->section <= o->header && normal_head_is_fine(r->head) &&
	       (r->section == 0 || o->message.p[r->section - 1] == '\n');
}

/* Whether the empty line behind the header section stays, or comes anew with the section: what stands before it is a
 * field. */
static bool
keeps_empty_line(const struct strip_order *o, const struct rewrite *r)
{
	const struct span rest = span_skip(o->message, (size_t)o->header);

	for (size_t i = 0; i < r->n_cuts && r->cuts[i].at == o->header; i++)
		if (r->cuts[i].text.n > 0 || r->cuts[i].n > 0 || r->cuts[i].part != REWRITE_NO_PART)
			return r->has_head && span_starts(r->cuts[i].text, SPAN("\r\n"));
	return !r->has_head || span_starts(rest, SPAN("\r\n"));
}

static int
add_text(const struct strip_order *o, const struct rewrite *r, const struct rewrite_cut *c,
    struct buf *to)
{
	struct strip_reason reasons[STRIP_REASONS_MAX];
	struct strip_notice notice = {.hostname = o->hostname,
	    .postmaster = o->postmaster,
	    .id = o->id,
	    .letter = o->letter,
	    .reasons = reasons};

	(void)buf_add_span(to, c->text); /* sticky */
	if (c->part == REWRITE_NO_PART)
		return to->failed ? -E_LIMIT : 0;
	notice.part = &r->parts[c->part];
	notice.n_reasons = list_reasons(o, reasons);
	return strip_text(&notice, to);
}

/* The text of one cut may be in several: the first is instead of its bytes, the others of none. */
static void
divide(
    const struct strip_order *o, const struct rewrite_cut *c, struct span text, struct stripped *to)
{
	uint64_t at = c->at - o->header, n = c->n;

	do {
		to->cuts[to->n_cuts++] =
		    (struct commit_cut){.at = at, .n = n, .text = span_take(text, COMMIT_TEXT_MAX)};
		text = span_skip(text, COMMIT_TEXT_MAX);
		at += n;
		n = 0;
	} while (text.n > 0);
}

static int
make(const struct strip_order *o, const struct rewrite *r, struct stripped *to)
{
	size_t ends[REWRITE_CUTS_MAX], most = r->n_cuts;

	if (!has_fine_head(o, r) || !keeps_empty_line(o, r))
		return -E_CORRUPT;
	for (size_t i = 0; i < r->n_cuts; i++) {
		if (!is_in_place(o, &r->cuts[i]))
			return -E_CORRUPT;
		if (add_text(o, r, &r->cuts[i], &to->texts) < 0)
			return -E_LIMIT;
		ends[i] = to->texts.n;
	}
	most += to->texts.n / COMMIT_TEXT_MAX;
	to->cuts = mem_array(most, sizeof(*to->cuts));
	for (size_t i = 0, at = 0; i < r->n_cuts; at = ends[i++]) /* it does not move any more */
		divide(o, &r->cuts[i], span_of(to->texts.p + at, ends[i] - at), to);
	to->is_normal = true;
	to->n_notices = r->n_parts;
	to->has_head = r->has_head;
	to->section = r->section;
	to->head = r->head;
	return 0;
}

int
normal_order(const struct strip_order *o, struct stripped *to)
{
	struct rewrite *r = mem_alloc(sizeof(*r));
	struct strip_reason reasons[STRIP_REASONS_MAX];
	int result = rewrite_get(o->result->rewrite, r);

	to->texts.max = TEXTS_MAX;
	if (result == 0)
		result = make(o, r, to);
	if (list_reasons(o, reasons) > 0)
		to->why = reasons[0].why;
	mem_free(r);
	return result;
}

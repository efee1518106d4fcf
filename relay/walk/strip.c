#include "relay/walk/strip.h"
#include "relay/message/strip.h"

enum { TEXTS_MAX = COMMIT_PREFIXES_MAX / 2 };

bool
strip_has_part(const struct strip_order *o, size_t part)
{
	for (size_t i = 0; i < o->result->n_marks; i++)
		if (o->result->marks[i].part == part &&
		    verdict_strips(o->verdict, o->result->marks[i].outcome))
			return true;
	return false;
}

static size_t
list_reasons(const struct strip_order *o, size_t part, struct strip_reason to[STRIP_REASONS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < o->result->n_marks && n < STRIP_REASONS_MAX; i++) {
		const struct scan_mark *mark = &o->result->marks[i];
		const struct scan_outcome *outcome = &o->result->outcomes[mark->outcome];
		const struct conf_filter *filter = o->flow->filters[outcome->filter].filter;

		if (mark->part != part || outcome->outcome < 0 ||
		    !verdict_strips(o->verdict, mark->outcome))
			continue;
		to[n++] = (struct strip_reason){span_str(filter->name),
		    span_str(filter->plugin->outcomes[outcome->outcome].name), mark->why};
	}
	return n;
}

/* In the body, and the bytes around it say that it may be cut out. */
static bool
is_in_place(const struct strip_order *o, const struct scan_part *p)
{
	return p->n > 0 && p->n <= o->message.n && p->at <= o->message.n - p->n &&
	       p->at >= o->header + 2 &&
	       strip_is_whole(span_take(o->message, (size_t)p->at),
		   span_skip(o->message, (size_t)(p->at + p->n)));
}

static int
add_part(const struct strip_order *o, const struct scan_part *p, const struct strip_notice *notice,
    struct stripped *to)
{
	if (!is_in_place(o, p))
		return -E_CORRUPT;
	to->cuts[to->n_cuts] = (struct commit_cut){.at = p->at - o->header, .n = p->n};
	return strip_part(
	    span_take(span_skip(o->message, (size_t)p->at), p->head), false, notice, &to->texts);
}

/* All of the body goes; its header section is the copy's own. */
static int
add_message(const struct strip_order *o, const struct scan_part *p,
    const struct strip_notice *notice, struct stripped *to)
{
	if (p->n != o->message.n || o->message.n < o->header + 2)
		return -E_CORRUPT;
	to->is_whole = true;
	to->cuts[to->n_cuts] = (struct commit_cut){.at = 0, .n = o->message.n - o->header};
	(void)buf_add_str(&to->texts, "\r\n"); /* sticky */
	return strip_text(notice, &to->texts);
}

int
strip_make(const struct strip_order *o, struct stripped *to)
{
	size_t ends[SCAN_PARTS_MAX];
	uint64_t from = 0;
	int r = 0;

	to->texts.max = TEXTS_MAX;
	to->cuts = mem_array(o->result->n_parts, sizeof(*to->cuts));
	for (size_t i = 0; i < o->result->n_parts && r == 0; i++) {
		const struct scan_part *p = &o->result->parts[i];
		struct strip_reason reasons[STRIP_REASONS_MAX];
		const struct strip_notice notice = {.hostname = o->hostname,
		    .postmaster = o->postmaster,
		    .id = o->id,
		    .letter = o->letter,
		    .part = p,
		    .reasons = reasons,
		    .n_reasons = list_reasons(o, i, reasons)};

		if (notice.n_reasons == 0 || p->at < from)
			continue; /* not to go, or gone with the part it is in */
		r = p->at == 0 ? add_message(o, p, &notice, to) : add_part(o, p, &notice, to);
		if (r == 0)
			ends[to->n_cuts++] = to->texts.n;
		from = p->at + p->n;
	}
	for (size_t i = 0, at = 0; i < to->n_cuts; at = ends[i++]) /* it does not move any more */
		to->cuts[i].text = span_of(to->texts.p + at, ends[i] - at);
	return r == 0 && to->n_cuts == 0 ? -E_CORRUPT : r;
}

void
strip_free(struct stripped *s)
{
	buf_free(&s->texts);
	mem_free(s->cuts);
	s->cuts = NULL;
}

/*
 * fuzz_strip.c - any parts of any message: those that the chain says can be taken out are, in any
 * choice of them, and the rest is what it was.  Two bytes choose, then comes the message.
 */
#include "filters/chain/run.h"
#include "relay/base/err.h"
#include "relay/message/decode.h"
#include "tests/lib/stripping.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY = 32 * 1024 * 1024, OUTCOME = 0 };

static enum action strip_it[] = {ACTION_STRIP};
static const struct pnf_outcome outcomes[] = {{"blocked", "strip", ""}, {.name = NULL}};
static const struct pnf_about about = {
    .name = "names", .may = PNF_MAY_NAME_PARTS, .outcomes = outcomes};
static const struct conf_filter filter = {.name = "names", .plugin = &about};
static const struct conf_flow flow = {.name = "f",
    .n_filters = 1,
    .filters = {{.filter = &filter, .actions = {.outcomes = strip_it}}}};

static bool
is_chosen(size_t i, unsigned choice)
{
	return (choice >> (i % 16) & 1) != 0;
}

/* What filters would have done. */
static void
mark(struct pnf_msg *m, unsigned choice)
{
	m->result.n_outcomes = 1;
	m->result.outcomes[OUTCOME] = (struct scan_outcome){.filter = 0, .outcome = 0};
	for (uint32_t i = 0; i < m->mime.n_parts; i++)
		if (is_chosen(i, choice))
			strips_mark(m, OUTCOME, i, SPAN("because"));
	strips_place(m);
}

/* The bytes in front of the first cut and behind the last stand at the ends of what was made. */
static void
check_ends(struct span message, size_t header, const struct stripped *s, struct span made)
{
	const struct commit_cut *first = &s->cuts[0], *last = &s->cuts[s->n_cuts - 1];
	struct span before = span_take(message, header + (size_t)first->at);
	struct span behind = span_skip(message, header + (size_t)(last->at + last->n));

	must(s->is_whole || span_starts(made, before));
	must(made.n >= behind.n && memcmp(made.p + made.n - behind.n, behind.p, behind.n) == 0);
}

/* Every part that is left was there; every leaf that was there and is not is in a cut. */
static void
check_parts(const struct pnf_msg *m, const struct mime_message *again, size_t n_cuts)
{
	size_t n_new = 0;

	must(mime_is_malformed(again) <= mime_is_malformed(&m->mime));
	must(again->n_parts <= m->mime.n_parts);
	for (size_t i = 0; i < again->n_parts; i++) {
		const struct mime_part *p = &again->parts[i];
		bool is_old = p->is_multipart || p->is_message;

		for (size_t k = 0; k < m->mime.n_parts && !is_old; k++)
			is_old = span_eq(p->decoded, m->mime.parts[k].decoded) &&
				 span_eq(p->type, m->mime.parts[k].type);
		n_new += !is_old;
		must(is_old ||
		     (span_eq(p->type, SPAN("text/plain")) && p->n_names == 0 &&
			 span_starts(p->decoded, SPAN("An attachment was removed here by mx."))));
	}
	must(n_new <= n_cuts);
}

static void
strip(const struct pnf_msg *m, const struct verdict *v)
{
	struct strip_order order = {.result = &m->result,
	    .verdict = v,
	    .flow = &flow,
	    .message = m->body,
	    .header = header_section_length(m->body),
	    .hostname = SPAN("mx.example.org"),
	    .postmaster = SPAN("postmaster@example.org"),
	    .id = SPAN("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
	    .letter = SPAN("01ARZ3NDEKTSV4RRFFQ69G5FAV")};
	struct buf made = BUF_INIT(16 * 1024 * 1024);
	struct stripped s = {.n_cuts = 0};
	struct mime_message again;
	struct arena memory;

	must(strip_make(&order, &s) == 0); /* what the worker allows front can do */
	stripping_apply(m->body, order.header, &s, &made);
	must(stripping_has_bare(buf_span(&made)) <= stripping_has_bare(m->body));
	check_ends(m->body, order.header, &s, buf_span(&made));
	arena_init(&memory, MEMORY);
	mime_parse(buf_span(&made), NULL, &memory, &again);
	check_parts(m, &again, s.n_cuts);
	arena_free(&memory);
	strip_free(&s);
	buf_free(&made);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_warm;
	static struct pnf_msg m;
	struct verdict v = {.action = ACTION_STRIP, .strips = {1}};

	if (!is_warm)
		decode_warm_up();
	is_warm = true;
	if (size < 2)
		return 0;
	memset(&m, 0, sizeof(m));
	m.flow = &flow;
	arena_init(&m.memory, MEMORY);
	arena_init(&m.mime_memory, MEMORY);
	m.body = span_of(data + 2, size - 2);
	mime_parse(m.body, NULL, &m.mime_memory, &m.mime);
	mark(&m, data[0] | (unsigned)data[1] << 8);
	must(m.result.n_marks > 0 || m.result.n_parts == 0);
	if (m.result.n_parts > 0)
		strip(&m, &v);
	/* Any one of them alone, too: another group of recipients may lose fewer. */
	while (m.result.n_parts > 1) {
		size_t kept = 0;

		m.result.n_parts--;
		for (size_t i = 0; i < m.result.n_marks; i++)
			if (m.result.marks[i].part < m.result.n_parts)
				m.result.marks[kept++] = m.result.marks[i];
		m.result.n_marks = kept;
		strip(&m, &v);
	}
	arena_free(&m.memory);
	arena_free(&m.mime_memory);
	return 0;
}

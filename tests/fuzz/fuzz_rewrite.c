/*
 * fuzz_rewrite.c - anything that a worker may say of a message that it has rewritten: what front believes
 * lies in the message, is made of whole lines, and changes no header field but those about the body.
 * Two bytes are the length of the message, then it comes, then what the worker says.
 */
#include "relay/base/err.h"
#include "relay/message/normal_head.h"
#include "relay/walk/normal.h"
#include "tests/lib/stripping.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MADE_MAX = 16 * 1024 * 1024 };

static const struct pnf_outcome outcomes[] = {{"malformed", "normalise", ""}, {.name = NULL}};
static const struct pnf_about about = {.name = "antivirus", .outcomes = outcomes};
static const struct conf_filter filter = {.name = "antivirus", .plugin = &about};
static const struct conf_flow flow = {
    .name = "f", .n_filters = 1, .filters = {{.filter = &filter}}};

/* As 6_commit.c makes it. */
static void
make_section(const struct strip_order *o, const struct stripped *s, struct buf *to)
{
	struct span section = span_take(o->message, (size_t)o->header);

	if (s->has_head)
		must(normal_head_section(span_take(section, s->section), s->head, to) == 0);
	else
		must(buf_add_span(to, section) == 0);
}

static void
check(const struct strip_order *o, const struct stripped *s)
{
	struct span body = span_skip(o->message, (size_t)o->header);
	struct buf made = BUF_INIT(MADE_MAX);
	size_t section;
	uint64_t from = 0;

	make_section(o, s, &made);
	section = made.n;
	must(s->n_cuts > 0);
	for (size_t i = 0; i < s->n_cuts; i++) {
		const struct commit_cut *cut = &s->cuts[i];

		must(cut->at >= from && cut->at <= body.n && cut->n <= body.n - cut->at);
		must(cut->text.n <= COMMIT_TEXT_MAX);
		must(buf_add(&made, body.p + from, (size_t)(cut->at - from)) == 0);
		must(buf_add_span(&made, cut->text) == 0);
		from = cut->at + cut->n;
	}
	must(buf_add_span(&made, span_skip(body, (size_t)from)) == 0);
	must(stripping_has_bare(buf_span(&made)) <= stripping_has_bare(o->message));
	must(header_section_length(buf_span(&made)) == section);
	buf_free(&made);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct scan_result result;
	const struct verdict v = {.action = ACTION_NORMALISE, .strips = {1}};
	struct strip_order o = {.result = &result,
	    .verdict = &v,
	    .flow = &flow,
	    .hostname = SPAN("mx.example.org"),
	    .id = SPAN("ID1"),
	    .letter = SPAN("ID1")};
	struct stripped s = {.n_cuts = 0};
	struct span rest = span_of(data, size);

	if (size < 2)
		return 0;
	rest = span_skip(rest, 2);
	o.message = span_take(rest, (size_t)data[0] << 8 | data[1]);
	o.header = header_section_length(o.message);
	result = (struct scan_result){.n_outcomes = 1,
	    .outcomes = {{.outcome = 0, .why = SPAN("two types")}},
	    .rewrite = span_skip(rest, o.message.n)};
	if (normal_order(&o, &s) == 0)
		check(&o, &s);
	strip_free(&s);
	return 0;
}

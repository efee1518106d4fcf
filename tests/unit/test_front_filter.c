#include "relay/ipc/front_filter.h"
#include "relay/base/err.h"
#include "relay/ipc/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct pnf_outcome outcomes[] = {
    {"one", "tag", "first"}, {"two", "tag", "second"}, {.name = NULL}};
static const struct pnf_about edits_about = {.name = "edits",
    .may = PNF_MAY_EDIT_HEADERS | PNF_MAY_TAG | PNF_MAY_SCORE | PNF_MAY_NAME_PARTS,
    .outcomes = outcomes};
static const struct pnf_about looks_about = {.name = "looks", .outcomes = outcomes};
static const struct conf_filter edits = {.name = "edits", .plugin = &edits_about};
static const struct conf_filter looks = {.name = "looks", .plugin = &looks_about};
static const struct conf_flow flow = {
    .name = "f", .filters = {{.filter = &edits}, {.filter = &looks}}, .n_filters = 2};

struct state {
	struct buf buf;
	struct scan_result in, out;
};

static int
setup(void **state)
{
	struct state *s = mem_alloc(sizeof(*s));

	s->buf = BUF_INIT(CHANNEL_PAYLOAD_MAX);
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct state *s = *state;

	buf_free(&s->buf);
	mem_free(s);
	return 0;
}

static int
pass_result(struct state *s)
{
	buf_clear(&s->buf);
	scan_result_put(&s->buf, &s->in);
	assert_false(s->buf.failed);
	return scan_result_get(buf_span(&s->buf), &flow, &s->out);
}

static void
fill(struct scan_result *r)
{
	r->n_outcomes = 2;
	r->outcomes[0] = (struct scan_outcome){1, 1, SPAN("because"), {0}};
	r->outcomes[1] = (struct scan_outcome){0, -1, SPAN(""), SPAN("signed")};
	r->n_tags = 1;
	r->tags[0] = (struct scan_tag){0, SPAN("a-tag_1"), SPAN("why"), -2500};
	r->n_edits = 2;
	r->edits[0] = (struct header_edit){EDIT_ADD, 0, true, 0, SPAN("X-A"), SPAN(" b")};
	r->edits[1] = (struct header_edit){EDIT_REMOVE, 0, false, 7, SPAN(""), SPAN("")};
	r->n_parts = 2;
	r->parts[0] = (struct scan_part){.at = 1ull << 40,
	    .n = 300,
	    .head = 30,
	    .name = SPAN("a.exe"),
	    .declared = SPAN("a/b"),
	    .type = SPAN("c/d"),
	    .size = 200,
	    .hash = {1, 2}};
	r->parts[1] = (struct scan_part){.at = (1ull << 40) + 10, .n = 20};
	r->n_marks = 1;
	r->marks[0] = (struct scan_mark){1, 1, SPAN("name a.exe")};
	r->truths = span_of("\0\1\2", 3);
	r->n_hosts = 2;
	r->hosts[0] = SPAN("www.a-b_c.example");
	r->hosts[1] = SPAN("2001:db8::1");
	r->rewrite = SPAN("all anew");
}

static void
test_result_travels(void **state)
{
	struct state *s = *state;

	fill(&s->in);
	assert_int_equal(pass_result(s), 0);
	assert_int_equal(s->out.n_outcomes, 2);
	assert_int_equal(s->out.outcomes[0].filter, 1);
	assert_int_equal(s->out.outcomes[0].outcome, 1);
	assert_true(span_eq(s->out.outcomes[0].why, SPAN("because")));
	assert_int_equal(s->out.outcomes[1].outcome, -1);
	assert_int_equal(s->out.tags[0].score_milli, -2500);
	assert_true(span_eq(s->out.tags[0].name, SPAN("a-tag_1")));
	assert_int_equal(s->out.edits[0].kind, EDIT_ADD);
	assert_true(s->out.edits[0].only_tagged);
	assert_true(span_eq(s->out.edits[0].name, SPAN("X-A")));
	assert_int_equal(s->out.edits[1].index, 7);
	assert_int_equal(s->out.truths.n, 3);
	assert_true(span_eq(s->out.outcomes[1].uncut, SPAN("signed")));
	assert_int_equal(s->out.n_parts, 2);
	assert_true(s->out.parts[0].at == 1ull << 40 && s->out.parts[0].n == 300);
	assert_int_equal(s->out.parts[0].head, 30);
	assert_true(span_eq(s->out.parts[0].name, SPAN("a.exe")));
	assert_true(span_eq(s->out.parts[0].declared, SPAN("a/b")));
	assert_true(span_eq(s->out.parts[0].type, SPAN("c/d")));
	assert_int_equal(s->out.parts[0].size, 200);
	assert_int_equal(s->out.parts[0].hash[1], 2);
	assert_int_equal(s->out.n_marks, 1);
	assert_int_equal(s->out.marks[0].outcome, 1);
	assert_int_equal(s->out.marks[0].part, 1);
	assert_true(span_eq(s->out.marks[0].why, SPAN("name a.exe")));
	assert_int_equal(s->out.n_hosts, 2);
	assert_true(span_eq(s->out.hosts[0], SPAN("www.a-b_c.example")));
	assert_true(span_eq(s->out.hosts[1], SPAN("2001:db8::1")));
	assert_true(span_eq(s->out.rewrite, SPAN("all anew"))); /* while lists are asked, too */
}

static void
test_result_cut_anywhere_is_refused(void **state)
{
	struct state *s = *state;
	struct span all;

	fill(&s->in);
	assert_int_equal(pass_result(s), 0);
	all = buf_span(&s->buf);
	for (size_t n = 0; n < all.n; n++)
		assert_int_equal(scan_result_get(span_take(all, n), &flow, &s->out), -E_CORRUPT);
	(void)buf_add_char(&s->buf, 'x');
	assert_int_equal(scan_result_get(buf_span(&s->buf), &flow, &s->out), -E_CORRUPT);
}

static void
wrong_filter(struct scan_result *r)
{
	r->outcomes[0].filter = 2;
}

static void
wrong_outcome(struct scan_result *r)
{
	r->outcomes[0].outcome = 2;
}

static void
negative_outcome(struct scan_result *r)
{
	r->outcomes[0].outcome = -2;
}

static void
newline_in_why(struct scan_result *r)
{
	r->outcomes[0].why = SPAN("a\r\nX: b");
}

static void
bad_tag(struct scan_result *r)
{
	r->tags[0].name = SPAN("no blanks");
}

static void
empty_tag(struct scan_result *r)
{
	r->tags[0].name = SPAN("");
}

static void
edit_without_right(struct scan_result *r)
{
	r->edits[0].filter = 1;
}

static void
add_without_name(struct scan_result *r)
{
	r->edits[0].name = SPAN("");
}

static void
index_too_high(struct scan_result *r)
{
	r->edits[1].index = HEADER_INDEX_MAX;
}

static void
wrong_kind(struct scan_result *r)
{
	r->edits[1].kind = (enum edit_kind)3;
}

static void
wrong_truth(struct scan_result *r)
{
	r->truths = span_of("\5", 1);
}

static void
tag_without_right(struct scan_result *r)
{
	r->tags[0].filter = 1;
}

static void
skips_what_is_not_there(struct scan_result *r)
{
	r->not_run = 1U << 2;
}

static void
part_before_part(struct scan_result *r)
{
	r->parts[1].at = 0;
}

static void
part_without_end(struct scan_result *r)
{
	r->parts[1].n = UINT64_MAX;
}

static void
head_over_part(struct scan_result *r)
{
	r->parts[1].head = 21;
}

static void
long_head(struct scan_result *r)
{
	r->parts[0].n = 1 << 20;
	r->parts[0].head = SCAN_PART_HEAD_MAX + 1;
}

static void
newline_in_name(struct scan_result *r)
{
	r->parts[0].name = SPAN("a\n--b");
}

static void
mark_of_no_part(struct scan_result *r)
{
	r->marks[0].part = 2;
}

static void
mark_of_no_outcome(struct scan_result *r)
{
	r->marks[0].outcome = 2;
}

static void
mark_without_right(struct scan_result *r)
{
	r->marks[0].outcome = 0;
}

static void
test_lies_are_refused(void **state)
{
	static void (*const lies[])(struct scan_result *) = {tag_without_right,
	    skips_what_is_not_there, wrong_filter, wrong_outcome, negative_outcome, newline_in_why,
	    bad_tag, empty_tag, edit_without_right, add_without_name, index_too_high, wrong_kind,
	    wrong_truth, part_before_part, part_without_end, head_over_part, long_head,
	    newline_in_name, mark_of_no_part, mark_of_no_outcome, mark_without_right};
	struct state *s = *state;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		s->in = (struct scan_result){0};
		fill(&s->in);
		lies[i](&s->in);
		if (pass_result(s) != -E_CORRUPT)
			fail_msg("lie %zu was believed", i);
	}
}

static void
test_limits_at_their_edge(void **state)
{
	static char text[SCAN_EDITS_BYTES];
	struct state *s = *state;

	memset(text, 'a', sizeof(text));
	s->in.n_outcomes = 1;
	s->in.outcomes[0] = (struct scan_outcome){0, 0, span_of(text, SCAN_WHY_MAX), {0}};
	s->in.n_tags = 1;
	s->in.tags[0] = (struct scan_tag){.name = span_of(text, SCAN_TAG_NAME_MAX)};
	s->in.n_edits = SCAN_EDITS_BYTES / SCAN_EDIT_MAX;
	for (size_t i = 0; i < s->in.n_edits; i++)
		s->in.edits[i] = (struct header_edit){
		    EDIT_ADD, 0, false, 0, SPAN("X"), span_of(text, SCAN_EDIT_MAX - 1)};
	assert_int_equal(pass_result(s), 0);
	s->in.edits[0].value.n++;
	assert_int_equal(pass_result(s), -E_CORRUPT);
	s->in.edits[0].value.n--;
	s->in.edits[s->in.n_edits++] = s->in.edits[0];
	assert_int_equal(pass_result(s), -E_CORRUPT);
	s->in.n_edits = 0;
	s->in.outcomes[0].why.n++;
	assert_int_equal(pass_result(s), -E_CORRUPT);
	s->in.n_outcomes = 0;
	s->in.tags[0].name.n++;
	assert_int_equal(pass_result(s), -E_CORRUPT);
}

static void
test_hostile_hosts(void **state)
{
	static const char *const rows[] = {
	    "", "A.example", "a b", "a\r\nb", "a/b", "[::1]", "a@b", "a\"b", "m\xc3\xbc.example"};
	static char text[SCAN_HOST_MAX + 1];
	struct state *s = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		s->in = (struct scan_result){.n_hosts = 1, .hosts = {span_str(rows[i])}};
		if (pass_result(s) != -E_CORRUPT)
			fail_msg("taken: %s", rows[i]);
	}
	memset(text, 'a', sizeof(text));
	s->in = (struct scan_result){.n_hosts = 1, .hosts = {span_of(text, sizeof(text))}};
	assert_int_equal(pass_result(s), -E_CORRUPT);
	s->in.hosts[0].n--;
	assert_int_equal(pass_result(s), 0);
}

static void
test_largest_result_fits_its_packet(void **state)
{
	static char text[SCAN_EDIT_MAX], truths[SCAN_TRUTHS_MAX];
	struct state *s = *state;
	size_t left = SCAN_EDITS_BYTES;

	memset(text, 'a', sizeof(text));
	s->in.n_outcomes = SCAN_OUTCOMES_MAX;
	for (size_t i = 0; i < SCAN_OUTCOMES_MAX; i++)
		s->in.outcomes[i] = (struct scan_outcome){0, 0, span_of(text, SCAN_WHY_MAX),
		    span_of(text, SCAN_UNCUT_BYTES / SCAN_OUTCOMES_MAX)};
	s->in.n_parts = SCAN_PARTS_MAX;
	for (size_t i = 0; i < SCAN_PARTS_MAX; i++)
		s->in.parts[i] = (struct scan_part){
		    .at = i, .n = 1, .name = span_of(text, SCAN_PARTS_BYTES / SCAN_PARTS_MAX)};
	s->in.n_marks = SCAN_MARKS_MAX;
	s->in.marks[0].why = span_of(text, SCAN_PARTS_BYTES % SCAN_PARTS_MAX);
	s->in.n_tags = SCAN_TAGS_MAX;
	for (size_t i = 0; i < SCAN_TAGS_MAX; i++)
		s->in.tags[i] = (struct scan_tag){
		    0, span_of(text, SCAN_TAG_NAME_MAX), span_of(text, SCAN_WHY_MAX), 0};
	s->in.n_edits = SCAN_EDITS_MAX;
	for (size_t i = 0; i < SCAN_EDITS_MAX; i++) {
		size_t n = left / (SCAN_EDITS_MAX - i);

		s->in.edits[i] =
		    (struct header_edit){EDIT_ADD, 0, false, 0, span_of(text, n), SPAN("")};
		left -= n;
	}
	s->in.truths = span_of(truths, sizeof(truths));
	s->in.n_hosts = SCAN_HOSTS_MAX;
	for (size_t i = 0; i < SCAN_HOSTS_MAX; i++)
		s->in.hosts[i] = span_of(text, SCAN_HOST_MAX);
	assert_int_equal(pass_result(s), 0);
	assert_true(s->buf.n + 64 <= CHANNEL_PACKET_MAX); /* a worker makes no memory files */
	s->in.marks[0].why.n++;
	assert_int_equal(pass_result(s), -E_CORRUPT);
}

static void
test_request_travels(void **state)
{
	const struct span rcpts[] = {SPAN("a@b.example"), SPAN("c@d.example")};
	struct scan_request in = {.id = SPAN("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
	    .flow = 3,
	    .policy = 1ull << 40,
	    .skip = 5,
	    .host = SPAN("h.example"),
	    .helo = SPAN("helo"),
	    .from = SPAN("x@y.example"),
	    .rcpts = rcpts,
	    .n_rcpts = 2,
	    .wants_hosts = true,
	    .is_inline = true,
	    .body = SPAN("A: b\r\n\r\ntext\r\n")};
	struct state *s = *state;
	struct scan_request out;
	struct span got[2], all;

	assert_true(ip_parse(SPAN("192.0.2.9"), &in.client));
	scan_request_put(&s->buf, &in);
	all = buf_span(&s->buf);
	assert_int_equal(scan_request_get(all, &out, got, 2), 0);
	assert_int_equal(out.flow, 3);
	assert_int_equal(out.policy, 1ull << 40);
	assert_int_equal(out.skip, 5);
	assert_true(ip_eq(&out.client, &in.client));
	assert_true(span_eq(out.rcpts[1], rcpts[1]));
	assert_true(out.is_inline);
	assert_true(out.wants_hosts);
	assert_true(span_eq(out.body, in.body));
	assert_int_equal(scan_request_get(all, &out, got, 1), -E_CORRUPT);
	for (size_t n = 0; n < all.n; n++)
		assert_int_equal(scan_request_get(span_take(all, n), &out, got, 2), -E_CORRUPT);
}

static void
test_death_travels(void **state)
{
	const struct worker_death in = {
	    .signal = 9, .exit_status = 0, .filter = -1, .scan = 77, .was_deadline = true};
	struct worker_death out, lie = in;
	struct state *s = *state;

	worker_death_put(&s->buf, &in);
	assert_int_equal(worker_death_get(buf_span(&s->buf), &out), 0);
	assert_int_equal(out.signal, 9);
	assert_int_equal(out.filter, -1);
	assert_int_equal(out.scan, 77);
	assert_true(out.was_deadline);
	lie.filter = CONFIG_FILTERS_MAX;
	buf_clear(&s->buf);
	worker_death_put(&s->buf, &lie);
	assert_int_equal(worker_death_get(buf_span(&s->buf), &out), -E_CORRUPT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_result_travels, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_result_cut_anywhere_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lies_are_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_limits_at_their_edge, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_hostile_hosts, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_largest_result_fits_its_packet, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_request_travels, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_death_travels, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/filter_fixture.h"
#include "filters/chain/abouts.h"
#include "filters/chain/builtins.h"
#include "filters/content/pattern.h"

static const char settings[] = "filter \"content\" { subject = {\"/\\\\bpills\\\\b/i\"} "
			       "body = {\"/overdue invoice/i\", \"/^(a+)+$/\"} "
			       "tag = \"spam\" score = \"2.5\" }";

static int
setup(void **state)
{
	struct fixture *f = fixture_new("\"content\"", settings, filters_abouts(), filters_builtin);

	assert_int_equal(chain_load(f->chain, &f->err), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

struct row {
	const char *mail, *outcome; /* NULL: none */
};

static const struct row rows[] = {
    {"Subject: hello\r\n\r\nnothing here\r\n", NULL},
    {"Subject: cheap PILLS now\r\n\r\nx\r\n", "matched"},
    {"Subject: =?utf-8?B?cGlsbHM=?=\r\n\r\nx\r\n", "matched"},
    {"Subject: x\r\n\r\nYour Overdue Invoice\r\n", "matched"},
    {"Subject: x\r\nContent-Transfer-Encoding: base64\r\n\r\nb3ZlcmR1ZSBpbnZvaWNl\r\n", "matched"},
    {"Subject: x\r\nContent-Type: application/x\r\n\r\noverdue invoice\r\n", "matched"},
    {"Subject: spills\r\nX: pills\r\n\r\nx\r\n", NULL},
    {"Subject: x\r\n\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "limit"},
};

static void
test_rows(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct scan_result *r = fixture_scan(f, span_str(rows[i].mail), NULL);
		bool is_there =
		    rows[i].outcome == NULL || fixture_outcome(f, r, rows[i].outcome) >= 0;

		if (!is_there || (r->n_outcomes > 0) != (rows[i].outcome != NULL))
			fail_msg("row %zu: %zu outcomes", i, r->n_outcomes);
	}
}

static void
test_tag_and_why(void **state)
{
	struct fixture *f = *state;
	const struct scan_result *r = fixture_scan(f, span_str(rows[1].mail), NULL);

	assert_int_equal(r->n_tags, 1);
	assert_true(span_eq(r->tags[0].name, SPAN("spam")));
	assert_int_equal(r->tags[0].score_milli, 2500);
	assert_true(span_eq(r->outcomes[0].why, SPAN("subject /\\bpills\\b/i")));
}

static void
test_wrong_pattern_is_a_settings_error(void **state)
{
	struct fixture *f = fixture_new("\"content\"", "filter \"content\" { body = {\"/(/\"} }",
	    filters_abouts(), filters_builtin);

	(void)state;
	assert_int_equal(chain_load(f->chain, &f->err), -E_CONFIG);
	assert_non_null(strstr(f->err.text, "filter content: /(/"));
	fixture_free(f);
}

static void
test_patterns(void **state)
{
	static const struct {
		const char *text, *value;
		int result; /* -1: no pattern */
	} all[] = {{"/a/", "cat", PATTERN_YES}, {"/A/", "cat", PATTERN_NO},
	    {"/A/i", "cat", PATTERN_YES}, {"/a/z", "", -1}, {"//", "", -1}, {"a", "", -1},
	    {"", "", -1}, {"/a", "", -1}, {"/^$/", "", PATTERN_YES},
	    {"/\xc3\xa4/i", "\xc3\x84", PATTERN_YES},
	    {"/b/",
		"\xff\xfe"
		"b",
		PATTERN_YES},
	    {"/a\\/b/", "a/b", PATTERN_YES}};
	char why[200];

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct pattern *p = pattern_new(span_str(all[i].text), why, sizeof(why));
		struct effort effort;
		int r;

		effort_begin(&effort, 100000);
		r = p != NULL ? (int)pattern_match(p, span_str(all[i].value), &effort) : -1;

		if (r != all[i].result)
			fail_msg("%s on %s: %d", all[i].text, all[i].value, r);
		pattern_free(&p);
	}
}

/* What one pattern has spent no other has. */
static void
test_patterns_share_their_effort(void **state)
{
	struct pattern *costly = pattern_new(SPAN("/[a-z]+\\d/"), NULL, 0);
	struct pattern *plain = pattern_new(SPAN("/b/"), NULL, 0);
	struct effort effort;
	char text[5000];

	(void)state;
	memset(text, 'a', sizeof(text));
	effort_begin(&effort, 1000000);
	assert_int_equal(pattern_match(plain, SPAN("b"), &effort), PATTERN_YES);
	assert_int_equal(
	    pattern_match(costly, span_of(text, sizeof(text)), &effort), PATTERN_LIMIT);
	assert_int_equal(pattern_match(plain, SPAN("b"), &effort), PATTERN_LIMIT);
	effort_begin(&effort, 1000000);
	assert_int_equal(pattern_match(plain, SPAN("b"), &effort), PATTERN_YES);
	pattern_free(&costly);
	pattern_free(&plain);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_rows, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_tag_and_why, setup, teardown),
	    cmocka_unit_test(test_wrong_pattern_is_a_settings_error),
	    cmocka_unit_test(test_patterns),
	    cmocka_unit_test(test_patterns_share_their_effort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

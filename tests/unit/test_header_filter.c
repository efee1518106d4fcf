/* The header and the tag filter: both only look at and edit header fields. */
#include "tests/unit/filter_fixture.h"
#include "filters/chain/abouts.h"
#include "filters/chain/builtins.h"

static const char settings[] = "filter \"header\" { match = {\"X-Mailer: /bulkmaster/i\"} "
			       "add = {\"X-Checked: by us\"} remove = {\"X-Internal\"} }\n"
			       "filter \"tag\" { subject = \"[spam?]\" }";

static int
setup(void **state)
{
	struct fixture *f =
	    fixture_new("\"header\", \"tag\"", settings, filters_abouts(), filters_builtin);

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

static void
test_match(void **state)
{
	struct fixture *f = *state;
	const struct scan_result *r =
	    fixture_scan(f, SPAN("Subject: x\r\nX-mailer: BulkMaster 3\r\n\r\n"), NULL);

	assert_int_equal(r->n_outcomes, 1);
	assert_int_equal(r->outcomes[0].filter, 0);
	assert_true(span_eq(r->outcomes[0].why, SPAN("X-Mailer: /bulkmaster/i")));
	r = fixture_scan(f, SPAN("Subject: x\r\nX-Other: BulkMaster 3\r\n\r\n"), NULL);
	assert_int_equal(r->n_outcomes, 0);
}

static void
test_edits(void **state)
{
	struct fixture *f = *state;
	const struct scan_result *r = fixture_scan(f,
	    SPAN("A: b\r\nx-internal: 1\r\nSubject: old\r\n text\r\nX-Internal: 2\r\n\r\n"), NULL);

	assert_int_equal(r->n_edits, 4);
	assert_int_equal(r->edits[0].kind, EDIT_REMOVE);
	assert_int_equal(r->edits[0].index, 1);
	assert_int_equal(r->edits[1].index, 3);
	assert_int_equal(r->edits[2].kind, EDIT_ADD);
	assert_true(span_eq(r->edits[2].name, SPAN("X-Checked")));
	assert_true(span_eq(r->edits[2].value, SPAN(" by us")));
	assert_false(r->edits[2].only_tagged);
	assert_int_equal(r->edits[3].kind, EDIT_CHANGE);
	assert_int_equal(r->edits[3].filter, 1);
	assert_int_equal(r->edits[3].index, 2);
	assert_true(r->edits[3].only_tagged);
	assert_true(span_eq(r->edits[3].value, SPAN(" [spam?] old\r\n text")));
}

static void
test_subject_missing_or_marked(void **state)
{
	struct fixture *f = *state;
	const struct scan_result *r = fixture_scan(f, SPAN("A: b\r\n\r\n"), NULL);

	assert_int_equal(r->n_edits, 2);
	assert_int_equal(r->edits[1].kind, EDIT_ADD);
	assert_true(span_eq(r->edits[1].name, SPAN("Subject")));
	assert_true(span_eq(r->edits[1].value, SPAN(" [spam?]")));
	r = fixture_scan(f, SPAN("Subject: [spam?] again\r\n\r\n"), NULL);
	assert_int_equal(r->n_edits, 1);
}

static void
test_subject_beyond_ascii(void **state)
{
	struct fixture *f = fixture_new("\"tag\"",
	    "filter \"tag\" { subject = \"[verd\xc3\xa4"
	    "chtig]\" }",
	    filters_abouts(), filters_builtin);
	const struct scan_result *r;

	(void)state;
	assert_int_equal(chain_load(f->chain, &f->err), 0);
	r = fixture_scan(f, SPAN("Subject: x\r\n\r\n"), NULL);
	assert_int_equal(r->n_edits, 1);
	assert_true(span_eq(r->edits[0].value, SPAN(" =?UTF-8?B?W3ZlcmTDpGNodGlnXQ==?= x")));
	fixture_free(f);
}

static void
test_settings_errors(void **state)
{
	static const char *const wrong[] = {"filter \"header\" { match = {\"no colon\"} }",
	    "filter \"header\" { match = {\"A: b\"} }", "filter \"header\" { remove = {\"\"} }",
	    "filter \"header\" { add = {\"A b: c\"} }"};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct fixture *f =
		    fixture_new("\"header\"", wrong[i], filters_abouts(), filters_builtin);

		assert_int_equal(chain_load(f->chain, &f->err), -E_CONFIG);
		fixture_free(f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_match, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_edits, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_subject_missing_or_marked, setup, teardown),
	    cmocka_unit_test(test_subject_beyond_ascii),
	    cmocka_unit_test(test_settings_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

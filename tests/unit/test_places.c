/* config_parse_places: where the relay that runs is, by a text that may be wrong everywhere else. */
#include "tests/unit/config_fake.h"

static void
test_places(void **state)
{
	static const struct {
		const char *text;
		const char *run_dir, *state_dir; /* NULL: it cannot be told */
		bool has_errors;
	} rows[] = {
	    {"", "/run/postern", "/var/lib/postern", false},
	    {BASE, "/run/postern", "/var/lib/postern", false},
	    {"run_dir = \"/a/\" state_dir = \"/b\"", "/a", "/b", false},
	    /* What is no business of theirs. */
	    {"nonsense = 1\nrun_dir = \"/a\"\nfilter \"x\" { y = 1 }", "/a", "/var/lib/postern",
		false},
	    {"plugins = \"/nowhere\"\nflow \"f\" { filters = {\"gone\"} }\nrun_dir = \"/a\"", "/a",
		"/var/lib/postern", false},
	    {"quarantine { keep = never }\nrun_dir = \"/a\"", "/a", "/var/lib/postern", true},
	    /* Not a word of the top level, and nothing that would explain how it came there. */
	    {"flow \"f\" { run_dir = \"/a\" }", "/run/postern", "/var/lib/postern", false},
	    /* A brace too few or too many, a quote that is not closed, behind the words and before them. */
	    {"run_dir = \"/a\"\nstate_dir = \"/b\"\nflow \"f\" {", "/a", "/b", true},
	    {"flow \"f\" {\nrun_dir = \"/a\"\nstate_dir = \"/b\"\n", "/a", "/b", true},
	    {"flow \"f\" { } }\nrun_dir = \"/a\"\nstate_dir = \"/b\"\n", "/a", "/b", true},
	    {"run_dir = \"/a\"\nhostname = \"mx\nstate_dir = \"/b\"\n", "/a", "/b", true},
	    {"hostname = = =\nrun_dir = \"/a\"", "/a", "/var/lib/postern", true},
	    /* The word is there, and nobody can say what it is. */
	    {"run_dir = \"a\"", NULL, NULL, true},
	    {"run_dir = {\"/a\", \"/b\"}", NULL, NULL, true},
	    {"run_dir { }", NULL, NULL, true},
	    {"run_dir \"/a\"", NULL, NULL, true},
	    {"state_dir = \"../b\"\nrun_dir = \"/a\"", NULL, NULL, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config_errors errors = {0};
		struct config *c = config_parse_places(span_str(rows[i].text), "t.conf", &errors);
		bool is_known = rows[i].run_dir != NULL;

		if ((c != NULL) != is_known || (errors.n > 0) != rows[i].has_errors ||
		    (is_known && (strcmp(c->run_dir, rows[i].run_dir) != 0 ||
				     strcmp(c->state_dir, rows[i].state_dir) != 0)))
			fail_msg("row %zu: %s %s\n%.*s", i, c != NULL ? c->run_dir : "none",
			    c != NULL ? c->state_dir : "none", (int)errors.lines.n,
			    errors.lines.n > 0 ? errors.lines.p : "");
		buf_free(&errors.lines);
		config_free(&c);
	}
}

static void
test_quarantine(void **state)
{
	struct config_errors errors = {0};
	struct config *c =
	    config_parse_places(SPAN("quarantine { keep = 2d }\nnonsense"), "t.conf", &errors);

	assert_non_null(c);
	assert_int_equal(c->quarantine.keep_ms, 2 * 24 * 3600 * 1000);
	assert_true(errors.n > 0);
	assert_true(span_starts(buf_span(&errors.lines), SPAN("t.conf:2: ")));
	buf_free(&errors.lines);
	config_free(&c);
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_places), cmocka_unit_test(test_quarantine)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

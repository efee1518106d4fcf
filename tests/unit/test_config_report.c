/* The report as a whole: all errors of a text, sorted, bounded, whatever the text. */
#include "tests/unit/config_fake.h"

/* All wrong words of the contract's own example, and nothing else. */
static void
test_contract_example(void **state)
{
	static const struct {
		const char *line,
		    *word; /* a line has all of `line`, its error begins with `word` */
	} expected[] = {
	    {"filters   =", "filter \"spf\""},
	    {"filters   =", "filter \"dkim\""},
	    {"filters   =", "filter \"dmarc\""},
	    {"trust \"dmz\"", "\"trust\""},
	    {"journal    {", "\"keep\""},
	    {"journal    {", "\"max\""},
	    {"journal    {", "\"privacy\""},
	    {"fleet      {", "\"fleet\""},
	};
	char *text = file_text("tests/data/contract.conf");
	char *lines = errors_of(span_str(text));
	struct span rest = span_str(lines);

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		const char *at = strstr(text, expected[i].line);
		struct span line = span_cut(&rest, '\n');
		struct buf begin = BUF_INIT(200);
		int number = 1;

		assert_non_null(at);
		for (const char *p = text; p < at; p++)
			number += *p == '\n';
		assert_int_equal(buf_addf(&begin, "t.conf:%d: %s", number, expected[i].word), 0);
		if (!span_starts(line, buf_span(&begin)))
			fail_msg("%.*s, not %.*s", SPAN_ARG(line), SPAN_ARG(buf_span(&begin)));
		assert_true(memmem(line.p, line.n, "not in this version", 19) != NULL);
		buf_free(&begin);
	}
	assert_int_equal(rest.n, 0);
	mem_free(lines);
	mem_free(text);
}

static void
test_twenty_errors_are_twenty_lines(void **state)
{
	struct buf text = BUF_INIT(65536);
	char *lines;
	struct span rest;

	(void)state;
	assert_int_equal(buf_add_str(&text, BASE), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(
		    buf_addf(&text, "gateway \"g%d\" {\nsever = 1 server \"a:25\" { } }\n", i), 0);
	lines = errors_of(buf_span(&text));
	rest = span_str(lines);
	for (int i = 0; i < 20; i++) {
		struct buf line = BUF_INIT(200);

		assert_int_equal(
		    buf_addf(&line,
			"t.conf:%d: unknown word \"sever\" in gateway \"g%d\"; did you mean "
			"\"server\"?",
			7 + 2 * i, i),
		    0);
		assert_true(span_eq(span_cut(&rest, '\n'), buf_span(&line)));
		buf_free(&line);
	}
	assert_int_equal(rest.n, 0);
	mem_free(lines);
	buf_free(&text);
}

static void
test_errors_are_bounded(void **state)
{
	struct buf text = BUF_INIT(CONFIG_TEXT_MAX);
	struct config_errors errors = {0};

	(void)state;
	for (int i = 0; i < 1500; i++)
		assert_int_equal(buf_addf(&text, "w%d = 1\n", i), 0);
	assert_null(config_parse(buf_span(&text), "t.conf", fake_plugins, &errors));
	assert_int_equal(errors.n, 1001);
	assert_true(span_starts(buf_span(&errors.lines), SPAN("t.conf:1: ")));
	assert_true(span_ends_nocase(buf_span(&errors.lines),
	    SPAN("\nt.conf: more errors than are shown; mend these first\n")));
	buf_free(&errors.lines);
	buf_free(&text);
}

static void
test_bytes_that_no_text_has(void **state)
{
	char nul[] = BASE "# a\0b\nrun_dir = \"/\xff\"\ndns {\0 }\n\x1b\n";
	char *lines = errors_of(span_of(nul, sizeof(nul) - 1));

	(void)state;
	assert_string_equal(lines, "t.conf:6: a NUL byte; the configuration must be text\n"
				   "t.conf:7: bytes that are not UTF-8; save the file as UTF-8\n"
				   "t.conf:8: a NUL byte; the configuration must be text\n"
				   "t.conf:9: a control character; remove it\n");
	mem_free(lines);
}

static void
test_text_at_its_limit(void **state)
{
	char *text = mem_alloc(CONFIG_TEXT_MAX + 1);
	char *lines;

	(void)state;
	memset(text, ' ', CONFIG_TEXT_MAX + 1);
	memcpy(text, BASE, sizeof(BASE) - 1);
	lines = errors_of(span_of(text, CONFIG_TEXT_MAX));
	assert_string_equal(lines, "");
	mem_free(lines);
	lines = errors_of(span_of(text, CONFIG_TEXT_MAX + 1));
	assert_string_equal(
	    lines, "t.conf:1: the text has 1048577 bytes; at most 1048576 are read\n");
	mem_free(lines);
	mem_free(text);
}

/* However the text is cut, a report is whole lines with a number from 1 to the last line. */
static void
test_cut_anywhere(void **state)
{
	char *text = file_text("tests/data/contract.conf");
	size_t n = strlen(text);

	(void)state;
	for (size_t cut = 0; cut < n; cut++) {
		char *lines = errors_of(span_of(text, cut));
		struct span rest = span_str(lines);

		while (rest.n > 0) {
			struct span line = span_cut(&rest, '\n'), number;
			uint64_t value;

			assert_true(span_starts(line, SPAN("t.conf:")));
			line = span_skip(line, 7);
			number = span_cut(&line, ':');
			assert_true(span_to_u64(number, &value) && value >= 1 && value <= 60);
			assert_true(line.n > 10);
		}
		mem_free(lines);
	}
	mem_free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_contract_example),
	    cmocka_unit_test(test_twenty_errors_are_twenty_lines),
	    cmocka_unit_test(test_errors_are_bounded),
	    cmocka_unit_test(test_bytes_that_no_text_has),
	    cmocka_unit_test(test_text_at_its_limit),
	    cmocka_unit_test(test_cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

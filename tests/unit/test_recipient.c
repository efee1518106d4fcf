/* Recipient tables. */
#include "policy/recipient/recipient.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char table_text[] = "\xef\xbb\xbf# staff\r\n"
				 "Anna@Example.org   # comment\n"
				 "\n"
				 "@all.example\n"
				 "  info  \n"
				 "odd#name@example.org\n"
				 "\"john doe\"@example.org\n"
				 "last@example.org";

static int
setup(void **state)
{
	struct err err = {0};

	*state = recipients_parse(span_str(table_text), "r", &err);
	return *state == NULL;
}

static int
teardown(void **state)
{
	struct recipients *t = *state;

	recipients_free(&t);
	return 0;
}

static void
test_has(void **state)
{
	static const struct {
		const char *address;
		bool is_there;
	} rows[] = {
	    {"anna@example.org", true},
	    {"ANNA@EXAMPLE.ORG", true},
	    {"bert@example.org", false},
	    {"anna@example.com", false},
	    {"anybody@all.example", true},
	    {"anybody@sub.all.example", false},
	    {"info@example.org", true},
	    {"info@anything.example", true},
	    {"info", true},
	    {"infos@example.org", false},
	    {"odd#name@example.org", true},
	    {"\"john doe\"@example.org", true},
	    {"last@example.org", true},
	    {"", false},
	    {"@all.example", false},
	    {"@", false},
	    {"anna", false},
	    {"comment", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (recipients_has(*state, span_str(rows[i].address)) != rows[i].is_there)
			fail_msg("%s", rows[i].address);
	assert_int_equal(recipients_count(*state), 6);
}

static void
test_wrong_lines(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
	    {"a@b.example\nc@d.example, e@f.example\n", "r:2: "},
	    {"<a@b.example>\n", "r:1: "},
	    {"a@\n", "r:1: no domain"},
	    {"\n\n*@b.example\n", "r:3: a glob"},
	    {"a b@c.example\n", "r:1: more than"},
	    {"a@*.example\n", "r:1: "},
	    {"\xff@b.example\n", "r:1: not UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = {0};

		assert_null(recipients_parse(span_str(rows[i].text), "r", &err));
		assert_int_equal(err.code, E_CONFIG);
		if (strncmp(err.text, rows[i].says, strlen(rows[i].says)) != 0)
			fail_msg("row %zu: %s", i, err.text);
	}
}

static void
test_length_edge(void **state)
{
	char line[RECIPIENT_MAX + 2];
	struct recipients *t;

	(void)state;
	memset(line, 'a', sizeof(line));
	t = recipients_parse(span_of(line, RECIPIENT_MAX), "r", NULL);
	assert_non_null(t);
	assert_true(recipients_has(t, span_of(line, RECIPIENT_MAX)));
	assert_false(recipients_has(t, span_of(line, RECIPIENT_MAX + 1)));
	recipients_free(&t);
	assert_null(recipients_parse(span_of(line, RECIPIENT_MAX + 1), "r", NULL));
}

static void
test_load(void **state)
{
	char path[] = "/tmp/postern-recipients-XXXXXX";
	int fd = mkstemp(path);
	struct recipients *t;
	struct err err = {0};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, table_text, sizeof(table_text) - 1), sizeof(table_text) - 1);
	assert_int_equal(close(fd), 0);
	t = recipients_load(path, &err);
	assert_non_null(t);
	assert_int_equal(recipients_count(t), 6);
	recipients_free(&t);
	assert_int_equal(unlink(path), 0);
	assert_null(recipients_load(path, &err));
	assert_int_equal(err.code, E_IO);
	assert_null(recipients_load("/tmp", &err));
	assert_int_equal(err.code, E_IO);
}

static void
test_many(void **state)
{
	struct buf text = BUF_INIT(4 * 1024 * 1024);
	struct recipients *t;

	(void)state;
	for (int i = 0; i < 50000; i++)
		assert_int_equal(buf_addf(&text, "user%d@example.org\n", i), 0);
	t = recipients_parse(buf_span(&text), "r", NULL);
	assert_non_null(t);
	assert_int_equal(recipients_count(t), 50000);
	assert_true(recipients_has(t, SPAN("USER49999@example.org")));
	assert_false(recipients_has(t, SPAN("user50000@example.org")));
	recipients_free(&t);
	buf_free(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_has, setup, teardown),
	    cmocka_unit_test(test_wrong_lines),
	    cmocka_unit_test(test_length_edge),
	    cmocka_unit_test(test_load),
	    cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

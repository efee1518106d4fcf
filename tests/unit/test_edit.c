/* test_edit.c - forged fields go, edits do what they say. */
#include "relay/message/edit.h"
#include "relay/message/header.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
forged_fields_go(void **state)
{
	static const char *const forged[] = {
	    "X-Postern-Tag: a\r\n",
	    "X-Postern-Anything: a\r\n b\r\n\tc\r\n",
	    "x-POSTERN-verdict : pass\r\n",
	    "X-Spam-Flag: YES\r\n",
	    "x-spam-FLAG\t: NO\r\n",
	    "X-Spam-Flag:\r\n YES\r\n",
	    "X-Spam-Flag\r\n : YES\r\n",
	    "X-Spam\r\n -Flag: YES\r\n",
	    "X-Spam-\1Flag: YES\r\n",
	    "X-Spam-Flag\x80: YES\r\n",
	    "X-Spam Flag-X-Spam-Flag\r\n",
	    "X-Spam-Flag YES\r\n",
	    "X- Postern-Tag: a\r\n",
	    "X-Postern-: a\r\n",
	    "X-Spam-Flag: YES\n",
	    "no colon\r\n X-Spam-Flag: YES\r\n",
	    "Authentication-Results: mx1.example.org; spf=pass\r\n",
	    "authentication-results : MX1.Example.Org 1; spf=pass\r\n",
	    "Authentication-Results: (a (b) \\) c) \"mx1.example\\.org\" (d) 1; none\r\n",
	    "Authentication-Results:\r\n mx1.example.org\r\n ; none\r\n",
	    "Authentication-Results: mx1.example.org.; none\r\n",
	    "Authentication-Results: mx1.example.org\r\n",
	    "Authentication-Results: mx1.example.org/1; none\r\n",
	};
	static const size_t kept_anyway = 10; /* only looks like one */

	(void)state;
	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		struct buf section = BUF_INIT(4096), out = BUF_INIT(4096);
		int gone;

		(void)buf_add_str(&section, "From: a\r\n");
		(void)buf_add_str(&section, forged[i]);
		(void)buf_add_str(&section, "To: b\r\n c\r\n");
		gone = edit_strip_foreign(buf_span(&section), SPAN("mx1.example.org"), &out);
		if (i == kept_anyway)
			assert_int_equal(gone, 0);
		else if (gone != 1 || !span_eq(buf_span(&out), SPAN("From: a\r\nTo: b\r\n c\r\n")))
			fail_msg("not removed: %s", forged[i]);
		buf_free(&section);
		buf_free(&out);
	}
}

static void
others_stay(void **state)
{
	static const char section[] = "Subject: x\r\n X-Spam-Flag: YES\r\n"
				      "X-Spam-Status: No\r\n"
				      "X-Spam-Flagged: a\r\n"
				      "X-Posterns: a\r\n"
				      "Authentication-Results: mx2.example.org; spf=pass\r\n"
				      "Authentication-Results: mx1.example.org.evil.example; a\r\n"
				      "ARC-Authentication-Results: i=1; mx1.example.org; a\r\n"
				      "no colon\r\n";
	struct buf out = BUF_INIT(4096);

	(void)state;
	assert_int_equal(edit_strip_foreign(span_str(section), SPAN("mx1.example.org"), &out), 0);
	assert_true(span_eq(buf_span(&out), span_str(section)));
	buf_free(&out);
}

static void
orphan_fold_goes(void **state)
{
	struct buf out = BUF_INIT(4096);

	(void)state;
	assert_int_equal(edit_strip_foreign(
			     SPAN(" ; pass\r\n\tmore\r\nA: b\r\n"), SPAN("mx1.example.org"), &out),
	    1);
	assert_true(span_eq(buf_span(&out), SPAN("A: b\r\n")));
	buf_free(&out);
}

static void
strip_limits(void **state)
{
	struct buf section = BUF_INIT(HEADER_SECTION_MAX + 10), out = BUF_INIT(1000000);

	(void)state;
	for (int i = 0; i < HEADER_FIELDS_MAX; i++)
		(void)buf_add_str(&section, "A: b\r\n");
	assert_int_equal(edit_strip_foreign(buf_span(&section), SPAN("h"), &out), 0);
	(void)buf_add_str(&section, "A: b\r\n");
	assert_int_equal(edit_strip_foreign(buf_span(&section), SPAN("h"), &out), -E_LIMIT);
	buf_clear(&section);
	(void)buf_add_str(&section, "A: ");
	while (section.n < HEADER_SECTION_MAX - 2)
		(void)buf_add_char(&section, 'x');
	(void)buf_add_str(&section, "\r\n");
	assert_int_equal(edit_strip_foreign(buf_span(&section), SPAN("h"), &out), 0);
	(void)buf_add_char(&section, 'x');
	assert_int_equal(edit_strip_foreign(buf_span(&section), SPAN("h"), &out), -E_LIMIT);
	buf_free(&section);
	buf_free(&out);
}

static void
fine_edits(void **state)
{
	static const struct {
		const char *name, *value;
		bool is_fine;
	} cases[] = {
	    {"X-A", "b", true},
	    {"X-A", "", true},
	    {"X-A", "b\r\n c", true},
	    {"X-A", "\r\n b", true},
	    {"X-A", "b\xc3\xa9", true},
	    {"X-A", "b\r\nc", false},
	    {"X-A", "b\r\n", false},
	    {"X-A", "b\r\n ", false},
	    {"X-A", "b\r\n \r\n c", false},
	    {"X-A", "b\nc", false},
	    {"X-A", "b\n c", false},
	    {"X-A", "b\rc", false},
	    {"X-A", "b\r", false},
	    {"", "b", false},
	    {"X A", "b", false},
	    {"X:A", "b", false},
	    {"X\xc3\xa9", "b", false},
	    {"x-postern-tag", "b", false},
	    {"X-SPAM-flag", "b", false},
	    {"received", "b", false},
	    {"Authentication-Results", "b", false},
	};
	static char longest[999];
	struct header_edit e = {.kind = EDIT_ADD, .name = SPAN("X-A"), .value = SPAN("a\0b")};

	(void)state;
	assert_false(edit_is_fine(&e));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		e.name = span_str(cases[i].name);
		e.value = span_str(cases[i].value);
		if (edit_is_fine(&e) != cases[i].is_fine)
			fail_msg("case %zu", i);
	}
	memset(longest, 'a', sizeof(longest));
	e.name = SPAN("X-A");
	e.value = span_of(longest, 998 - 5);
	assert_true(edit_is_fine(&e));
	e.value = span_of(longest, 998 - 4);
	assert_false(edit_is_fine(&e));
}

static void
edits_apply(void **state)
{
	static const struct header_edit edits[] = {
	    {.kind = EDIT_CHANGE, .index = 1, .value = SPAN("new")},
	    {.kind = EDIT_ADD, .name = SPAN("X-One"), .value = SPAN("1\r\n more")},
	    {.kind = EDIT_REMOVE, .index = 2},
	    {.kind = EDIT_ADD, .name = SPAN("X-Two"), .value = SPAN(" 2"), .only_tagged = true},
	    {.kind = EDIT_CHANGE, .index = 2, .value = SPAN("late")},
	    {.kind = EDIT_REMOVE, .index = 0}, /* ours */
	    {.kind = EDIT_REMOVE, .index = 99},
	    {.kind = EDIT_CHANGE, .index = 3, .value = SPAN("x")}, /* has no name */
	    {.kind = EDIT_ADD, .name = SPAN("X-Spam-Flag"), .value = SPAN("YES")},
	};
	static const struct span section =
	    SPAN("Received: a\r\nSubject: old\r\n fold\r\nX-Gone: b\r\nno colon\r\nTo: c\r\n");
	struct buf out = BUF_INIT(4096);

	(void)state;
	assert_int_equal(edit_apply(section, edits, 9, false, &out), 0);
	assert_true(span_eq(buf_span(&out), SPAN("X-One: 1\r\n more\r\n"
						 "Received: a\r\nSubject: new\r\nno colon\r\n"
						 "To: c\r\n")));
	buf_clear(&out);
	assert_int_equal(edit_apply(section, edits, 9, true, &out), 0);
	assert_true(span_eq(buf_span(&out), SPAN("X-One: 1\r\n more\r\nX-Two: 2\r\n"
						 "Received: a\r\nSubject: new\r\nno colon\r\n"
						 "To: c\r\n")));
	buf_clear(&out);
	assert_int_equal(edit_apply(section, NULL, 0, true, &out), 0);
	assert_true(span_eq(buf_span(&out), section));
	buf_free(&out);
}

static void
edit_limits(void **state)
{
	static const struct header_edit add = {
	    .kind = EDIT_ADD, .name = SPAN("X"), .value = SPAN("y")};
	static char section[HEADER_SECTION_MAX];
	struct buf out = BUF_INIT(1000000);

	(void)state;
	memset(section, 'a', sizeof(section));
	section[1] = ':';
	assert_int_equal(edit_apply(span_of(section, sizeof(section)), NULL, 0, false, &out), 0);
	buf_clear(&out);
	assert_int_equal(
	    edit_apply(span_of(section, sizeof(section)), &add, 1, false, &out), -E_LIMIT);
	assert_int_equal(out.n, 0);
	assert_int_equal(edit_apply(SPAN(""), &add, SCAN_EDITS_MAX + 1, false, &out), -E_LIMIT);
	buf_free(&out);
}

static void
fields_are_folded(void **state)
{
	static char value[5000];
	struct buf out = BUF_INIT(100000);
	struct span rest;
	struct header_field f;

	(void)state;
	assert_int_equal(edit_add_field(&out, SPAN("X-A"), SPAN("  a\tb\r\nc\xc3\xa9  ")), 0);
	assert_true(span_eq(buf_span(&out), SPAN("X-A: a b\?\?c\?\?\r\n")));
	buf_clear(&out);
	assert_int_equal(edit_add_field(&out, SPAN("X-A"), SPAN("")), 0);
	assert_true(span_eq(buf_span(&out), SPAN("X-A:\r\n")));
	for (size_t word = 1; word < 3000; word = word * 3 + 1) {
		size_t letters = 0;

		buf_clear(&out);
		for (size_t i = 0; i < sizeof(value); i++)
			value[i] = i % (word + 1) == word ? ' ' : 'a';
		for (size_t i = 0; i < sizeof(value); i++)
			letters += value[i] == 'a';
		(void)edit_add_field(&out, SPAN("X-A"), span_of(value, sizeof(value)));
		rest = buf_span(&out);
		while (rest.n > 0) {
			struct span line = span_cut(&rest, '\n');

			assert_true(line.n - 1 <= (word < 70 ? 78 : 998));
			assert_true(span_trim(line).n > 0);
		}
		rest = buf_span(&out);
		assert_true(header_next(&rest, &f));
		assert_int_equal(rest.n, 0);
		for (size_t i = 0; i < f.value.n; i++)
			letters -= f.value.p[i] == 'a';
		assert_int_equal(letters, 0);
	}
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(forged_fields_go),
	    cmocka_unit_test(others_stay),
	    cmocka_unit_test(orphan_fold_goes),
	    cmocka_unit_test(strip_limits),
	    cmocka_unit_test(fine_edits),
	    cmocka_unit_test(edits_apply),
	    cmocka_unit_test(edit_limits),
	    cmocka_unit_test(fields_are_folded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What each form of value matches. */
#include "tests/unit/policy_text.h"

#include <stdio.h>

/* --- values ---------------------------------------------------------------------------------------- */

/* One facet with one value against one fact. */
static enum truth
match(const char *facet_and_value, struct span fact)
{
	struct buf text = BUF_INIT(16384);
	struct snapshot *s;
	enum truth t;

	assert_int_equal(buf_addf(&text, "tag x %s", facet_and_value), 0);
	s = parse_span(buf_span(&text));
	if (s == NULL)
		fail_msg("not taken: %s", facet_and_value);
	t = matcher_match(&snapshot_rule(s, 1)->facets[0]->matcher, fact);
	snapshot_release(&s);
	buf_free(&text);
	return t;
}

static void
test_values(void **state)
{
	static const struct {
		const char *value, *fact;
		bool is_match;
	} rows[] = {
	    /* networks and addresses */
	    {"client 192.0.2.1", "192.0.2.1", true},
	    {"client 192.0.2.1", "192.0.2.10", false},
	    {"client ::ffff:192.0.2.1", "192.0.2.1", true},
	    {"client 192.0.2.0/24", "192.0.2.255", true},
	    {"client 192.0.2.0/24", "192.0.3.0", false},
	    {"client 192.0.2.0/24", "::ffff:192.0.2.7", true},
	    {"client 0.0.0.0/0", "203.0.113.9", true},
	    {"client 0.0.0.0/0", "2001:db8::1", false},
	    {"client ::/0", "2001:db8::1", true},
	    {"client 2001:DB8::/32", "2001:db8:ffff::1", true},
	    {"client 2001:db8::/32", "2001:db9::1", false},
	    {"client 192.0.2.*", "192.0.2.77", true},
	    {"client 192.0.2.*", "192.0.20.7", false},
	    {"client *", "2001:db8::1", true},
	    {"client /^192\\.0\\./", "192.0.2.77", true},
	    /* names */
	    {"host mail.example.org", "MAIL.example.ORG", true},
	    {"host mail.example.org", "mail.example.org.", true},
	    {"host mail.example.org.", "mail.example.org", true},
	    {"host mail.example.org", "xmail.example.org", false},
	    {"host .example.org", "example.org", true},
	    {"host .example.org", "a.b.Example.org", true},
	    {"host .example.org", "notexample.org", false},
	    {"host @.example.org", "a.example.org", true},
	    {"host @example.org", "example.org", true},
	    {"host @example.org", "a.example.org", false},
	    {"host *.example.org", "a.b.example.org", true},
	    {"host *.example.org", "example.org", false},
	    {"host dsl-*-*.example.org", "dsl-1-2-3.example.org", true},
	    {"host dsl-*-*.example.org", "dsl-1.example.org", false},
	    {"helo [192.0.2.1]", "[192.0.2.1]", true},
	    {"helo localhost", "LOCALHOST", true},
	    {"helo /^\\d+\\.\\d+\\.\\d+\\.\\d+$/", "10.1.2.3", true},
	    {"helo /^\\d+\\.\\d+\\.\\d+\\.\\d+$/", "10.1.2.3x", false},
	    /* addresses */
	    {"from boss@example.org", "Boss@Example.ORG", true},
	    {"from <boss@example.org>", "boss@example.org", true},
	    {"from boss@example.org", "boss@example.orgs", false},
	    {"from <>", "", true},
	    {"from <>", "a@example.org", false},
	    {"from @example.org", "a@example.org", true},
	    {"from @example.org", "a@sub.example.org", false},
	    {"from @example.org", "example.org", false},
	    {"from @example.org", "\"x@y\"@example.org", true},
	    {"from @.example.org", "a@example.org", true},
	    {"from @.example.org", "a@b.c.example.org", true},
	    {"from @.example.org", "a@badexample.org", false},
	    {"from .example.org", "a@b.example.org", true},
	    {"from .example.org", "a.example.org", false},
	    {"from *@example.org", "anyone@EXAMPLE.org", true},
	    {"from *", "", true},
	    {"to postmaster", "Postmaster", true},
	    {"to postmaster", "postmaster@example.org", false},
	    {"to sales*@*.org", "sales-2@a.org", true},
	    {"to \"\\\"john doe\\\"@example.org\"", "\"John Doe\"@example.org", true},
	    {"from /^a/", "Alfred@example.org", false},
	    {"from /^a/i", "Alfred@example.org", true},
	    /* texts */
	    {"subject hello", "HELLO", true},
	    {"subject hello", "hello you", false},
	    {"subject \"cheap pills\"", "Cheap Pills", true},
	    {"subject *pills*", "cheap PILLS now", true},
	    {"subject \"* pills *\"", "cheap pills now", true},
	    {"subject \"* pills *\"", "cheap pills", false},
	    {"subject \"\"", "", true},
	    {"subject \"\"", "x", false},
	    {"subject \"!\"", "!", true},
	    {"subject \"!!! sale\"", "!!! SALE", true},
	    {"subject \"list: of things\"", "List: of things", true},
	    {"subject \"a \\\\ b \\\" c\"", "a \\ b \" c", true},
	    {"subject .example.org", ".example.org", true},
	    {"subject .example.org", "a.example.org", false},
	    {"subject 192.0.2.0/24", "192.0.2.0/24", true},
	    {"subject a#b", "a#b", true},
	    {"subject /cheap pills/", "very cheap pills", true},
	    {"subject /cheap pills/", "Cheap pills", false},
	    {"subject /cheap # pills/", "cheap # pills", true},
	    {"subject /a\\/b/", "xa/bx", true},
	    {"subject /\"quoted\"/", "a \"quoted\" word", true},
	    {"subject \"/a/b/\"", "xa/bx", true},
	    {"subject \"/usr/bin\"", "/USR/bin", true},
	    {"subject \"/\"", "/", true},
	    {"subject \"/\\bfoo\\b/i\"", "a FOO b", true},
	    {"subject /^\xc3\xbc.$/i", "\xc3\x9cx", true}, /* UTF: ü and Ü */
	    {"subject /^.$/", "\xc3\xbc", true},
	    {"subject /b$/", "\xff\xfe b", true}, /* what is not UTF-8 is no error */
	    {"header X-Mailer /bulk/i", "The BULK one", true},
	    {"header \"X-Mailer\" bulk", "Bulk", true},
	    {"body /one.*two/", "one\ntwo", false},
	    {"body /one\\stwo/", "one\ntwo", true},
	    {"body \"*one*\"", "a\nONE\nb", true},
	    /* lists */
	    {"client list:drop", "192.0.2.200", true},
	    {"client list:drop", "198.51.100.7", true},
	    {"client list:drop", "198.51.100.8", false},
	    {"client list:drop", "2001:db8:1::", true},
	    {"client list:drop", "0.0.0.0", false},
	    {"client list:drop", "255.255.255.255", false},
	    {"client list:empty", "192.0.2.1", false},
	    {"host list:names", "Mail.Example.org.", true},
	    {"host list:names", "a.dyn.example", true},
	    {"host list:names", "dyn.example", true},
	    {"host list:names", "xdyn.example", false},
	    {"host list:names", "only.example", true},
	    {"host list:names", "a.only.example", false},
	    {"from list:people", "BOSS@example.org", true},
	    {"from list:people", "x@news.example", true},
	    {"from list:people", "x@a.news.example", false},
	    {"from list:people", "x@a.corp.example", true},
	    {"from list:people", "", true},
	    {"from list:people", "news.example", false},
	    {"subject list:words", "cheap pills", true},
	    {"subject list:words", "Sale #1", true},
	    {"subject list:words", "sale", false},
	    {"subject \"list:words\"", "Cheap pills", true},
	    {"subject \"list:words\"", "list:words", false},
	    {"client \"list:drop\"", "192.0.2.200", true},
	    /* patterns in lists */
	    {"host list:patterns", "plain.example", true},
	    {"host list:patterns", "a.b.Glob.example.", true},
	    {"host list:patterns", "glob.example", false},
	    {"host list:patterns", "re17.example", true},
	    {"host list:patterns", "Re17.example", false},
	    {"host list:patterns", "upper.example", false},
	    {"host list:patterns", "LOWER.example", true},
	    {"from list:senders", "Anyone@GLOB.example", true},
	    {"from list:senders", "VIP-a@re.example", true},
	    {"from list:senders", "vip@re.example", false},
	    {"from list:senders", "", false},
	    {"client list:nets", "10.1.2.3", true},
	    {"client list:nets", "192.0.2.77", true},
	    {"client list:nets", "192.0.20.7", false},
	    {"client list:nets", "2001:db8::1:7", true},
	    {"subject list:phrases", "cheap PILLS now", true},
	    {"subject list:phrases", "cheap pills", false},
	    {"subject list:phrases", "an OVERDUE bill", true},
	    {"subject list:phrases", "/USR/bin", true},
	    {"subject list:phrases", "/usr/bin/x", false},
	    {"subject list:phrases", "xAABx", true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum truth t = match(rows[i].value, span_str(rows[i].fact));

		if (t != (rows[i].is_match ? TRUTH_TRUE : TRUTH_FALSE))
			fail_msg("%s on %s: %d", rows[i].value, rows[i].fact, (int)t);
	}
}

static void
test_client_by_address(void **state)
{
	struct snapshot *s =
	    parse("tag a client 192.0.2.0/24\ntag b client list:drop\ntag c client /7$/\n");
	struct ip ip;

	(void)state;
	assert_true(ip_parse(SPAN("192.0.2.7"), &ip));
	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(matcher_match_ip(&snapshot_rule(s, id)->facets[0]->matcher, &ip,
				     SPAN("192.0.2.7")),
		    TRUTH_TRUE);
	assert_true(ip_parse(SPAN("203.0.113.8"), &ip));
	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(matcher_match_ip(&snapshot_rule(s, id)->facets[0]->matcher, &ip,
				     SPAN("203.0.113.8")),
		    TRUTH_FALSE);
	snapshot_release(&s);
}

/* Patterns look at the address as a text; it is written out for them alone. */
static void
test_client_text(void **state)
{
	static const struct {
		const char *policy;
		bool is_read;
	} rows[] = {{"reject client list:drop", false}, {"reject client list:nets", true},
	    {"reject client \"list:nets\"", true}, {"reject client 192.0.2.*", true},
	    {"reject from list:senders", false}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct snapshot *s = parse(rows[i].policy);

		if (s->reads_client_text != rows[i].is_read)
			fail_msg("%s", rows[i].policy);
		snapshot_release(&s);
	}
}

/* A pattern that backtracks without end meets the limit and knows nothing. */
static void
test_regex_limits(void **state)
{
	char text[4000];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(match("body /^(a+)+$/", span_of(text, 20)), TRUTH_TRUE);
	text[3999] = 'b';
	assert_int_equal(match("body /^(a+)+$/", span_of(text, sizeof(text))), TRUTH_LIMIT);
	assert_int_equal(match("body /b$/", span_of(text, sizeof(text))), TRUTH_TRUE);
	assert_int_equal(match("body list:slow", span_of(text, sizeof(text))), TRUTH_LIMIT);
	assert_int_equal(match("body list:slow", SPAN("EXACT")), TRUTH_TRUE);
	assert_int_equal(match("body list:slow", SPAN("b")), TRUTH_FALSE);
}

/* Steps that stay below PCRE2's limits from each starting point, but not from all of them. */
static void
test_effort_of_a_match(void **state)
{
	static char text[65536];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(match("body /[a-z]+\\d/", span_of(text, 1000)), TRUTH_FALSE);
	assert_int_equal(match("body /[a-z]+\\d/", span_of(text, sizeof(text))), TRUTH_LIMIT);
	assert_int_equal(match("body /a[^x]*+\\d/", span_of(text, sizeof(text))), TRUTH_LIMIT);
	assert_int_equal(match("body /x\\d/", span_of(text, sizeof(text))), TRUTH_FALSE);
	text[0] = '1';
	assert_int_equal(match("body /[a-z]*\\d/", span_of(text, sizeof(text))), TRUTH_TRUE);
}

/* --- big lists ------------------------------------------------------------------------------------- */

static int
read_big(void *arg, struct span name, struct buf *text, struct err *err)
{
	bool is_nets = span_eq(name, SPAN("nets"));

	(void)arg;
	(void)err;
	for (unsigned i = 0; i < 200000; i++) {
		int rc = is_nets ? buf_addf(text, "%u.%u.%u.%u\n", 1 + i / 65536, i / 256 % 256,
				       i % 256, i * 7 % 256)
				 : buf_addf(text, "user%u@example%u.org\n", i, i % 1000);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static void
test_big_lists(void **state)
{
	struct policy_errors errors;
	struct snapshot *s =
	    snapshot_parse(SPAN("reject client list:nets\nreject from list:people\n"), "p",
		read_big, NULL, &errors);
	const struct matcher *nets, *people;

	(void)state;
	assert_non_null(s);
	nets = &snapshot_rule(s, 1)->facets[0]->matcher;
	people = &snapshot_rule(s, 2)->facets[0]->matcher;
	for (unsigned i = 0; i < 200000; i += 997) {
		char text[64];

		(void)snprintf(text, sizeof(text), "%u.%u.%u.%u", 1 + i / 65536, i / 256 % 256,
		    i % 256, i * 7 % 256);
		assert_int_equal(matcher_match(nets, span_str(text)), TRUTH_TRUE);
		(void)snprintf(text, sizeof(text), "%u.%u.%u.%u", 1 + i / 65536, i / 256 % 256,
		    i % 256, (i * 7 + 1) % 256);
		assert_int_equal(matcher_match(nets, span_str(text)), TRUTH_FALSE);
		(void)snprintf(text, sizeof(text), "USER%u@example%u.org", i, i % 1000);
		assert_int_equal(matcher_match(people, span_str(text)), TRUTH_TRUE);
		(void)snprintf(text, sizeof(text), "user%u@example%u.org", i, (i + 1) % 1000);
		assert_int_equal(matcher_match(people, span_str(text)), TRUTH_FALSE);
	}
	snapshot_release(&s);
	buf_free(&errors.lines);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_client_by_address),
	    cmocka_unit_test(test_client_text),
	    cmocka_unit_test(test_regex_limits),
	    cmocka_unit_test(test_effort_of_a_match),
	    cmocka_unit_test(test_big_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

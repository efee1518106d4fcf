/* Lines of list files: quotes, comments, and what cannot stand there. */
#include "tests/unit/policy_text.h"

#include <stdio.h>

static int
read_one(void *arg, struct span name, struct buf *text, struct err *err)
{
	(void)name;
	(void)err;
	return buf_add_str(text, arg);
}

/* Whether the only facet of the only rule matches. */
static enum truth
match(const struct snapshot *s, struct span fact)
{
	return matcher_match(&snapshot_rule(s, 1)->facets[0]->matcher, fact);
}

/* One line of a list file for a kind of facet: the fact that it matches, or what is wrong. */
static void
test_list_lines(void **state)
{
	static const struct {
		const char *facet, *line, *fact, *says;
	} rows[] = {
	    {"subject", "cheap pills", "cheap pills", NULL},
	    {"subject", "  cheap pills # seen in May\r", "Cheap Pills", NULL},
	    {"subject", "\"cheap pills\"", "cheap pills", NULL},
	    {"subject", "\"cheap pills\" # seen", "cheap pills", NULL},
	    {"subject", "\"a # b\"", "a # b", NULL},
	    {"subject", "\"a \\\"b\\\" \\\\ c\"", "a \"b\" \\ c", NULL},
	    {"subject", "sale#1", "sale#1", NULL},
	    {"subject", "\"!x\"", "!x", NULL},
	    {"subject", "\"list:x\"", "list:x", NULL},
	    {"subject", "\"/a b/i\"", "xA Bx", NULL},
	    {"subject", "/a #b/", "xa #bx", NULL},
	    {"subject", "/a\\/ #b/i # why", "A/ #B", NULL},
	    {"subject", "*pills* # why", "cheap pills here", NULL},
	    {"attachment", "/usr/bin # no regex", "/usr/bin", NULL},
	    {"tag", "bulk # why", "bulk", NULL},
	    {"subject",
		"\xef\xbb\xbf"
		"first",
		"first", NULL},
	    {"tls", "TLSv1.3", "TLSv1.3", NULL},
	    {"tls", "1.3 # why", "TLSv1.3", NULL},
	    {"tls", "tlsV1.2", "TLSv1.2", NULL},
	    {"tls", "*1.3", "TLSv1.3", NULL},
	    {"tls", "SSLv3", NULL, "is no version of TLS"},
	    {"from", "\"a@b.example\"", "a@b.example", NULL},
	    {"from", "\"john doe\"@b.example", "\"john doe\"@b.example", NULL},
	    {"from",
		"\xef\xbb\xbf"
		"a@b.example",
		"a@b.example", NULL},
	    {"from", "@b.example # why", "x@b.example", NULL},
	    {"subject", "!x", NULL, "`!` in a list; write !list:NAME in the rule"},
	    {"from", "!a@b.example", NULL, "`!` in a list"},
	    {"client", "!192.0.2.1", NULL, "`!` in a list"},
	    {"subject", "list:drop", NULL, "a list in a list"},
	    {"subject", "\"open", NULL, "without its closing \""},
	    {"subject", "\"a\" b", NULL, "more behind a closing quote"},
	    {"subject", "\"a\"b", NULL, "behind a closing quote"},
	    {"subject", "a\rb", NULL, "a control character"},
	    {"client", "192.0.2.1\r192.0.2.2", NULL, "a control character"},
	    {"subject", "\xe4", NULL, "not UTF-8"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct policy_errors errors;
		struct snapshot *s;
		char rule[64];

		(void)snprintf(rule, sizeof(rule), "reject %s list:one", rows[i].facet);
		s = snapshot_parse(
		    span_str(rule), "p", read_one, (void *)(uintptr_t)rows[i].line, &errors);
		if ((s != NULL) != (rows[i].fact != NULL))
			fail_msg("%s: %.*s", rows[i].line, SPAN_ARG(buf_span(&errors.lines)));
		if (s != NULL && match(s, span_str(rows[i].fact)) != TRUTH_TRUE)
			fail_msg("%s does not match %s", rows[i].line, rows[i].fact);
		if (s == NULL && strstr(errors.lines.p, rows[i].says) == NULL)
			fail_msg("%s: %.*s", rows[i].line, SPAN_ARG(buf_span(&errors.lines)));
		snapshot_release(&s);
		buf_free(&errors.lines);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_list_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

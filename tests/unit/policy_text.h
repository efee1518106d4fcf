/* policy_text.h - policy texts of tests, with the list files that they name. */
#ifndef TEST_POLICY_TEXT_H
#define TEST_POLICY_TEXT_H
#include "policy/rules/rule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* Lists by name, as the caller's reader would find them. */
static const char *const lists[][2] = {
    {"drop", "# comment\r\n192.0.2.0/24\n198.51.100.7   # why\n2001:db8::/32\n192.0.2.9\n"},
    {"names", "mail.example.org\n.dyn.example\n@only.example\n"},
    {"people", "boss@example.org\n@news.example\n.corp.example\n<>\n"},
    {"words", "# all of these\nCheap Pills # why\n\"sale #1\"\n"},
    {"empty", "\n# nothing\n"},
    {"wrong", "192.0.2.1\nnonsense\n192.0.2.0/16\n/(/\n"},
    {"stars", "*.example.org\n/(/\n"},
    {"patterns", "plain.example\n*.glob.example # why\n/^re\\d+\\.example$/\n/UPPER/\n/lower/i\n"},
    {"senders", "*@glob.example\n/^vip-.*@re\\.example$/i\n"},
    {"nets", "10.0.0.0/8\n192.0.2.*\n/^2001:db8:.*:7$/\n"},
    {"phrases", "* pills *\n/over ?due/i\n/usr/bin\n/a+b/i\n"},
    {"slow", "exact\n/^(a+)+$/\n"},
};

/* One glob more than a list may have. */
static inline int
add_many(struct buf *text)
{
	int r = 0;

	for (int i = 0; r == 0 && i <= VALUELIST_PATTERNS_MAX; i++)
		r = buf_addf(text, "*.%d.example\n", i);
	return r;
}

static inline int
read_list(void *arg, struct span name, struct buf *text, struct err *err)
{
	(void)arg;
	if (span_eq(name, SPAN("many")))
		return add_many(text);
	for (size_t i = 0; i < COUNT(lists); i++)
		if (span_eq(name, span_str(lists[i][0])))
			return buf_add_str(text, lists[i][1]);
	return err_set(err, E_NOT_FOUND, "no such file");
}

static inline struct snapshot *
parse_span(struct span text)
{
	struct policy_errors errors;
	struct snapshot *s = snapshot_parse(text, "p", read_list, NULL, &errors);

	if (s == NULL)
		print_message("%.*s", SPAN_ARG(buf_span(&errors.lines)));
	buf_free(&errors.lines);
	return s;
}

static inline struct snapshot *
parse(const char *text)
{
	struct snapshot *s = parse_span(span_str(text));

	if (s == NULL)
		fail_msg("not taken: %s", text);
	return s;
}

#endif

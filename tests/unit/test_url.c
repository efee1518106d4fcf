/* test_url.c - URLs in texts and in HTML, however they are written. */
#include "relay/message/url.h"
#include "relay/base/mem.h"
#include "relay/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static bool
add(void *arg, struct span url, struct span host)
{
	struct buf *to = arg;

	(void)buf_addf(to, "%.*s[%.*s] ", SPAN_ARG(url), SPAN_ARG(host));
	return true;
}

static void
found(void **state)
{
	static const struct {
		bool is_html;
		const char *text, *want;
	} cases[] = {
	    {false, "see HTTP://Evil.Example/A.B, now", "http://evil.example/A.B[evil.example] "},
	    {false, "(https://a.example/x?y=z#q)", "https://a.example/x?y=z#q[a.example] "},
	    {false, "www.a.example and xwww.b.example", "http://www.a.example[www.a.example] "},
	    {false, "ftp://u:p@a.example:21/x", "ftp://u:p@a.example:21/x[a.example] "},
	    {false, "http:\\\\a.example\\x", "http://a.example\\x[a.example] "},
	    {false, "http://ex%61mple.com/", "http://ex%61mple.com/[example.com] "},
	    {false, "<http://a.example>", "http://a.example[a.example] "},
	    {false, "no url: // here, nor http:x", ""},
	    {false, "://", ""},
	    {false, "http://", ""},
	    {true, "<a href='http://a.example/x y'>",
		"http://a.example/x y[a.example] "
		"http://a.example/x[a.example] "},
	    {true, "<a HREF=//a.example>", "http://a.example[a.example] "},
	    {true, "<a href=\"ht\ntp&colon;//a.ex\tample\">",
		"http://a.example[a.example] "
		"tp://a.ex[a.ex] "},
	    {true, "<a href='&#104;ttp&#x3a;&#x2F;/a.example'>",
		"http://a.example[a.example] http://a.example[a.example] "},
	    {true, "<img src=cid:x>", "cid:x[] "},
	    {true, "text http&#58;//a.example text", "http://a.example[a.example] "},
	    {true, "<p data-href='x:y'>", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf got = BUF_INIT(10000);

		assert_true(url_each(span_str(cases[i].text), cases[i].is_html, add, &got));
		if (!span_eq(buf_span(&got), span_str(cases[i].want)))
			fail_msg("case %zu: '%.*s'", i, SPAN_ARG(buf_span(&got)));
		buf_free(&got);
	}
}

static bool
count(void *arg, struct span url, struct span host)
{
	(void)url;
	(void)host;
	return ++*(size_t *)arg < 1000000;
}

static bool
first(void *arg, struct span url, struct span host)
{
	(void)url;
	(void)host;
	++*(size_t *)arg;
	return false;
}

static void
limits(void **state)
{
	struct buf text = BUF_INIT(1000000);
	size_t n = 0;

	(void)state;
	for (int i = 0; i < URL_COUNT_MAX; i++)
		(void)buf_add_str(&text, "http://a.example\n");
	assert_true(url_each(buf_span(&text), false, count, &n));
	assert_int_equal(n, URL_COUNT_MAX);
	(void)buf_add_str(&text, "http://a.example\n");
	n = 0;
	assert_false(url_each(buf_span(&text), false, count, &n));
	assert_int_equal(n, URL_COUNT_MAX);
	n = 0;
	(void)url_each(buf_span(&text), false, first, &n); /* it stops: nothing to ask */
	assert_int_equal(n, 1);
	buf_clear(&text);
	(void)buf_add_str(&text, "http://a.example/");
	while (text.n <= URL_MAX)
		(void)buf_add_char(&text, 'x');
	n = 0;
	assert_false(url_each(buf_span(&text), true, count, &n));
	assert_int_equal(n, 1);
	buf_free(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(found), cmocka_unit_test(limits)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

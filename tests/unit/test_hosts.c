/* The hosts of a message's URLs, as a worker gathers them for lists of domains. */
#include "tests/unit/filter_fixture.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct pnf_about *const abouts[] = {NULL};

static const struct pnf_filter *
no_plugin(const struct pnf_about *about)
{
	(void)about;
	return NULL;
}

static struct fixture *fixture;

/* The hosts of this message, divided by blanks. */
static void
gather(struct span mail, bool wants_hosts, struct buf *to)
{
	struct scan_request r = {.id = SPAN("x"), .wants_hosts = wants_hosts};
	struct buf packet = BUF_INIT(1 << 20);
	struct scan_result *back = mem_alloc(sizeof(*back));
	const struct scan_result *found;

	chain_run_free(&fixture->run);
	assert_int_equal(chain_scan(fixture->chain, &r, mail, NULL, NULL, NULL, &fixture->run), 0);
	found = chain_result(fixture->run);
	buf_clear(to);
	for (size_t i = 0; i < found->n_hosts; i++)
		(void)buf_addf(to, "%s%.*s", i > 0 ? " " : "", SPAN_ARG(found->hosts[i]));
	assert_false(to->failed);
	scan_result_put(&packet, found); /* front believes all of it */
	assert_int_equal(scan_result_get(buf_span(&packet), &fixture->config->flows[0], back), 0);
	buf_free(&packet);
	mem_free(back);
}

static void
test_forms(void **state)
{
	static const char *const rows[][2] = {
	    {"\r\nSee http://www.Example.ORG/x?y and https://a.example:8443.\r\n",
		"www.example.org a.example"},
	    {"\r\nhttp://a.example/1 http://a.example/2 HTTP://A.EXAMPLE\r\n", "a.example"},
	    {"\r\nwww.example.org. and user@host.example\r\n", "www.example.org"},
	    {"\r\nhttp://user:pw@a.example./\r\n", "a.example"},
	    {"\r\nhttp://192.0.2.1/ http://3221225985/ http://[2001:DB8::1]:80/\r\n",
		"192.0.2.1 2001:db8::1"},
	    {"\r\nhttp://localhost/ http://a..example/ http:///x http://%00.example/\r\n", ""},
	    {"\r\nhttp://m\xc3\xbcller.example/\r\n", "xn--mller-kva.example"},
	    {"Content-Type: text/html\r\n\r\n<a href='http://%61.example/'>x</a> "
	     "<img src=\"//b.example/i.png\">\r\n",
		"a.example b.example"},
	    {"Content-Type: text/html\r\n\r\n<a href=\"mailto:a@c.example\">m</a>\r\n", ""},
	    {"Content-Type: application/x-other\r\n\r\nhttp://a.example/\r\n", ""},
	    {"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n"
	     "http://one.example/\r\n--b\r\nContent-Type: text/html\r\n\r\n"
	     "<a href=http://two.example/>2</a>\r\n--b--\r\n",
		"one.example two.example"},
	    {"Subject: http://a.example/\r\n\r\nnothing\r\n", ""},
	};
	struct buf text = BUF_INIT(65536);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		gather(span_str(rows[i][0]), true, &text);
		if (!span_eq(buf_span(&text), span_str(rows[i][1])))
			fail_msg("row %zu: %.*s", i, SPAN_ARG(buf_span(&text)));
		gather(span_str(rows[i][0]), false, &text);
		assert_int_equal(text.n, 0);
	}
	buf_free(&text);
}

/* A thousand names of one domain leave room for the others; the first names of all come first. */
static void
test_bounds(void **state)
{
	struct buf mail = BUF_INIT(1 << 20), text = BUF_INIT(65536), wanted = BUF_INIT(65536);

	(void)state;
	(void)buf_add_str(&mail, "\r\n");
	for (int i = 0; i < 1000; i++)
		(void)buf_addf(&mail, "http://n%d.one.example/\r\n", i);
	(void)buf_addf(&mail, "http://two.example/ http://x.two.example/\r\n");
	gather(buf_span(&mail), true, &text);
	assert_true(span_eq(buf_span(&text), SPAN("n0.one.example two.example n1.one.example "
						  "x.two.example n2.one.example n3.one.example")));
	buf_clear(&mail);
	(void)buf_add_str(&mail, "\r\n");
	for (int i = 0; i < SCAN_DOMAINS_MAX + 1; i++)
		(void)buf_addf(&mail, "http://d%d.example/\r\n", i);
	(void)buf_add_str(&mail, "http://x.d0.example/\r\n"); /* one of those that are known */
	for (int i = 0; i < SCAN_DOMAINS_MAX; i++)
		(void)buf_addf(&wanted, "d%d.example ", i);
	(void)buf_add_str(&wanted, "x.d0.example");
	gather(buf_span(&mail), true, &text);
	assert_true(span_eq(buf_span(&text), buf_span(&wanted)));
	buf_free(&mail);
	buf_free(&text);
	buf_free(&wanted);
}

/* All places taken, by the longest names. */
static void
test_full(void **state)
{
	struct buf mail = BUF_INIT(1 << 20), text = BUF_INIT(65536);
	char label[64];
	size_t n = 1;

	(void)state;
	memset(label, 'a', 63);
	label[63] = '\0';
	(void)buf_add_str(&mail, "\r\n");
	for (int i = 0; i < SCAN_DOMAINS_MAX; i++)
		for (int k = 0; k < SCAN_HOSTS_OF_DOMAIN; k++)
			(void)buf_addf(&mail, "http://%s.%s.%s.%.40s%c.d%02d.example/\r\n", label,
			    label, label, label, 'a' + k, i);
	gather(buf_span(&mail), true, &text);
	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == ' ';
	assert_int_equal(n, SCAN_HOSTS_MAX);
	buf_free(&mail);
	buf_free(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms),
	    cmocka_unit_test(test_bounds), cmocka_unit_test(test_full)};
	int failed;

	fixture = fixture_new("", "", abouts, no_plugin);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_free(fixture);
	return failed;
}

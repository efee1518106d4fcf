/* What the policy command asks of a snapshot: which rules, and its text changed. */
#include "tests/unit/policy_text.h"

static void
on_rule(void *arg, uint32_t id)
{
	(void)buf_addf(arg, "%u ", id); /* compared below */
}

static void
test_query(void **state)
{
	static const struct {
		const char *facet, *value, *ids;
	} rows[] = {
	    {"client", "192.0.2.7", "1 3 "},
	    {"client", "203.0.113.1", "2 3 "},
	    {"from", "x@news.example", "4 "},
	    {"from", "", "5 "},
	    {"header", "Bulk", "6 "},
	    {"host", "x", ""},
	    {"dnsbl", "A.example.", "7 8 "},
	    {"dnsbl", "b.example", ""},
	    {"dnswl", "a.example", "9 "},
	};
	struct snapshot *s =
	    parse("reject client 192.0.2.0/24\nreject client !192.0.2.0/24\n"
		  "tag x client * until 2020-01-01\nreject from @news.example\n"
		  "tag y from <> from *\ntag z header X-A bulk\ndnsbl a.example reject\n"
		  "dnsbl a.example of from reject\ndnswl a.example of host accept\n");
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf ids = BUF_INIT(100);

		assert_int_equal(snapshot_query(s, span_str(rows[i].facet), span_str(rows[i].value),
				     on_rule, &ids, NULL),
		    0);
		assert_true(span_eq(buf_span(&ids), span_str(rows[i].ids)));
		buf_free(&ids);
	}
	assert_int_equal(
	    snapshot_query(s, SPAN("klient"), SPAN("x"), on_rule, NULL, &err), -E_SYNTAX);
	assert_non_null(strstr(err.text, "client"));
	assert_int_equal(
	    snapshot_query(s, SPAN("client"), SPAN("x"), on_rule, NULL, &err), -E_SYNTAX);
	snapshot_release(&s);
}

static void
test_edit(void **state)
{
	static const char *const texts[] = {"# a\nreject client 1.2.3.4 # b\r\n\naccept from <>",
	    "reject client 1.2.3.4\n# end\n", "  reject client 1.2.3.4  \n",
	    "reject client 1.2.3.4"};
	static const char *const without[] = {"# a\n\naccept from <>", "# end\n", "", ""};
	static const char *const with[] = {
	    "# a\nreject client 1.2.3.4 # b\r\n\naccept from <>\ntag x to *\n",
	    "reject client 1.2.3.4\n# end\ntag x to *\n", "  reject client 1.2.3.4  \ntag x to *\n",
	    "reject client 1.2.3.4\ntag x to *\n"};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct snapshot *s = parse(texts[i]);
		struct buf to = BUF_INIT(1000);

		assert_int_equal(snapshot_text_remove(s, 1, &to, NULL), 0);
		assert_true(span_eq(buf_span(&to), span_str(without[i])));
		buf_clear(&to);
		assert_int_equal(snapshot_text_add(s, SPAN(" tag x to * "), &to, NULL), 0);
		assert_true(span_eq(buf_span(&to), span_str(with[i])));
		assert_int_equal(
		    snapshot_text_add(s, SPAN("tag x to *\nreject to *"), &to, NULL), -E_SYNTAX);
		assert_int_equal(snapshot_text_add(s, SPAN(" "), &to, NULL), -E_SYNTAX);
		assert_int_equal(snapshot_text_remove(s, 3, &to, NULL), -E_NOT_FOUND);
		assert_int_equal(snapshot_text_remove(s, 0, &to, NULL), -E_NOT_FOUND);
		buf_free(&to);
		snapshot_release(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_query),
	    cmocka_unit_test(test_edit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

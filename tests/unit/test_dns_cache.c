/* The answer cache and the codec it keeps answers in. */
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/lookup/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static struct cache *cache;
static struct dns_answer answer;

static int
setup(void **state)
{
	(void)state;
	clock_fake(1000000, 0);
	cache = cache_new(8);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	cache_free(&cache);
	clock_fake(0, -1);
	return 0;
}

static void
put(const char *name, enum dns_status status, uint32_t ttl_s)
{
	struct cache_key key = cache_key(DNS_A, span_str(name));
	struct dns_answer a = {.status = status, .ttl_s = ttl_s};

	if (status == DNS_FOUND)
		a.addresses[a.n_addresses++] = (struct ip){{[15] = 9}};
	cache_put(cache, &key, clock_mono_ms(), &a);
}

static bool
get(enum dns_type type, const char *name)
{
	struct cache_key key = cache_key(type, span_str(name));

	return cache_get(cache, &key, clock_mono_ms(), &answer);
}

static void
pass(int64_t ms)
{
	clock_fake(clock_mono_ms() + ms, 0);
}

static void
test_ttl(void **state)
{
	static const struct {
		enum dns_status status;
		uint32_t ttl_s, kept_s;
	} rows[] = {
	    {DNS_FOUND, 0, CACHE_TTL_MIN_S},
	    {DNS_FOUND, 60, 60},
	    {DNS_FOUND, CACHE_TTL_MAX_S, CACHE_TTL_MAX_S},
	    {DNS_FOUND, CACHE_TTL_MAX_S + 1, CACHE_TTL_MAX_S},
	    {DNS_FOUND, UINT32_MAX, CACHE_TTL_MAX_S},
	    {DNS_NONE, 0, CACHE_TTL_MIN_S},
	    {DNS_NONE, 60, 60},
	    {DNS_NONE, 3600, CACHE_NEGATIVE_MAX_S},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put("x.example", rows[i].status, rows[i].ttl_s);
		pass((int64_t)rows[i].kept_s * 1000 - 1);
		assert_true(get(DNS_A, "x.example"));
		assert_int_equal(answer.status, rows[i].status);
		assert_int_equal(answer.ttl_s, 1);
		pass(1);
		assert_false(get(DNS_A, "x.example"));
		assert_int_equal(cache_count(cache), 0);
	}
}

static void
test_keys(void **state)
{
	(void)state;
	put("Mail.Example", DNS_FOUND, 60);
	assert_true(get(DNS_A, "mAIL.eXAMPLE"));
	assert_int_equal(answer.n_addresses, 1);
	assert_int_equal(answer.addresses[0].bytes[15], 9);
	assert_int_equal(answer.ttl_s, 60);
	assert_false(get(DNS_AAAA, "mail.example"));
	assert_false(get(DNS_A, "mail.exampl"));
	put("mail.example", DNS_NONE, 60); /* the newer one counts */
	assert_int_equal(cache_count(cache), 1);
	assert_true(get(DNS_A, "mail.example"));
	assert_int_equal(answer.status, DNS_NONE);
}

static void
test_failures_are_not_kept(void **state)
{
	(void)state;
	put("x.example", DNS_FAILED, 60);
	put("x.example", DNS_TIMEOUT, 60);
	assert_int_equal(cache_count(cache), 0);
	put("x.example", DNS_FOUND, 60);
	put("x.example", DNS_TIMEOUT, 0); /* nor do they replace what is known */
	assert_true(get(DNS_A, "x.example"));
}

static void
test_bound(void **state)
{
	char name[16];

	(void)state;
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "n%d.example", i);
		put(name, DNS_FOUND, 600);
		assert_true(cache_count(cache) <= 8);
	}
	assert_int_equal(cache_count(cache), 8);
	assert_false(get(DNS_A, "n11.example"));
	assert_true(get(DNS_A, "n12.example"));
	assert_true(get(DNS_A, "n19.example"));
}

static void
test_expired_go_first(void **state)
{
	char name[16];

	(void)state;
	put("old.example", DNS_FOUND, 600);
	for (int i = 0; i < 7; i++) {
		(void)snprintf(name, sizeof(name), "short%d.example", i);
		put(name, DNS_FOUND, 5);
	}
	pass(5000);
	for (int i = 0; i < 7; i++) {
		(void)snprintf(name, sizeof(name), "new%d.example", i);
		put(name, DNS_FOUND, 600);
	}
	assert_true(get(DNS_A, "old.example"));
	assert_int_equal(cache_count(cache), 8);
}

static void
test_codec(void **state)
{
	struct buf b = BUF_INIT(8192);
	struct dns_answer a = {.status = DNS_FOUND,
			      .ttl_s = 77,
			      .n_addresses = LOOKUP_RECORDS_MAX,
			      .n_names = 8},
			  back;
	struct dns_question q = {.type = DNS_PTR, .name = SPAN("x.example"), .timeout_ms = 5000},
			    q2;

	(void)state;
	for (size_t i = 0; i < LOOKUP_RECORDS_MAX; i++)
		a.addresses[i].bytes[15] = (uint8_t)i;
	for (size_t i = 0; i < 8; i++) {
		memset(a.names[i], 'n', LOOKUP_NAME_MAX);
		a.names[i][0] = (char)('0' + i);
	}
	dns_answer_put(&b, &a);
	assert_false(b.failed);
	assert_int_equal(dns_answer_get(buf_span(&b), &back), 0);
	assert_int_equal(back.ttl_s, 77);
	assert_false(back.is_nxdomain || back.has_soa);
	assert_int_equal(back.n_addresses, LOOKUP_RECORDS_MAX);
	assert_memory_equal(back.addresses, a.addresses, sizeof(a.addresses));
	assert_memory_equal(back.names, a.names, sizeof(a.names));
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(dns_answer_get(span_of(b.p, n), &back), -E_CORRUPT);
	assert_int_equal(buf_add_char(&b, 'x'), 0);
	assert_int_equal(dns_answer_get(buf_span(&b), &back), -E_CORRUPT);

	buf_clear(&b);
	dns_question_put(&b, &q);
	assert_int_equal(dns_question_get(buf_span(&b), &q2), 0);
	assert_int_equal(q2.type, DNS_PTR);
	assert_int_equal(q2.timeout_ms, 5000);
	assert_true(span_eq(q2.name, q.name));
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(dns_question_get(span_of(b.p, n), &q2), -E_CORRUPT);
	b.p[0] = DNS_MX + 1;
	assert_int_equal(dns_question_get(buf_span(&b), &q2), -E_CORRUPT);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_ttl, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_failures_are_not_kept, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bound, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_expired_go_first, setup, teardown),
	    cmocka_unit_test(test_codec),
	};

	return cmocka_run_group_tests_name("dns_cache", tests, NULL, NULL);
}

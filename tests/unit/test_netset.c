/* A set of networks has what one of them has, no more. */
#include "policy/rules/netset.h"
#include "relay/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { NETS_MAX = 40, ROUNDS = 400, ASKED = 60, MANY = 5000 };

static void
add(struct netset *set, const char *text)
{
	struct net net;

	assert_true(net_parse(span_str(text), &net));
	netset_add(set, &net);
}

static bool
has(const struct netset *set, const char *text)
{
	struct ip ip;

	assert_true(ip_parse(span_str(text), &ip));
	return netset_has(set, &ip);
}

/* IPv4 lies inside ::/0 as we write it, and is none of it. */
static void
test_all_of_ipv6(void **state)
{
	struct netset set = {0}, empty = {0};

	(void)state;
	add(&set, "::/64");
	add(&set, "192.0.2.0/24");
	add(&set, "::/0");
	add(&set, "2001:db8::/32");
	netset_seal(&set);
	assert_true(has(&set, "2001:db8::1"));
	assert_true(has(&set, "2002::1"));
	assert_true(has(&set, "::1"));
	assert_true(has(&set, "192.0.2.9"));
	assert_false(has(&set, "192.0.3.9"));
	assert_false(has(&set, "::ffff:198.51.100.1"));
	netset_seal(&empty);
	assert_false(has(&empty, "::1"));
	netset_free(&set);
	netset_free(&empty);
}

static struct ip
random_ip(void)
{
	static const char *const bases[] = {"::", "::ffff:0:0", "2001:db8::", "::ffff:192.0.2.0"};
	struct ip ip;

	assert_true(ip_parse(span_str(bases[rng_below(4)]), &ip));
	for (uint32_t i = rng_below(4); i > 0; i--)
		ip.bytes[15 - rng_below(7)] ^= (uint8_t)rng_below(4);
	return ip;
}

static void
test_same_as_one_by_one(void **state)
{
	(void)state;
	rng_seed(5);
	for (int round = 0; round < ROUNDS; round++) {
		struct netset set = {0};
		struct net nets[NETS_MAX];
		size_t n = rng_below(NETS_MAX);
		/* Some rounds have enough for the index, too: far away from what is asked for. */
		uint32_t many = round % 40 == 0 ? MANY : 0;

		for (size_t i = 0; i < n; i++) {
			nets[i].base = random_ip();
			nets[i].bits =
			    (uint8_t)(rng_below(3) == 0 ? rng_below(129) : 88 + rng_below(41));
			for (unsigned k = nets[i].bits; k < 128; k++)
				nets[i].base.bytes[k / 8] &= (uint8_t) ~(0x80u >> (k % 8));
			netset_add(&set, &nets[i]);
		}
		for (uint32_t i = 0; i < many; i++) {
			struct net far = {.bits = 128};

			assert_true(ip_parse(SPAN("10.0.0.0"), &far.base));
			far.base.bytes[14] = (uint8_t)(i >> 8);
			far.base.bytes[15] = (uint8_t)i;
			netset_add(&set, &far);
		}
		netset_seal(&set);
		for (int i = 0; i < ASKED; i++) {
			struct ip ip = random_ip();
			bool is_in = false;

			for (size_t k = 0; k < n; k++)
				is_in |= net_has(&nets[k], &ip);
			assert_int_equal(netset_has(&set, &ip), is_in);
		}
		netset_free(&set);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_of_ipv6),
	    cmocka_unit_test(test_same_as_one_by_one),
	};

	return cmocka_run_group_tests_name("netset", tests, NULL, NULL);
}

/* How many sessions each client has. */
#include "relay/front/clients.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(span_str(text), &ip));
	return ip;
}

/* Which addresses are the same client: one of them fills it for the other. */
static void
test_who_is_one_client(void **state)
{
	static const struct {
		const char *a, *b;
		bool is_same;
	} rows[] = {
	    {"192.0.2.1", "192.0.2.1", true},
	    {"192.0.2.1", "::ffff:192.0.2.1", true},
	    {"192.0.2.1", "192.0.2.2", false},
	    {"2001:db8:0:1::1", "2001:db8:0:1::1", true},
	    {"2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
	    {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
	    {"192.0.2.1", "::1:c000:201", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tallies *t = tallies_new();
		struct clients *c = clients_new(t, 0);
		struct ip a = ip_of(rows[i].a), b = ip_of(rows[i].b);

		clients_enter(c, &a);
		if (clients_is_full(c, &b, 1) != rows[i].is_same)
			fail_msg("%s and %s", rows[i].a, rows[i].b);
		clients_free(&c);
		tallies_free(&t);
	}
}

static void
test_edge_of_one_client(void **state)
{
	struct tallies *t = tallies_new();
	struct clients *c = clients_new(t, 0), *elsewhere = clients_new(t, 1);
	struct ip a = ip_of("192.0.2.1"), b = ip_of("192.0.2.2");

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_false(clients_is_full(c, &a, 3));
		clients_enter(c, &a);
	}
	assert_true(clients_is_full(c, &a, 3));
	assert_false(clients_is_full(c, &b, 3));
	assert_false(clients_is_full(elsewhere, &a, 1));
	clients_leave(c, &a);
	assert_false(clients_is_full(c, &a, 3));
	assert_int_equal(clients_count(c), 2);
	clients_leave(c, &a);
	clients_leave(c, &a);
	assert_int_equal(clients_count(c), 0);
	assert_false(clients_is_full(c, &a, 1)); /* nothing is kept of who has gone */
	clients_free(&c);
	clients_free(&elsewhere);
	tallies_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_who_is_one_client),
	    cmocka_unit_test(test_edge_of_one_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

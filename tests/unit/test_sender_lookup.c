/* What the DNS says of a sender's domain, against a scripted lookup role. */
#include "relay/front/sender_lookup.h"
#include "tests/unit/fake_lookup.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

enum { TIMEOUT_MS = 5000 };

struct found {
	enum sender_fact fact;
	enum sender_canary canary;
};

static struct found
look_up(struct fake_lookup *f, const struct fake_record *records)
{
	int n_done = 0;
	struct sender_lookup *l;
	struct found found;

	f->records = records;
	f->n_asked = 0;
	l = sender_lookup_start(
	    f->loop, f->dns, SPAN("s.example"), SPAN("com"), TIMEOUT_MS, fake_on_done, &n_done);
	assert_int_equal(n_done, 0);
	fake_serve(f);
	if (n_done == 0) {
		fake_pass(f, TIMEOUT_MS - 1);
		assert_int_equal(n_done, 0);
		fake_pass(f, 1);
	}
	assert_int_equal(n_done, 1);
	found = (struct found){sender_lookup_fact(l), sender_lookup_canary(l)};
	sender_lookup_free(&l);
	assert_null(l);
	return found;
}

#define EXISTS                  \
	{                       \
		"MX com", "", 0 \
	}

static void
test_facts(void **state)
{
	static const struct {
		struct fake_record records[8];
		enum sender_fact fact;
		enum sender_canary canary;
	} rows[] = {
	    {{{"MX s.example", "m.example", 0}, {"A m.example", "203.0.113.1", 0}}, SENDER_FINE,
		CANARY_UNASKED},
	    {{{"MX s.example", "m.example", 0}, {"AAAA m.example", "2001:db8::1", 0}}, SENDER_FINE,
		CANARY_UNASKED},
	    {{{"MX s.example", "", 0}, {"A s.example", "203.0.113.1", 0}}, SENDER_FINE,
		CANARY_UNASKED},
	    /* One that can be reached is enough; with more than are looked at nobody knows. */
	    {{{"MX s.example", "a.example b.example", 0}, {"A a.example", "10.0.0.1", 0},
		 {"A b.example", "203.0.113.1 127.0.0.1", 0}},
		SENDER_FINE, CANARY_UNASKED},
	    {{{"MX s.example", "a b c d e f g h", 0}}, SENDER_FINE, CANARY_UNASKED},
	    {{{"MX s.example", "-", 0}, EXISTS}, SENDER_MISSING, CANARY_ALIVE},
	    {{{"MX s.example", "-", 0}, {"MX com", "m.com", 0}}, SENDER_MISSING, CANARY_ALIVE},
	    {{{"MX s.example", ".", 0}, EXISTS}, SENDER_NULL_MX, CANARY_ALIVE},
	    {{{"MX s.example", "", 0}, {"A s.example", "", 0}, {"AAAA s.example", "", 0}, EXISTS},
		SENDER_UNREACHABLE, CANARY_ALIVE},
	    {{{"MX s.example", "gone.example", 0}, EXISTS}, SENDER_UNREACHABLE, CANARY_ALIVE},
	    {{{"MX s.example", "m.example", 0}, {"A m.example", "192.168.1.1 127.0.0.1", 0},
		 {"AAAA m.example", "fd00::1 ::1", 0}, EXISTS},
		SENDER_PRIVATE, CANARY_ALIVE},
	    {{{"MX s.example", "", 0}, {"A s.example", "127.0.0.1", 0}, EXISTS}, SENDER_PRIVATE,
		CANARY_ALIVE},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct found found = look_up(*state, rows[i].records);

		if (found.fact != rows[i].fact || found.canary != rows[i].canary)
			fail_msg("row %zu: %d %d", i, (int)found.fact, (int)found.canary);
	}
}

/* A resolver that is away, slow, half broken or lies accuses nobody. */
static void
test_unknown(void **state)
{
	static const struct {
		struct fake_record records[8];
		enum sender_canary canary;
	} rows[] = {
	    {{{"MX s.example", "!", 0}}, CANARY_UNASKED},
	    {{{"MX s.example", "?", 0}}, CANARY_UNASKED},
	    {{{NULL, NULL, 0}}, CANARY_DENIED}, /* denies everything */
	    {{{"MX s.example", "-", 0}, {"MX com", "!", 0}}, CANARY_SILENT},
	    {{{"MX s.example", "-", 0}, {"MX com", "?", 0}}, CANARY_UNASKED},
	    {{{"MX s.example", ".", 0}, {"MX com", ".", 0}}, CANARY_DENIED},
	    {{{"MX s.example", ".", 0}}, CANARY_DENIED},
	    {{{"MX s.example", "m.example", 0}, {"A m.example", "!", 0}}, CANARY_UNASKED},
	    {{{"MX s.example", "m.example", 0}, {"A m.example", "10.0.0.1", 0},
		 {"AAAA m.example", "?", 0}},
		CANARY_UNASKED},
	    {{{"MX s.example", "", 0}, {"A s.example", "10.0.0.1", 0}}, CANARY_DENIED},
	    /* Denials that no zone vouches for. */
	    {{{"MX s.example", "~-", 0}, {"A s.example", "~-", 0}, {"AAAA s.example", "~-", 0},
		 EXISTS},
		CANARY_UNASKED},
	    {{{"MX s.example", "", 0}, {"A s.example", "~", 0}, {"AAAA s.example", "", 0}, EXISTS},
		CANARY_UNASKED},
	    {{{"MX s.example", "-", 0}, {"MX com", "~", 0}}, CANARY_DENIED},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct found found = look_up(*state, rows[i].records);

		if (found.fact != SENDER_UNKNOWN || found.canary != rows[i].canary)
			fail_msg("row %zu: %d %d", i, (int)found.fact, (int)found.canary);
	}
}

/* What is held against somebody was asked for afresh, and so was the canary. */
static void
test_is_fresh(void **state)
{
	static const struct fake_record records[] = {
	    {"MX s.example", "-", 0}, EXISTS, {NULL, NULL, 0}};
	struct fake_lookup *f = *state;

	(void)look_up(f, records);
	assert_int_equal(f->n_asked, 3);
	assert_string_equal(f->asked[0], "MX s.example");
	assert_false(f->was_fresh[0]);
	assert_string_equal(f->asked[1], "MX s.example");
	assert_true(f->was_fresh[1]);
	assert_string_equal(f->asked[2], "MX com");
	assert_true(f->was_fresh[2]);
}

/* The denial came out of the cache, and is none any more. */
static void
test_denied_no_more(void **state)
{
	static const struct fake_record before[] = {
	    {"MX s.example", "-", 0}, EXISTS, {NULL, NULL, 0}};
	static const struct fake_record after[] = {
	    {"MX s.example", "m.example", 0}, EXISTS, {NULL, NULL, 0}};
	struct fake_lookup *f = *state;
	int n_done = 0;
	struct sender_lookup *l;
	struct dns_question q;
	struct message m;

	f->records = before;
	l = sender_lookup_start(
	    f->loop, f->dns, SPAN("s.example"), SPAN("com"), TIMEOUT_MS, fake_on_done, &n_done);
	loop_turn(f->loop, 0);
	assert_int_equal(channel_receive(f->fd, &m, &f->buf, 0), 0);
	assert_int_equal(dns_question_get(m.payload, &q), 0);
	fake_answer(f, m.id, &q);
	f->records = after;
	fake_serve(f);
	assert_int_equal(n_done, 1);
	assert_int_equal(sender_lookup_fact(l), SENDER_UNKNOWN);
	sender_lookup_free(&l);
}

/* Whoever goes away in the middle is called no more. */
static void
test_freed_early(void **state)
{
	static const struct fake_record records[] = {
	    {"MX s.example", "m.example", 0}, {"A m.example", "?", 0}, {NULL, NULL, 0}};
	struct fake_lookup *f = *state;
	int n_done = 0;

	f->records = records;
	for (int turns = 0; turns < 4; turns++) {
		struct sender_lookup *l = sender_lookup_start(f->loop, f->dns, SPAN("s.example"),
		    SPAN("com"), TIMEOUT_MS, fake_on_done, &n_done);

		if (turns > 1)
			fake_serve(f);
		sender_lookup_free(&l);
		fake_serve(f);
		fake_pass(f, TIMEOUT_MS);
	}
	assert_int_equal(n_done, 0);
}

static void
test_too_long(void **state)
{
	static const struct fake_record none[] = {{"MX ", "!", 0}, {NULL, NULL, 0}};
	static char name[LOOKUP_NAME_MAX + 1];
	struct fake_lookup *f = *state;
	int n_done = 0;
	struct sender_lookup *l;

	memset(name, 'a', sizeof(name));
	f->records = none;
	l = sender_lookup_start(f->loop, f->dns, span_of(name, sizeof(name)), SPAN("com"),
	    TIMEOUT_MS, fake_on_done, &n_done);
	fake_serve(f);
	assert_int_equal(n_done, 1);
	assert_int_equal(sender_lookup_fact(l), SENDER_UNKNOWN);
	sender_lookup_free(&l);
}

static void
test_private(void **state)
{
	static const struct {
		const char *ip;
		bool is_private;
	} rows[] = {{"10.255.255.255", true}, {"11.0.0.0", false}, {"127.0.0.1", true},
	    {"172.15.255.255", false}, {"172.16.0.0", true}, {"172.31.255.255", true},
	    {"172.32.0.0", false}, {"192.168.0.1", true}, {"192.169.0.1", false},
	    {"169.254.1.1", true}, {"100.64.0.1", true}, {"100.128.0.1", false}, {"0.0.0.0", true},
	    {"223.255.255.255", false}, {"224.0.0.1", true}, {"255.255.255.255", true},
	    {"203.0.113.1", false}, {"::", true}, {"::1", true}, {"::2", false}, {"fc00::1", true},
	    {"fdff::1", true}, {"fe00::1", false}, {"fe80::1", true}, {"ff02::1", true},
	    {"2001:db8::1", false}, {"::ffff:10.0.0.1", true}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ip ip;

		assert_true(ip_parse(span_str(rows[i].ip), &ip));
		if (sender_ip_is_private(&ip) != rows[i].is_private)
			fail_msg("%s", rows[i].ip);
	}
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, fake_setup, fake_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_facts), TEST(test_unknown),
	    TEST(test_is_fresh), TEST(test_denied_no_more), TEST(test_freed_early),
	    TEST(test_too_long), TEST(test_private)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

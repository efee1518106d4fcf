/* Lists of domains asked in one round, against a scripted lookup role. */
#include "relay/walk/domain_round.h"
#include "tests/unit/fake_lookup.h"
#include "policy/rules/rules.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

enum { TIMEOUT_MS = 5000 };

static const struct conf_dns conf = {.timeout_ms = TIMEOUT_MS, .probe_ms = 3600000};

static struct list_answer answers[POLICY_LISTS_MAX];
static struct snapshot *snapshot;

static int
teardown(void **state)
{
	snapshot_release(&snapshot);
	return fake_teardown(state);
}

static void
take_policy(const char *text)
{
	struct policy_errors errors;

	snapshot_release(&snapshot);
	snapshot = snapshot_parse(span_str(text), "p", NULL, NULL, &errors);
	if (snapshot == NULL)
		fail_msg("%.*s", SPAN_ARG(buf_span(&errors.lines)));
	buf_free(&errors.lines);
	memset(answers, 0, sizeof(answers));
}

/* Asks and takes; false: there was nothing to ask. */
static bool
ask(struct fake_lookup *f, struct list_watch *watch, enum list_of of, const struct span *hosts,
    size_t n_hosts, const struct fake_record *records, bool *lacks)
{
	const struct domain_round_about about = {f->loop, f->dns, watch, snapshot, &conf};
	struct domain_round *r;
	int n_done = 0;

	f->records = records;
	f->n_asked = 0;
	r = domain_round_start(&about, of, hosts, n_hosts, fake_on_done, &n_done);
	if (r == NULL)
		return false;
	assert_int_equal(n_done, 0);
	fake_serve(f);
	if (n_done == 0)
		fake_pass(f, TIMEOUT_MS);
	assert_int_equal(n_done, 1);
	domain_round_take(r, answers);
	*lacks = domain_round_lacks(r);
	domain_round_free(&r);
	return true;
}

/* What is asked for one name: the domain or all of it, an address in reverse or not at all. */
static void
test_questions(void **state)
{
	static const struct {
		const char *policy, *host, *asked; /* NULL: nothing */
	} rows[] = {
	    {"dnsbl z.test of url reject", "a.b.example.co.uk", "A example.co.uk.z.test"},
	    {"dnsbl z.test of url whole reject", "a.b.example.co.uk", "A a.b.example.co.uk.z.test"},
	    {"dnsbl z.test of url reject", "co.uk", NULL},
	    {"dnsbl z.test of url whole reject", "co.uk", "A co.uk.z.test"},
	    {"dnsbl z.test of url reject", "192.0.2.9", NULL},
	    {"dnsbl z.test of url whole reject", "192.0.2.9", NULL},
	    {"dnsbl z.test of url addresses reject", "192.0.2.9", "A 9.2.0.192.z.test"},
	    {"dnsbl z.test of url addresses reject", "2001:db8::1",
		"A 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.z.test"},
	    {"dnsbl z.test of url reject", "localhost", NULL},
	    {"dnsbl z.test of from reject", "a.example", NULL},
	    {"dnsbl z.test reject", "a.example", NULL},
	};
	static const struct fake_record none[] = {{NULL, NULL, 0}};
	struct fake_lookup *f = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span host = span_str(rows[i].host);
		bool lacks;

		take_policy(rows[i].policy);
		if (ask(f, NULL, LIST_OF_URL, &host, 1, none, &lacks) != (rows[i].asked != NULL))
			fail_msg("row %zu", i);
		if (rows[i].asked == NULL)
			continue;
		assert_int_equal(f->n_asked, 1);
		assert_string_equal(f->asked[0], rows[i].asked);
		assert_int_equal(answers[0].state, LIST_NOT_LISTED);
		assert_int_equal(answers[0].n_names, 1);
		assert_false(lacks);
	}
}

/* Of several names the first that is listed counts, in their order and not in that of the answers. */
static void
test_sums(void **state)
{
	static const struct {
		struct fake_record records[4];
		enum list_state state;
		const char *name;
		bool lacks;
	} rows[] = {
	    {{{NULL, NULL, 0}}, LIST_NOT_LISTED, "", false},
	    {{{"A b.example.z.test", "127.0.0.2", DNS_PROOF_GOOD},
		 {"A c.example.z.test", "127.0.0.3", DNS_PROOF_GOOD}},
		LIST_LISTED, "b.example", false},
	    {{{"A c.example.z.test", "127.0.0.3", DNS_PROOF_GOOD}, {"A a.example.z.test", "?", 0}},
		LIST_LISTED, "c.example", true},
	    {{{"A b.example.z.test", "!", DNS_PROOF_MISSING}}, LIST_UNKNOWN, "", true},
	    {{{"A b.example.z.test", "!", DNS_PROOF_BAD}}, LIST_UNKNOWN, "", false},
	    {{{"A b.example.z.test", "?", 0}}, LIST_UNKNOWN, "", true},
	    {{{"A a.example.z.test", "127.0.0.2", DNS_PROOF_GOOD},
		 {"A b.example.z.test", "127.255.255.254", 0}},
		LIST_ERROR, "", false},
	    {{{"A a.example.z.test", "127.0.1.9", DNS_PROOF_GOOD}}, LIST_NOT_LISTED, "", false},
	};
	const struct span hosts[] = {
	    SPAN("a.example"), SPAN("b.example"), SPAN("x.b.example"), SPAN("c.example")};
	struct fake_lookup *f = *state;

	take_policy("dnsbl z.test of url answers 127.0.0.* reject\n");
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool lacks;

		assert_true(
		    ask(f, NULL, LIST_OF_URL, hosts, COUNT(hosts), rows[i].records, &lacks));
		assert_int_equal(f->n_asked, 3); /* b.example once */
		if (answers[0].state != rows[i].state || lacks != rows[i].lacks ||
		    !span_eq(answers[0].name, span_str(rows[i].name)))
			fail_msg("row %zu: %d %.*s", i, (int)answers[0].state,
			    SPAN_ARG(answers[0].name));
		assert_int_equal(answers[0].n_names, 3);
	}
}

/* Each list has its own answer, at its own place. */
static void
test_several_lists(void **state)
{
	static const struct fake_record records[] = {
	    {"A bad.example.two.test", "127.0.0.2", DNS_PROOF_GOOD}, {NULL, NULL, 0}};
	const struct span host = SPAN("mail.BAD.example");
	bool lacks;

	take_policy("dnsbl zero.test reject\ndnsbl one.test of helo reject\n"
		    "dnsbl two.test of from reject\ndnsbl two.test of helo tag x\n"
		    "dnsbl two.test of helo answers 127.0.0.9 tag y\n");
	assert_true(ask(*state, NULL, LIST_OF_HELO, &host, 1, records, &lacks) == true);
	assert_int_equal(answers[0].state, LIST_UNKNOWN);
	assert_int_equal(answers[1].state, LIST_NOT_LISTED);
	assert_int_equal(answers[2].state, LIST_UNKNOWN);
	assert_int_equal(answers[4].state, LIST_NOT_LISTED);
}

static void
test_case(void **state)
{
	static const struct fake_record records[] = {
	    {"A BAD.example.two.test", "127.0.0.2", DNS_PROOF_GOOD}, {NULL, NULL, 0}};
	const struct span host = SPAN("mail.BAD.example");
	bool lacks;

	take_policy("dnsbl two.test of helo reject\n");
	assert_true(ask(*state, NULL, LIST_OF_HELO, &host, 1, records, &lacks));
	assert_int_equal(answers[0].state, LIST_LISTED);
	assert_int_equal(answers[0].address, 0x7f000002);
	assert_true(span_eq(answers[0].name, SPAN("BAD.example")));
}

static void
test_bound(void **state)
{
	static char names[DOMAIN_NAMES_MAX + 4][32];
	static const struct fake_record none[] = {{NULL, NULL, 0}};
	struct span hosts[DOMAIN_NAMES_MAX + 4];
	struct fake_lookup *f = *state;
	bool lacks;

	for (size_t i = 0; i < COUNT(hosts); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "d%zu.example", i);
		hosts[i] = span_str(names[i]);
	}
	take_policy("dnsbl a.test of url reject\ndnsbl b.test of url reject\n");
	assert_true(ask(f, NULL, LIST_OF_URL, hosts, COUNT(hosts), none, &lacks));
	assert_int_equal(f->n_asked, 2 * DOMAIN_NAMES_MAX);
	assert_true(fake_was_asked(f, "A d0.example.a.test"));
	assert_true(fake_was_asked(f, "A d31.example.b.test"));
	assert_false(fake_was_asked(f, "A d32.example.a.test"));
	assert_false(ask(f, NULL, LIST_OF_URL, hosts, 0, none, &lacks));
}

static void
report(void *arg, const char *name, const char *what, const char *do_this)
{
	(void)name;
	(void)what;
	*(int *)arg += do_this != NULL ? 1 : -1;
}

/* The watch hears of everything: what is off is not asked, silence and errors are told of. */
static void
test_watched(void **state)
{
	static const struct fake_record bad[] = {{"A a.example.z.test", "!", DNS_PROOF_BAD},
	    {"A test.z.test", "127.0.0.2", DNS_PROOF_GOOD},
	    {"A test.y.test", "127.0.0.2", DNS_PROOF_GOOD},
	    {"A a.example.y.test", "127.255.255.254", 0}, {NULL, NULL, 0}};
	const struct span host = SPAN("a.example");
	struct fake_lookup *f = *state;
	static struct list_watch *w; /* lives as long as its process */
	int n_problems = 0;
	bool lacks;

	take_policy("dnsbl z.test of from reject\ndnsbl y.test of from reject\n");
	w = list_watch_new(f->loop, f->dns, LIST_OF_DOMAINS, &conf, report, &n_problems);
	list_watch_follow(w, snapshot);
	f->records = bad;
	fake_serve(f);
	assert_int_equal(n_problems, 0);
	assert_true(ask(f, w, LIST_OF_FROM, &host, 1, bad, &lacks));
	assert_int_equal(n_problems, 2);
	assert_true(list_watch_is_off(w, SPAN("z.test")));
	assert_int_equal(answers[0].state, LIST_UNKNOWN);
	assert_int_equal(answers[1].state, LIST_ERROR);
	assert_false(ask(f, w, LIST_OF_FROM, &host, 1, bad, &lacks)); /* both are off */
	take_policy("");
	list_watch_follow(w, snapshot);
	assert_int_equal(n_problems, 0);
}

static void
test_freed_early(void **state)
{
	static const struct fake_record records[] = {
	    {"A a.example.z.test", "?", 0}, {NULL, NULL, 0}};
	struct fake_lookup *f = *state;
	const struct span host = SPAN("a.example");
	struct domain_round *r;
	int n_done = 0;

	take_policy("dnsbl z.test of from reject\n");
	f->records = records;
	r = domain_round_start(&(struct domain_round_about){f->loop, f->dns, NULL, snapshot, &conf},
	    LIST_OF_FROM, &host, 1, fake_on_done, &n_done);
	fake_serve(f);
	domain_round_take(r, answers); /* what has not answered is unknown */
	assert_int_equal(answers[0].state, LIST_UNKNOWN);
	domain_round_free(&r);
	domain_round_free(&r); /* NULL is fine */
	fake_pass(f, TIMEOUT_MS);
	assert_int_equal(n_done, 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, fake_setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_questions), TEST(test_sums),
	    TEST(test_several_lists), TEST(test_case), TEST(test_bound), TEST(test_watched),
	    TEST(test_freed_early)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

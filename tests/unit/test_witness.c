/* Whether a denial is believed: against a source that says what the test wants, on a clock of ours. */
#include "relay/lookup/witness.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { WAITERS = 4, MINUTE_MS = 60 * 1000 };

static const struct conf_ldap directory = {.name = "staff"};
static const struct conf_domain by_callout = {
    .name = "d.example", .recipients = RECIPIENTS_CALLOUT};
static const struct conf_domain by_directory = {
    .name = "d.example", .recipients = RECIPIENTS_LDAP, .ldap = &directory};
static const struct conf_domain with_subdomains = {
    .name = "d.example", .has_subdomains = true, .recipients = RECIPIENTS_LDAP, .ldap = &directory};
static const struct conf_domain with_canary = {
    .name = "d.example", .recipients = RECIPIENTS_CALLOUT, .canary = "yes@d.example"};

struct waiting {
	struct witness_waiter waiter;
	unsigned n;
	bool is_believed;
	char why[LOOKUP_WHY_MAX + 1];
	struct world *asks_again; /* from inside, NULL: nobody */
};

struct world {
	struct witness *witness;
	struct source_query *query; /* being asked; NULL: nothing is */
	unsigned n_asked;
	struct source_server denier, voucher; /* who denies whoever waits, and who is asked then */
	struct waiting waiting[WAITERS];
	int64_t now_ms;
};

static void
take_query(void *arg, struct source_query *q)
{
	struct world *w = arg;

	assert_null(w->query); /* one at a time */
	w->query = q;
	w->n_asked++;
}

static void
begin(struct world *w, const struct conf_domain *domain)
{
	*w = (struct world){.now_ms = 1000};
	clock_fake(w->now_ms, 1);
	w->witness = witness_new(domain, take_query, w);
}

static void
end(struct world *w)
{
	witness_free(&w->witness);
	witness_free(&w->witness); /* NULL is fine */
	clock_fake(0, -1);
}

static void
pass_time(struct world *w, int64_t ms)
{
	w->now_ms += ms;
	clock_fake(w->now_ms, 1);
}

static void deny(struct world *w, size_t i);

static void
on_done(void *arg, bool is_believed, const char *why)
{
	struct waiting *x = arg;

	x->n++;
	x->is_believed = is_believed;
	(void)span_copy(span_str(why), x->why, sizeof(x->why)); /* as long */
	if (x->asks_again != NULL)
		deny(x->asks_again, WAITERS - 1);
}

static void
deny_of(struct world *w, size_t i, const char *address)
{
	w->waiting[i].waiter.done = on_done;
	w->waiting[i].waiter.arg = &w->waiting[i];
	w->waiting[i].waiter.server = w->denier;
	list_init(&w->waiting[i].waiter.node);
	witness_ask(w->witness, &w->waiting[i].waiter, span_str(address));
}

static void
deny(struct world *w, size_t i)
{
	w->waiting[i].n = 0;
	deny_of(w, i, "no@d.example");
}

static void
answer(struct world *w, const char *address, enum recipient_state state)
{
	struct source_query *q = w->query;

	assert_non_null(q);
	assert_string_equal(q->address, address);
	w->query = NULL;
	q->server = w->voucher;
	q->on_answer(q, state, "so");
}

static void
expect(struct world *w, size_t i, bool is_believed, const char *why)
{
	assert_int_equal(w->waiting[i].n, 1);
	assert_int_equal(w->waiting[i].is_believed, is_believed);
	if (strstr(w->waiting[i].why, why) == NULL)
		fail_msg("\"%s\" without \"%s\"", w->waiting[i].why, why);
	w->waiting[i].n = 0;
}

/* --- tests --------------------------------------------------------------------------------------- */

/* Who is asked when nobody is known yet, and what that means. */
static void
test_a_source_without_a_past(void **state)
{
	static const struct {
		const struct conf_domain *domain;
		const char *denied, *asked;
		bool is_ending;
		enum recipient_state says;
		bool is_believed;
		const char *why;
	} rows[] = {
	    {&by_callout, "no@d.example", "postmaster@d.example", false, RECIPIENT_EXISTS, true,
		""},
	    {&by_callout, "no@d.example", "postmaster@d.example", false, RECIPIENT_NONE, false,
		"has confirmed nobody yet, not even postmaster@d.example; give the domain a "
		"canary"},
	    {&by_callout, "no@sub.d.example", "postmaster@sub.d.example", false, RECIPIENT_UNKNOWN,
		false, "its canary: so"},
	    {&by_directory, "no@d.example", "@d.example", true, RECIPIENT_EXISTS, true, ""},
	    {&by_directory, "no@d.example", "@d.example", true, RECIPIENT_NONE, false,
		"finds no address at all that ends in @d.example"},
	    {&by_directory, "no@d.example", "@d.example", true, RECIPIENT_UNKNOWN, false, "so"},
	    {&with_subdomains, "no@sub.d.example", "d.example", true, RECIPIENT_EXISTS, true, ""},
	    {&with_canary, "no@d.example", "yes@d.example", false, RECIPIENT_EXISTS, true, ""},
	    {&with_canary, "no@d.example", "yes@d.example", false, RECIPIENT_NONE, false,
		"denies yes@d.example, too"},
	    {&with_canary, "yes@d.example", "yes@d.example", false, RECIPIENT_NONE, false,
		"denies yes@d.example, too"},
	};
	struct world w;

	for (size_t i = 0; i < COUNT(rows); i++) {
		begin(&w, rows[i].domain);
		deny_of(&w, 0, rows[i].denied);
		assert_int_equal(w.query->is_ending, rows[i].is_ending);
		assert_ptr_equal(w.query->domain, rows[i].domain);
		answer(&w, rows[i].asked, rows[i].says);
		expect(&w, 0, rows[i].is_believed, rows[i].why);
		assert_null(w.query);
		end(&w);
	}
	(void)state;
}

/* The one confirmed last is asked first; three that are denied say that the source is wrong. */
static void
test_who_was_confirmed_vouches(void **state)
{
	struct world w;

	begin(&w, &by_callout);
	witness_confirmed(w.witness, SPAN("a@d.example"));
	witness_confirmed(w.witness, SPAN("b@d.example"));
	witness_confirmed(w.witness, SPAN("c@d.example"));
	witness_confirmed(w.witness, SPAN("d@d.example"));
	witness_confirmed(w.witness, SPAN("B@D.example")); /* the same again */
	deny(&w, 0);
	answer(&w, "b@d.example", RECIPIENT_EXISTS);
	expect(&w, 0, true, "");
	deny(&w, 0);
	answer(&w, "b@d.example", RECIPIENT_NONE);
	answer(&w, "d@d.example", RECIPIENT_NONE);
	answer(&w, "c@d.example", RECIPIENT_NONE);
	expect(&w, 0, false, "denies c@d.example, too");
	deny(&w, 0); /* those that were not asked come first now */
	answer(&w, "a@d.example", RECIPIENT_NONE);
	answer(&w, "b@d.example", RECIPIENT_UNKNOWN);
	expect(&w, 0, false, "its canary: so");
	deny(&w, 0);
	answer(&w, "b@d.example", RECIPIENT_NONE);
	answer(&w, "d@d.example", RECIPIENT_EXISTS); /* well again: b has really gone */
	expect(&w, 0, true, "");
	deny(&w, 0);
	answer(&w, "d@d.example", RECIPIENT_NONE);
	answer(&w, "c@d.example", RECIPIENT_NONE);
	answer(&w, "a@d.example", RECIPIENT_NONE);
	expect(&w, 0, false, "a@d.example");
	end(&w);
	(void)state;
}

/* A canary of the configuration goes before who was confirmed. */
static void
test_a_canary_goes_first(void **state)
{
	struct world w;

	begin(&w, &with_canary);
	witness_confirmed(w.witness, SPAN("a@d.example"));
	deny(&w, 0);
	answer(&w, "yes@d.example", RECIPIENT_NONE);
	expect(&w, 0, false, "denies yes@d.example, too");
	end(&w);
	(void)state;
}

static void
test_vouchers_are_few_and_age(void **state)
{
	struct world w;
	char address[40];

	begin(&w, &by_callout);
	for (int i = 0; i < 2 * WITNESS_VOUCHERS_MAX; i++) {
		(void)snprintf(address, sizeof(address), "u%d@d.example", i); /* short */
		witness_confirmed(w.witness, span_str(address));
		pass_time(&w, MINUTE_MS);
	}
	deny(&w, 0);
	answer(&w, "u15@d.example", RECIPIENT_NONE);
	answer(&w, "u14@d.example", RECIPIENT_NONE);
	answer(&w, "u13@d.example", RECIPIENT_NONE);
	expect(&w, 0, false, "u13@d.example");
	witness_forget(w.witness, SPAN("U12@d.example"));
	witness_forget(w.witness, SPAN("unheard@of.example"));
	pass_time(&w, WITNESS_KEEP_MS - 6 * MINUTE_MS); /* u8, u9 and u10 are a day old */
	deny(&w, 0);
	answer(&w, "u11@d.example", RECIPIENT_NONE);
	answer(&w, "u15@d.example", RECIPIENT_NONE);
	answer(&w, "u14@d.example", RECIPIENT_NONE);
	expect(&w, 0, false, "u14@d.example");
	pass_time(&w, WITNESS_KEEP_MS);
	deny(&w, 0);
	answer(&w, "postmaster@d.example", RECIPIENT_EXISTS);
	expect(&w, 0, true, "");
	witness_confirmed(w.witness, SPAN("a@d.example"));
	witness_forget(w.witness, (struct span){0});
	deny(&w, 0);
	answer(&w, "postmaster@d.example", RECIPIENT_NONE);
	expect(&w, 0, false, "confirmed nobody yet");
	end(&w);
	(void)state;
}

/* Denials share one question, but only one that was asked after them. */
static void
test_who_comes_later_gets_the_next_round(void **state)
{
	struct world w;

	begin(&w, &by_callout);
	deny(&w, 0);
	deny(&w, 1);
	deny(&w, 2);
	answer(&w, "postmaster@d.example", RECIPIENT_EXISTS);
	expect(&w, 0, true, "");
	assert_int_equal(w.waiting[1].n + w.waiting[2].n, 0);
	witness_confirmed(w.witness, SPAN("a@d.example"));
	answer(&w, "postmaster@d.example", RECIPIENT_NONE); /* it broke meanwhile */
	expect(&w, 1, false, "denies postmaster@d.example, too");
	expect(&w, 2, false, "denies postmaster@d.example, too");
	assert_null(w.query);
	assert_int_equal(w.n_asked, 2);
	w.waiting[0].asks_again = &w;
	deny(&w, 0);
	answer(&w, "a@d.example", RECIPIENT_EXISTS);
	expect(&w, 0, true, "");
	answer(&w, "a@d.example", RECIPIENT_NONE); /* asked from inside */
	expect(&w, WAITERS - 1, false, "denies a@d.example, too");
	deny(&w, 1);
	end(&w); /* whoever waits is dropped */
	(void)state;
}

/* Each server of a source has data of its own, and may have lost it alone. */
static void
test_a_server_vouches_for_itself_only(void **state)
{
	static const struct source_server a = {{{1}}, 25},
					  others[] = {{{{2}}, 25}, {{{1}}, 26}, {{{0}}, 0}};
	struct world w;

	for (size_t i = 0; i < COUNT(others); i++) {
		begin(&w, &by_callout);
		witness_confirmed(w.witness, SPAN("a@d.example"));
		w.voucher = a;
		deny(&w, 3); /* its round is under way: the next two share one */
		w.denier = others[i];
		deny(&w, 0);
		w.denier = a;
		deny(&w, 1);
		answer(&w, "a@d.example", RECIPIENT_EXISTS);
		expect(&w, 3, false, "another of its servers vouches");
		answer(&w, "a@d.example", RECIPIENT_EXISTS);
		expect(&w, 0, false, "another of its servers vouches");
		expect(&w, 1, true, "");
		end(&w);
	}
	(void)state;
}

/* Who is denied by one server and another one knows somebody: nobody has gone. */
static void
test_a_voucher_denied_by_another_server_stays(void **state)
{
	static const struct source_server a = {{{1}}, 25}, b = {{{2}}, 25};
	struct world w;

	begin(&w, &by_callout);
	witness_confirmed(w.witness, SPAN("a@d.example"));
	witness_confirmed(w.witness, SPAN("b@d.example"));
	w.denier = w.voucher = b;
	deny(&w, 0);
	answer(&w, "b@d.example", RECIPIENT_NONE);
	w.voucher = a;
	answer(&w, "a@d.example", RECIPIENT_EXISTS);
	expect(&w, 0, false, "another of its servers vouches");
	deny(&w, 0);
	answer(&w, "a@d.example", RECIPIENT_NONE);
	answer(&w, "b@d.example", RECIPIENT_NONE); /* still asked */
	expect(&w, 0, false, "denies b@d.example, too");
	end(&w);
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_source_without_a_past),
	    cmocka_unit_test(test_who_was_confirmed_vouches),
	    cmocka_unit_test(test_a_canary_goes_first),
	    cmocka_unit_test(test_vouchers_are_few_and_age),
	    cmocka_unit_test(test_who_comes_later_gets_the_next_round),
	    cmocka_unit_test(test_a_server_vouches_for_itself_only),
	    cmocka_unit_test(test_a_voucher_denied_by_another_server_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

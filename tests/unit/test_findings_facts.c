#include "relay/walk/findings.h"
#include "relay/base/mem.h"
#include "tests/unit/policy_text.h"

static const struct pnf_outcome outcomes[] = {{"bad", "reject", "x"}, {.name = NULL}};
static const struct pnf_about about = {.name = "looks", .outcomes = outcomes};
static const struct conf_filter filters[] = {
    {.name = "one", .plugin = &about}, {.name = "two", .plugin = &about}};
static const struct conf_flow flow = {
    .name = "f", .filters = {{.filter = &filters[0]}, {.filter = &filters[1]}}, .n_filters = 2};

static void
test_lists(void **state)
{
	static const struct {
		enum dns_status status;
		const char *addresses[3];
		enum list_state state;
	} rows[] = {
	    {DNS_NONE, {NULL}, LIST_NOT_LISTED},
	    {DNS_FOUND, {"127.0.0.4"}, LIST_LISTED},
	    {DNS_FOUND, {"127.0.0.9", "127.0.0.4"}, LIST_LISTED},
	    {DNS_FOUND, {"127.0.0.9"}, LIST_NOT_LISTED},
	    {DNS_FOUND, {"127.0.0.4", "127.255.255.254"}, LIST_ERROR},
	    {DNS_FOUND, {"192.0.2.4"}, LIST_ERROR},
	    {DNS_FAILED, {"127.0.0.4"}, LIST_UNKNOWN},
	    {DNS_TIMEOUT, {NULL}, LIST_UNKNOWN},
	};
	struct snapshot *s = parse("dnsbl a.example answers 127.0.0.4 reject\n");
	struct dns_answer *a = mem_alloc(sizeof(*a));
	static const struct conf_dns dns = {.timeout_ms = 700};
	struct buf name = BUF_INIT(100);
	struct dns_question q;
	struct ip client;

	for (size_t i = 0; i < COUNT(rows); i++) {
		a->status = rows[i].status;
		a->n_addresses = 0;
		for (size_t k = 0; k < 3 && rows[i].addresses[k] != NULL; k++)
			assert_true(ip_parse(
			    span_str(rows[i].addresses[k]), &a->addresses[a->n_addresses++]));
		if (findings_type_list(s, 0, a).state != rows[i].state)
			fail_msg("row %zu: %d", i, findings_type_list(s, 0, a).state);
	}
	assert_true(ip_parse(SPAN("192.0.2.99"), &client));
	q = findings_list_question(s, 0, &client, &dns, &name);
	assert_true(span_eq(q.name, SPAN("99.2.0.192.a.example")));
	assert_true(span_eq(q.zone, SPAN("a.example")));
	assert_int_equal(q.type, DNS_A);
	assert_int_equal(q.list, DNS_LIST_IPV4);
	assert_int_equal(q.timeout_ms, 700);
	assert_false(q.is_fresh);
	buf_clear(&name);
	assert_true(ip_parse(SPAN("2001:db8::1"), &client));
	assert_int_equal(findings_list_question(s, 0, &client, &dns, &name).list, DNS_LIST_IPV6);
	buf_free(&name);
	name = BUF_INIT(8); /* no name as long as that can be asked for */
	q = findings_list_question(s, 0, &client, &dns, &name);
	assert_true(q.name.n == 0 && q.list == DNS_LIST_NONE && q.zone.n == 0);
	buf_free(&name);
	mem_free(a);
	snapshot_release(&s);
	(void)state;
}

static void
test_results_are_resolved(void **state)
{
	struct scan_result *r = mem_alloc(sizeof(*r));
	struct findings *f = mem_alloc(sizeof(*f));
	struct facts facts = {0};

	r->n_outcomes = r->n_tags = 1;
	r->outcomes[0] = (struct scan_outcome){1, 0, SPAN("because"), {0}};
	r->tags[0] = (struct scan_tag){1, SPAN("name"), SPAN("why"), 2500};
	r->truths = SPAN("\1\2");
	findings_add_failures(r, &(struct scan){.flow = &flow}, 1U << 0);
	findings_gather(f, &flow, r);
	findings_set(f, &facts);
	assert_int_equal(facts.n_outcomes, 2);
	assert_ptr_equal(facts.outcomes[0].filter, &flow.filters[1]);
	assert_int_equal(facts.outcomes[0].outcome, 0);
	assert_ptr_equal(facts.outcomes[1].filter, &flow.filters[0]);
	assert_int_equal(facts.outcomes[1].outcome, -1);
	assert_int_equal(facts.n_filter_tags, 1);
	assert_ptr_equal(facts.filter_tags[0].filter, &filters[1]);
	assert_int_equal(facts.filter_tags[0].score_milli, 2500);
	assert_int_equal(facts.n_truths, 2);
	assert_int_equal(facts.truths[1], 2);
	mem_free(r);
	mem_free(f);
	(void)state;
}

/* No filter ran: those of the flow failed, bits beyond it are nobody's; a full result stays full. */
static void
test_failures(void **state)
{
	struct scan_result *r = mem_alloc(sizeof(*r));

	findings_add_failures(r, &(struct scan){.flow = &flow}, UINT32_MAX);
	assert_int_equal(r->n_outcomes, 2);
	findings_add_failures(r, &(struct scan){.flow = &flow}, 0);
	assert_int_equal(r->n_outcomes, 2);
	/* What a worker has said of one that it was not to run is told once, with the reason. */
	r->outcomes[0].why = SPAN("not asked");
	findings_add_failures(r, &(struct scan){.flow = &flow}, UINT32_MAX);
	assert_int_equal(r->n_outcomes, 2);
	assert_true(span_eq(r->outcomes[0].why, SPAN("not asked: no worker was free in time")));
	memset(r->outcomes, 0, sizeof(r->outcomes));
	r->n_outcomes = SCAN_OUTCOMES_MAX - 1;
	findings_add_failures(r, &(struct scan){.flow = &flow}, UINT32_MAX);
	assert_int_equal(r->n_outcomes, SCAN_OUTCOMES_MAX);
	mem_free(r);
	(void)state;
}

static void
test_postmaster_is_spared(void **state)
{
	static const struct {
		enum action before;
		size_t n_tags;
		enum action after;
	} rows[] = {
	    {ACTION_PASS, 0, ACTION_PASS},
	    {ACTION_TAG, 1, ACTION_TAG},
	    {ACTION_TEMPFAIL, 0, ACTION_PASS},
	    {ACTION_REJECT, 0, ACTION_PASS},
	    {ACTION_REJECT, 1, ACTION_TAG},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct verdict v = {.action = rows[i].before, .n_tags = rows[i].n_tags};

		findings_spare_postmaster(&v);
		assert_int_equal(v.action, rows[i].after);
	}
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lists),
	    cmocka_unit_test(test_results_are_resolved),
	    cmocka_unit_test(test_failures),
	    cmocka_unit_test(test_postmaster_is_spared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "policy/recipient/route.h"
#include "tests/unit/config_fake.h"

#define TEXT                                                                               \
	"hostname = \"mx1.example.org\"\n"                                                 \
	"postmaster = \"admin@example.org\"\n"                                             \
	"listen \"in\" { address = \"127.0.0.1:2525\" flow = inbound }\n"                  \
	"flow \"inbound\" { }\n"                                                           \
	"flow \"outbound\" { clients = {\"10.0.0.0/8\"} relay = any gateway = \"out\" }\n" \
	"gateway \"gw\" { server \"127.0.0.1:2600\" { } }\n"                               \
	"gateway \"out\" { server \"127.0.0.1:2601\" { } }\n"                              \
	"domain \"example.org\" { gateway = \"gw\" }\n"                                    \
	"domain \".sub.example\" { gateway = \"gw\" }\n"

/* example.org has a table with one recipient, the other domain takes anyone. */
static void
test_routes(void **state)
{
	static const struct {
		const char *flow, *address;
		enum route_result result;
		const char *gateway, *to; /* to NULL: as it was */
		bool is_postmaster;
	} rows[] = {
	    {"inbound", "here@example.org", ROUTE_FOUND, "gw", NULL, false},
	    {"inbound", "HERE@EXAMPLE.ORG", ROUTE_FOUND, "gw", NULL, false},
	    {"inbound", "nobody@example.org", ROUTE_NO_SUCH, "gw", NULL, false},
	    {"inbound", "anyone@sub.example", ROUTE_FOUND, "gw", NULL, false},
	    {"inbound", "anyone@deep.sub.example", ROUTE_FOUND, "gw", NULL, false},
	    {"inbound", "x@notsub.example", ROUTE_DENIED, NULL, NULL, false},
	    {"inbound", "x@elsewhere.example", ROUTE_DENIED, NULL, NULL, false},
	    {"inbound", "x@deep.example.org", ROUTE_DENIED, NULL, NULL, false},
	    {"inbound", "nodomain", ROUTE_DENIED, NULL, NULL, false},
	    {"inbound", "", ROUTE_DENIED, NULL, NULL, false},
	    {"inbound", "\"a@elsewhere.example\"@example.org", ROUTE_NO_SUCH, "gw", NULL, false},
	    {"inbound", "postmaster", ROUTE_FOUND, "gw", "admin@example.org", true},
	    {"inbound", "POSTmaster", ROUTE_FOUND, "gw", "admin@example.org", true},
	    {"inbound", "Postmaster@example.org", ROUTE_FOUND, "gw", NULL, true},
	    {"inbound", "postmaster@x.sub.example", ROUTE_FOUND, "gw", NULL, true},
	    {"inbound", "postmaster@elsewhere.example", ROUTE_DENIED, NULL, NULL, false},
	    {"inbound", "admin@example.org", ROUTE_FOUND, "gw", NULL, true},
	    {"outbound", "x@elsewhere.example", ROUTE_FOUND, "out", NULL, false},
	    {"outbound", "anyone@sub.example", ROUTE_FOUND, "gw", NULL, false},
	    {"outbound", "nobody@example.org", ROUTE_NO_SUCH, "gw", NULL, false},
	};
	struct config *c = config_of(SPAN(TEXT));
	struct recipients *table, *tables[2] = {0};
	struct err err;

	table = recipients_parse(SPAN("here@example.org\n"), "t", &err);
	assert_non_null(table);
	assert_int_equal(c->n_domains, 2);
	tables[config_domain(c, SPAN("example.org")) - c->domains] = table;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct conf_flow *flow = config_flow(c, span_str(rows[i].flow));
		struct span address = span_str(rows[i].address);
		const char *to = rows[i].to != NULL ? rows[i].to : rows[i].address;
		enum route_result r;
		struct route route;

		r = route_find(c, flow, tables, address, &route);
		if (r != rows[i].result || route.is_postmaster != rows[i].is_postmaster ||
		    !span_eq(route.address, span_str(to)))
			fail_msg("%s in %s: %d to %.*s", rows[i].address, rows[i].flow, r,
			    SPAN_ARG(route.address));
		if (rows[i].gateway == NULL)
			assert_null(route.gateway);
		else
			assert_string_equal(route.gateway->name, rows[i].gateway);
	}
	recipients_free(&table);
	config_free(&c);
	(void)state;
}

/* The postmaster's mail finds a way although its domain is none of ours. */
static void
test_postmaster_elsewhere(void **state)
{
	struct config *c = config_of(SPAN("postmaster = \"admin@elsewhere.example\"\n" BASE));
	struct recipients *tables[1] = {0};
	struct route route;

	assert_int_equal(
	    route_find(c, &c->flows[0], tables, SPAN("postmaster"), &route), ROUTE_FOUND);
	assert_true(span_eq(route.address, SPAN("admin@elsewhere.example")));
	assert_string_equal(route.gateway->name, "gw");
	config_free(&c);
	(void)state;
}

static void
test_replies(void **state)
{
	assert_string_equal(route_enhanced(ROUTE_DENIED), "5.7.1");
	assert_string_equal(route_enhanced(ROUTE_NO_SUCH), "5.1.1");
	assert_string_not_equal(route_text(ROUTE_DENIED), route_text(ROUTE_NO_SUCH));
	(void)state;
}

/* Whose source must be asked, and what its answer means. */
static void
test_sources(void **state)
{
	static const struct {
		const char *address, *asks; /* NULL: nobody is asked */
	} rows[] = {
	    {"x@ask.example", "ask.example"},
	    {"x@take.example", "take.example"},
	    {"postmaster@ask.example", NULL},
	    {"x@example.org", NULL},
	};
	static const struct {
		const char *domain;
		enum recipient_state state;
		enum route_result result;
		int code;
		const char *enhanced;
	} answers[] = {
	    {"ask.example", RECIPIENT_EXISTS, ROUTE_FOUND, 0, ""},
	    {"ask.example", RECIPIENT_NONE, ROUTE_NO_SUCH, 550, "5.1.1"},
	    {"ask.example", RECIPIENT_UNKNOWN, ROUTE_UNKNOWN, 451, "4.4.3"},
	    {"take.example", RECIPIENT_NONE, ROUTE_NO_SUCH, 550, "5.1.1"},
	    {"take.example", RECIPIENT_UNKNOWN, ROUTE_FOUND, 0, ""},
	};
	struct config *c = config_of(
	    SPAN(BASE "domain \"ask.example\" { gateway = \"gw\" recipients = \"callout\" }\n"
		      "domain \"take.example\" { gateway = \"gw\" recipients = \"callout\" unknown "
		      "= accept }\n"));
	struct recipients *tables[3] = {0};
	struct route route;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(
		    route_find(c, &c->flows[0], tables, span_str(rows[i].address), &route),
		    ROUTE_FOUND);
		if (rows[i].asks == NULL)
			assert_null(route.asks);
		else
			assert_string_equal(route.asks->name, rows[i].asks);
	}
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		enum route_result r =
		    route_answered(config_domain(c, span_str(answers[i].domain)), answers[i].state);

		assert_int_equal(r, answers[i].result);
		if (r == ROUTE_FOUND)
			continue;
		assert_int_equal(route_code(r), answers[i].code);
		assert_string_equal(route_enhanced(r), answers[i].enhanced);
		assert_true(strlen(route_text(r)) > 0);
	}
	config_free(&c);
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sources),
	    cmocka_unit_test(test_routes),
	    cmocka_unit_test(test_postmaster_elsewhere),
	    cmocka_unit_test(test_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

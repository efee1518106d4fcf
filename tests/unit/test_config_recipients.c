/* ldap, callout, and the words of a domain that names one of them. */
#include "tests/unit/config_fake.h"

#define LDAP "uri = \"ldaps://dc1.example.org\" base = \"dc=example,dc=org\" filter = \"(mail=%s)\""
#define ASKED(words) \
	"domain \"b.example\" { gateway = \"gw\" recipients = \"callout\" " words " }\n"

static void
test_defaults(void **state)
{
	struct config *c = config_of(
	    SPAN(BASE "ldap \"staff\" { " LDAP " }\n"
		      "domain \"b.example\" { gateway = \"gw\" recipients = "
		      "\"ldap:staff\" }\n"
		      "domain \"c.example\" { gateway = \"gw\" recipients = \"callout\" }\n"));
	const struct conf_domain *d = config_domain(c, SPAN("b.example"));
	const struct conf_ldap *l = config_ldap(c, SPAN("staff"));

	assert_non_null(l);
	assert_null(config_ldap(c, SPAN("other")));
	assert_ptr_equal(d->ldap, l);
	assert_int_equal(d->recipients, RECIPIENTS_LDAP);
	assert_true(config_asks_recipients(d));
	assert_false(config_asks_recipients(config_domain(c, SPAN("example.org"))));
	assert_false(d->takes_unknown);
	assert_null(d->canary);
	assert_int_equal(l->n_servers, 1);
	assert_string_equal(l->servers[0].host, "dc1.example.org");
	assert_int_equal(l->servers[0].port, 636);
	assert_true(l->servers[0].is_ldaps && l->servers[0].is_name);
	assert_int_equal(l->scope, DIRECTORY_SUB);
	assert_false(l->starttls);
	assert_null(l->bind);
	assert_null(l->ca);
	assert_int_equal(l->timeout_ms, 5000);
	assert_int_equal(l->keep.positive_ms, 3600 * 1000);
	assert_int_equal(l->keep.negative_ms, 5 * 60 * 1000);
	assert_int_equal(l->keep.stale_ms, 7LL * 24 * 3600 * 1000);
	assert_int_equal(l->keep.probe_ms, 3600 * 1000);
	d = config_domain(c, SPAN("c.example"));
	assert_int_equal(d->recipients, RECIPIENTS_CALLOUT);
	assert_null(d->ldap);
	assert_int_equal(c->callout.timeout_ms, 30 * 1000);
	assert_int_equal(c->callout.keep.positive_ms, 7LL * 24 * 3600 * 1000);
	assert_int_equal(c->callout.keep.negative_ms, 2 * 3600 * 1000);
	assert_int_equal(c->callout.keep.stale_ms, 7LL * 24 * 3600 * 1000);
	assert_int_equal(c->callout.keep.probe_ms, 3600 * 1000);
	config_free(&c);
	(void)state;
}

static void
test_all_words(void **state)
{
	struct config *c = config_of(SPAN(BASE
	    "ldap \"staff\" { uri = {\"ldap://10.0.0.9\", \"ldap://[2001:db8::1]/\", "
	    "\"ldap://dc2.example:3389\", \"ldap://[2001:db8::2]:390\"} base = \"\\\"o=x\\\"\" "
	    "filter = "
	    "\"(&(mail=%s)(!(x=%s)))\" scope = one bind = \"cn=p\" password = \"file:/etc/p\" "
	    "starttls "
	    "= true ca = \"/etc/ca.pem\" timeout = 7s positive = 1m negative = 0s stale = 1d probe "
	    "= 2d }\n"
	    "callout { timeout = 2m positive = 1d negative = 1m stale = 0s probe = 100ms }\n"
	    "domain \".b.example\" { gateway = \"gw\" recipients = \"ldap:staff\" unknown = accept "
	    "canary = "
	    "\"Known@deep.B.example\" }\n"));
	static const struct {
		const char *host;
		uint16_t port;
		bool is_name;
	} servers[] = {{"10.0.0.9", 389, false}, {"2001:db8::1", 389, false},
	    {"dc2.example", 3389, true}, {"2001:db8::2", 390, false}};
	const struct conf_ldap *l = &c->ldaps[0];
	const struct conf_domain *d = config_domain(c, SPAN("b.example"));

	assert_int_equal(l->n_servers, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(l->servers[i].host, servers[i].host);
		assert_int_equal(l->servers[i].port, servers[i].port);
		assert_int_equal(l->servers[i].is_name, servers[i].is_name);
		assert_false(l->servers[i].is_ldaps);
	}
	assert_string_equal(l->base, "\"o=x\"");
	assert_string_equal(l->filter, "(&(mail=%s)(!(x=%s)))");
	assert_int_equal(l->scope, DIRECTORY_ONE);
	assert_string_equal(l->bind, "cn=p");
	assert_string_equal(l->password_file, "/etc/p");
	assert_true(l->starttls);
	assert_string_equal(l->ca, "/etc/ca.pem");
	assert_int_equal(l->timeout_ms, 7000);
	assert_int_equal(l->keep.negative_ms, 0);
	assert_int_equal(l->keep.probe_ms, 2 * 24 * 3600 * 1000);
	assert_int_equal(c->callout.timeout_ms, 120 * 1000);
	assert_int_equal(c->callout.keep.stale_ms, 0);
	assert_int_equal(c->callout.keep.probe_ms, 100);
	assert_true(d->takes_unknown);
	assert_string_equal(d->canary, "Known@deep.B.example");
	config_free(&c);
	(void)state;
}

static void
test_errors(void **state)
{
	static const struct {
		const char *text, *wanted; /* a part of the only error */
	} rows[] = {
	    {"domain \"b.example\" { gateway = \"gw\" recipients = \"ldap:x\" }\n",
		"t.conf:6: ldap \"x\" does not exist"},
	    {"domain \"b.example\" { gateway = \"gw\" recipients = \"ldap\" }\n",
		"is no source of recipients; write \"any\", \"file:PATH\", \"ldap:NAME\" or "
		"\"callout\""},
	    {ASKED("unknown = \"reject\""), "unknown value \"reject\" of unknown"},
	    {ASKED("canary = \"nobody\""), "canary = \"nobody\" is no address; write"},
	    {ASKED("canary = \"x@c.example\""),
		"canary = \"x@c.example\" is not of this domain; write"},
	    {ASKED("canary = \"x@deep.b.example\""), "is not of this domain"},
	    {"domain \".b.example\" { gateway = \"gw\" recipients = callout canary = "
	     "\"x@notb.example\" }\n",
		"is not of this domain"},
	    {"domain \"b.example\" { gateway = \"gw\" canary = \"x@b.example\" }\n",
		"domain \"b.example\" has canary, which is for recipients"},
	    {"domain \"b.example\" { gateway = \"gw\" unknown = accept }\n",
		"domain \"b.example\" has unknown, which is for recipients"},
	    {"callout { timeout = 3m }\n", "from 10ms to 2m"},
	    {"callout { positive = 366d }\n", "from 0s to 365d"},
	    {"callout { posit = 1d }\n", "did you mean \"positive\""},
	    {"ldap \"l\" { base = \"b\" filter = \"(m=%s)\" }\n", "ldap \"l\" has no uri; add uri"},
	    {"ldap \"l\" { uri = \"ldap://h.example\" filter = \"(m=%s)\" }\n", "has no base; add"},
	    {"ldap \"l\" { uri = \"ldap://h.example\" base = \"b\" }\n", "has no filter; add"},
	    {"ldap \"l\" { " LDAP " bind = \"cn=x\" }\n", "has only one of bind and password"},
	    {"ldap \"l\" { " LDAP " password = \"file:/x\" }\n",
		"has only one of bind and password"},
	    {"ldap \"l\" { " LDAP " bind = \"cn=x\" password = \"secret\" }\n",
		"password is no \"file:PATH\"; write"},
	    {"ldap \"l\" { " LDAP " starttls = true }\n", "which is TLS already"},
	    {"ldap \"l\" { uri = \"ldap://h.example\" base = \"b\" filter = \"(m=%s)\" ca = \"/x\" "
	     "}\n",
		"has ca but no TLS"},
	    {"ldap \"l\" { " LDAP " scope = deep }\n", "unknown value \"deep\" of scope"},
	    {"ldap \"l\" { uri = \"http://h.example\" base = \"b\" filter = \"(m=%s)\" }\n",
		"uri = \"http://h.example\" is no address of a directory; write"},
	    {"ldap \"l\" { uri = \"ldap://\" base = \"b\" filter = \"(m=%s)\" }\n",
		"is no address of a"},
	    {"ldap \"l\" { uri = \"ldap://h.example:0x\" base = \"b\" filter = \"(m=%s)\" }\n",
		"is no address of a"},
	    {"ldap \"l\" { uri = \"ldap://h.example/dc=x\" base = \"b\" filter = \"(m=%s)\" }\n",
		"is no address of a"},
	    {"ldap \"l\" { uri = \"ldaps://h.example\" base = \"\" filter = \"(m=%s)\" }\n",
		"base = \"\" is empty"},
	    {"ldap \"l\" { uri = \"ldaps://h.example\" base = \"b\" filter = \"(m=x)\" }\n",
		"has no %s for the address"},
	    {"ldap \"l\" { uri = \"ldaps://h.example\" base = \"b\" filter = \"m=%s\" }\n",
		"is not in one pair of brackets"},
	    {"ldap \"l\" { uri = \"ldaps://h.example\" base = \"b\" filter = \"(m=%s\" }\n",
		"has a bracket that is not closed"},
	    {"ldap \"l\" { uri = \"ldaps://h.example\" base = \"b\" filter = \"(m=%s))\" }\n",
		"is not in one pair of brackets"},
	    {"ldap \"l\" { uri = \"ldaps://h.example\" base = \"b\" filter = \")m=%s(\" }\n",
		"closes a bracket that is not open"},
	    {"ldap \"l\" { uri = \"ldaps://h.example\" base = \"b\" filter = \"(a=%s)(b=%s)\" }\n",
		"is not in one pair of brackets"},
	    {"ldap \"l\" { uri = \"ldaps://h.example\" base = \"b\" filter = \"(m=%u)\" }\n",
		"has a % without s behind it"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[2000];
		char *errors;
		size_t n_lines = 0;

		(void)snprintf(text, sizeof(text), "%s%s", BASE, rows[i].text); /* short */
		errors = errors_of(span_str(text));
		for (const char *p = errors; *p != '\0'; p++)
			n_lines += *p == '\n';
		if (n_lines != 1 || strstr(errors, rows[i].wanted) == NULL)
			fail_msg("%s\n%s", rows[i].text, errors);
		mem_free(errors);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_all_words),
	    cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tls { } and the words of listen that need it: what is read, and every mistake with its line. */
#include "tests/unit/config_fake.h"

#define CERTIFICATE "tls { certificate = \"/c.pem\" key = \"/k.pem\" }\n"
#define LISTEN      "listen \"b\" { address = \"127.0.0.1:26\" flow = inbound "

static struct config *
parse(const char *more)
{
	struct buf text = BUF_INIT(65536);
	struct config *c;

	assert_int_equal(buf_addf(&text, "%s%s", BASE, more), 0);
	c = config_of(buf_span(&text));
	buf_free(&text);
	return c;
}

static void
test_listeners(void **state)
{
	static const struct {
		const char *text;
		enum listen_tls tls;
		unsigned auth;
		const char *users;
		bool needs_key;
	} rows[] = {
	    {LISTEN "}", LISTEN_PLAIN, 0, NULL, false},
	    {CERTIFICATE LISTEN "}", LISTEN_STARTTLS, 0, NULL, true},
	    {CERTIFICATE LISTEN "tls = off }", LISTEN_PLAIN, 0, NULL, true /* the first one */},
	    {CERTIFICATE LISTEN "tls = starttls }", LISTEN_STARTTLS, 0, NULL, true},
	    {LISTEN "tls = implicit }\n" CERTIFICATE, LISTEN_IMPLICIT, 0, NULL, true},
	    {LISTEN "auth = \"scram-sha-256\" users = \"file:/u\" }", LISTEN_PLAIN,
		AUTH_SCRAM_SHA256, "/u", true},
	    {CERTIFICATE LISTEN "auth = {plain, login, \"scram-sha-256\"} users = \"file:/u\" }",
		LISTEN_STARTTLS, AUTH_PLAIN | AUTH_LOGIN | AUTH_SCRAM_SHA256, "/u", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config *c = parse(rows[i].text);
		const struct conf_listen *l = &c->listens[1];

		assert_int_equal(l->tls, rows[i].tls);
		assert_int_equal(l->auth, rows[i].auth);
		if (rows[i].users != NULL)
			assert_string_equal(l->users, rows[i].users);
		else
			assert_null(l->users);
		assert_int_equal(config_needs_key(c), rows[i].needs_key);
		config_free(&c);
	}
}

static void
test_certificates(void **state)
{
	struct config *c = parse(CERTIFICATE);

	(void)state;
	assert_int_equal(c->tls.n_certificates, 1);
	assert_string_equal(c->tls.certificates[0], "/c.pem");
	assert_string_equal(c->tls.keys[0], "/k.pem");
	assert_false(c->tls.is_13_only);
	config_free(&c);
	c = parse(
	    "tls { certificate = {\"/a\", \"/b\"} key = {\"/ka\", \"/kb\"} minimum = \"1.3\" }");
	assert_int_equal(c->tls.n_keys, 2);
	assert_string_equal(c->tls.keys[1], "/kb");
	assert_true(c->tls.is_13_only);
	config_free(&c);
}

static void
test_mistakes(void **state)
{
	static const struct {
		const char *text, *lines;
	} rows[] = {
	    {"tls { }\n",
		"t.conf:6: tls has no certificate; add certificate = \"/etc/postern/cert.pem\"\n"
		"t.conf:6: tls has no key; add key = \"/etc/postern/key.pem\"\n"},
	    {"tls { certificate = \"c.pem\" key = \"/k\" }\n",
		"t.conf:6: certificate = \"c.pem\" is not an absolute path; write it from / on, "
		"without . and ..\n"},
	    {"tls { certificate = {\"/a\", \"/b\"}\nkey = \"/k\" }\n",
		"t.conf:7: 2 certificates and 1 keys; name one key for each certificate, in the "
		"same order\n"},
	    {"tls { certificate = \"/a\" key = \"/k\" minimum = \"1.1\" }\n",
		"t.conf:6: minimum = \"1.1\" is no TLS version; write \"1.2\" or \"1.3\"\n"},
	    {LISTEN "tls = starttls }\n",
		"t.conf:6: listen \"b\" needs a certificate; add tls { certificate = FILE key = "
		"FILE }\n"},
	    {LISTEN "auth = \"scram-sha-256\" }\n",
		"t.conf:6: listen \"b\" has auth but no users; add users = "
		"\"file:/etc/postern/users\"\n"},
	    {LISTEN "users = \"file:/u\" }\n",
		"t.conf:6: listen \"b\" has users but no auth; add auth = {\"scram-sha-256\"}\n"},
	    {LISTEN "auth = {plain} users = \"file:/u\" }\n",
		"t.conf:6: listen \"b\" would take passwords in the clear; add tls = \"starttls\" "
		"or leave \"plain\" and \"login\" out\n"},
	    {LISTEN "auth = {\"scram-sha-1\"} users = \"file:/u\" }\n",
		"t.conf:6: unknown value \"scram-sha-1\" of auth; did you mean "
		"\"scram-sha-256\"?\n"},
	    {LISTEN "auth = {} users = \"file:/u\" }\n",
		"t.conf:6: \"auth\" is empty; write auth = {\"scram-sha-256\"}, or remove it\n"},
	    {LISTEN "auth = \"scram-sha-256\" users = \"/u\" }\n",
		"t.conf:6: users = \"/u\" is no source of users; write "
		"\"file:/etc/postern/users\"\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf text = BUF_INIT(65536);
		char *lines;

		assert_int_equal(buf_addf(&text, "%s%s", BASE, rows[i].text), 0);
		lines = errors_of(buf_span(&text));
		assert_string_equal(lines, rows[i].lines);
		mem_free(lines);
		buf_free(&text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_listeners),
	    cmocka_unit_test(test_certificates),
	    cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

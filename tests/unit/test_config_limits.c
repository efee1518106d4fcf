/* limits and proxy_protocol of a listener. */
#include "policy/config/config.h"
#include "relay/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BEFORE                                                                         \
	"hostname = \"mx.example\"\npostmaster = \"p@example.org\"\nflow \"in\" { }\n" \
	"domain \"example.org\" { gateway = g }\n"                                     \
	"gateway \"g\" { server \"127.0.0.1:2525\" { } }\n"                            \
	"listen \"a\" { address = {\"127.0.0.1:25\"} flow = in\n"

static const struct pnf_about *const no_plugins[] = {NULL};

static struct config *
parse(const char *words, struct config_errors *errors)
{
	struct buf text = BUF_INIT(65536);
	struct config *c;

	assert_int_equal(buf_addf(&text, BEFORE "%s\n}\n", words), 0);
	c = config_parse(buf_span(&text), "t.conf", no_plugins, errors);
	buf_free(&text);
	return c;
}

static void
test_defaults(void **state)
{
	struct config_errors errors = {0};
	struct config *c = parse("", &errors);

	(void)state;
	assert_non_null(c);
	assert_memory_equal(
	    &c->listens[0].limits, &conf_limits_default, sizeof(conf_limits_default));
	assert_int_equal(c->listens[0].proxies.n, 0);
	config_free(&c);
}

static void
test_given(void **state)
{
	struct config_errors errors = {0};
	struct config *c = parse(
	    "proxy_protocol = {\"10.0.0.9\", \"2001:db8::/32\"}\n"
	    "limits { sessions_per_client = 7 messages = 8 mistakes = 9 command_timeout = 1m\n"
	    "data_timeout = 30s message_timeout = 2h data_rate = 1K }",
	    &errors);
	const struct conf_limits *l;
	struct ip ip;

	(void)state;
	assert_non_null(c);
	l = &c->listens[0].limits;
	assert_int_equal(l->sessions_per_client, 7);
	assert_int_equal(l->messages, 8);
	assert_int_equal(l->mistakes, 9);
	assert_int_equal(l->command_ms, 60000);
	assert_int_equal(l->data_ms, 30000);
	assert_int_equal(l->message_ms, 2 * 3600000);
	assert_int_equal(l->data_rate, 1024);
	assert_true(ip_parse(SPAN("2001:db8::5"), &ip) && nets_have(&c->listens[0].proxies, &ip));
	assert_true(ip_parse(SPAN("10.0.0.8"), &ip) && !nets_have(&c->listens[0].proxies, &ip));
	config_free(&c);
}

/* A word of the top level: outside of the listener that `parse` ends with. */
static struct config *
parse_top(const char *words, struct config_errors *errors)
{
	struct buf text = BUF_INIT(65536);
	struct config *c;

	assert_int_equal(buf_addf(&text, BEFORE "}\n%s\n", words), 0);
	c = config_parse(buf_span(&text), "t.conf", no_plugins, errors);
	buf_free(&text);
	return c;
}

static void
test_fronts(void **state)
{
	static const struct {
		const char *words;
		unsigned fronts; /* 0: an error */
	} rows[] = {{"", 1}, {"fronts = 1", 1}, {"fronts = 8", 8}, {"fronts = 0", 0},
	    {"fronts = 9", 0}, {"fronts = auto", 0}, {"fronts = -1", 0},
	    {"fronts = 2\nfronts = 2", 0}, {"fronts { }", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config_errors errors = {0};
		struct config *c = parse_top(rows[i].words, &errors);

		if (c == NULL ? rows[i].fronts != 0 : c->fronts != rows[i].fronts)
			fail_msg("%s: %.*s", rows[i].words, (int)errors.lines.n, errors.lines.p);
		config_free(&c);
		buf_free(&errors.lines);
	}
}

static void
test_errors(void **state)
{
	static const struct {
		const char *words, *error;
	} rows[] = {
	    {"proxy_protocol = {\"10.0.0.300\"}",
		"proxy_protocol = \"10.0.0.300\" is not an address or a network"},
	    {"limits { mistakes = 0 }",
		"mistakes = \"0\" is out of range; it goes from 1 to 1000000"},
	    {"limits { mistakes = 1000001 }", "is out of range"},
	    {"limits { command_timeout = 0s }", "it goes from 1s to 24h"},
	    {"limits { data_timeout = 25h }", "it goes from 1s to 24h"},
	    {"limits { message_timeout = x }", "message_timeout"},
	    {"limits { data_rate = 2G }", "it goes from 0 to 1G"},
	    {"limits { messages = many }", "messages"},
	    {"limits { sessions = 4 }",
		"unknown word \"sessions\" in limits; did you mean \"sessions_per_client\"?"},
	    {"limits = 4", "limits"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config_errors errors = {0};

		assert_null(parse(rows[i].words, &errors));
		assert_int_equal(errors.n, 1);
		if (memmem(errors.lines.p, errors.lines.n, rows[i].error, strlen(rows[i].error)) ==
		    NULL)
			fail_msg("%s: %.*s", rows[i].words, (int)errors.lines.n, errors.lines.p);
		buf_free(&errors.lines);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_given),
	    cmocka_unit_test(test_fronts),
	    cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

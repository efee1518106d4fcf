/* What a flow asks of who connects: connect, greet, rate, greylist. */
#include "tests/unit/config_fake.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define FLOW(words) "flow \"b\" { " words " }\n"

static const struct conf_flow *
flow_of(struct config *c)
{
	const struct conf_flow *f = config_flow(c, SPAN("b"));

	assert_non_null(f);
	return f;
}

static void
test_defaults(void **state)
{
	struct config *c = config_of(SPAN(BASE FLOW("")));
	const struct conf_flow *f = flow_of(c);

	(void)state;
	assert_int_equal(f->connect, CONNECT_ACCESS | CONNECT_DNSBL | CONNECT_PTR | CONNECT_RATE);
	assert_int_equal(f->greet_wait_ms, 2000);
	assert_int_equal(f->rate.connections, 0);
	assert_int_equal(f->rate.messages.n, 0);
	assert_int_equal(f->greylist.delay_ms, 300000);
	assert_int_equal(f->greylist.window_ms, 2LL * 86400000);
	assert_int_equal(f->greylist.keep_ms, 35LL * 86400000);
	assert_int_equal(f->greylist.clients, 5);
	assert_int_equal(f->sender.missing, ACTION_REJECT);
	assert_int_equal(f->sender.null_mx, ACTION_REJECT);
	assert_int_equal(f->sender.unreachable, ACTION_TAG);
	assert_int_equal(f->sender.private, ACTION_TAG);
	assert_string_equal(f->sender.canary, "com");
	config_free(&c);
}

static void
test_all_words(void **state)
{
	struct config *c = config_of(SPAN(BASE FLOW(
	    "connect = {\"greet\", \"rate\", \"greylist\", \"sender\"}\n"
	    "greet { wait = 300ms }\n"
	    "rate { connections = 20 messages = \"100/1m\" recipients = \"500/10s\" errors = "
	    "\"1000000/1d\" }\n"
	    "greylist { delay = 1s window = 2s keep = 365d clients = 0 }\n"
	    "sender { missing = \"tempfail\" null_mx = \"pass\" unreachable = \"pass\" private = "
	    "\"pass\" canary = \"isp.example\" }")));
	const struct conf_flow *f = flow_of(c);

	(void)state;
	assert_int_equal(
	    f->connect, CONNECT_GREET | CONNECT_RATE | CONNECT_GREYLIST | CONNECT_SENDER);
	assert_int_equal(f->greet_wait_ms, 300);
	assert_int_equal(f->rate.connections, 20);
	assert_int_equal(f->rate.messages.n, 100);
	assert_int_equal(f->rate.messages.per_ms, 60000);
	assert_string_equal(f->rate.messages.text, "100/1m");
	assert_int_equal(f->rate.recipients.n, 500);
	assert_int_equal(f->rate.recipients.per_ms, 10000);
	assert_int_equal(f->rate.errors.n, 1000000);
	assert_int_equal(f->rate.errors.per_ms, 86400000);
	assert_int_equal(f->greylist.delay_ms, 1000);
	assert_int_equal(f->greylist.window_ms, 2000);
	assert_int_equal(f->greylist.keep_ms, 365LL * 86400000);
	assert_int_equal(f->greylist.clients, 0);
	assert_int_equal(f->sender.missing, ACTION_TEMPFAIL);
	assert_int_equal(f->sender.null_mx, ACTION_PASS);
	assert_int_equal(f->sender.unreachable, ACTION_PASS);
	assert_int_equal(f->sender.private, ACTION_PASS);
	assert_string_equal(f->sender.canary, "isp.example");
	config_free(&c);
}

#define NO_RATE(text)                                                                              \
	"t.conf:6: messages = \"" text "\" is no rate; write how many, from 1 to 1000000, in how " \
	"long, from 1s to 1d: \"100/1m\"\n"

static void
test_errors(void **state)
{
	static const struct {
		const char *text, *lines;
	} rows[] = {
	    {FLOW("rate { messages = \"100\" }"), NO_RATE("100")},
	    {FLOW("rate { messages = \"0/1m\" }"), NO_RATE("0/1m")},
	    {FLOW("rate { messages = \"1000001/1m\" }"), NO_RATE("1000001/1m")},
	    {FLOW("rate { messages = \"/1m\" }"), NO_RATE("/1m")},
	    {FLOW("rate { messages = \"5/\" }"), NO_RATE("5/")},
	    {FLOW("rate { messages = \"5/m\" }"), NO_RATE("5/m")},
	    {FLOW("rate { messages = \"5/1\" }"), NO_RATE("5/1")},
	    {FLOW("rate { messages = \"5/999ms\" }"), NO_RATE("5/999ms")},
	    {FLOW("rate { messages = \"5/2d\" }"), NO_RATE("5/2d")},
	    {FLOW("rate { messages = \"-5/1m\" }"), NO_RATE("-5/1m")},
	    {FLOW("rate { messages = \"5/1m/1m\" }"), NO_RATE("5/1m/1m")},
	    {FLOW("rate { message = \"5/1m\" }"),
		"t.conf:6: unknown word \"message\" in rate; did you mean \"messages\"?\n"},
	    {FLOW("connect = {\"access\"}\nrate { connections = 2 }"),
		"t.conf:7: rate { } does nothing while connect of flow \"b\" leaves out \"rate\"; "
		"add it there, or remove this\n"},
	    {FLOW("greet { wait = 1s }"),
		"t.conf:6: greet { } does nothing while connect of flow \"b\" leaves out "
		"\"greet\"; add it there, or remove this\n"},
	    {FLOW("greylist { delay = 1m }"),
		"t.conf:6: greylist { } does nothing while connect of flow \"b\" leaves out "
		"\"greylist\"; add it there, or remove this\n"},
	    {FLOW("connect = \"greylist\"\ngreylist { delay = 1h window = 1h }"),
		"t.conf:7: greylist: the window closes before the delay is over, so no mail ever "
		"passes; make window longer than delay\n"},
	    {FLOW("sender { missing = \"tag\" }"),
		"t.conf:6: sender { } does nothing while connect of flow \"b\" leaves out "
		"\"sender\"; add it there, or remove this\n"},
	    {FLOW("connect = {\"sender\", \"sender\"}"),
		"t.conf:6: connect has \"sender\" twice; keep one\n"},
	    {FLOW("connect = \"sender\" sender { missing = \"keep\" }"),
		"t.conf:6: unknown value \"keep\" of missing; did you mean \"pass\"?\n"},
	    {FLOW("connect = \"sender\" sender { private = \"reject\" }"),
		"t.conf:6: unknown value \"reject\" of private; did you mean \"pass\"?\n"},
	    {FLOW("connect = \"sender\" sender { canary = \"not a name\" }"),
		"t.conf:6: canary = \"not a name\" is no name; write one that surely exists, like "
		"\"com\"\n"},
	    {FLOW("connect = {\"rate\", \"greylits\"}"),
		"t.conf:6: unknown value \"greylits\" of connect; did you mean \"greylist\"?\n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
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
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_all_words),
	    cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

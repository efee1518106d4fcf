/* What a text without errors means: values, defaults, overrides, lookups. */
#include "tests/unit/config_fake.h"

static const char full[] =
    "hostname = mx1.example.org postmaster = \"pm@example.org\"\n"
    "state_dir = /srv/state/ run_dir = \"/srv/run\"\n"
    "listen \"a\" { address = {\"127.0.0.1:25\", \"[::1]:25\"} flow = \"inbound\" tls = \"off\" }\n"
    "listen b { address = \"127.0.0.1:26\" flow = out xclient = {\"127.0.0.1\", \"10.0.0.0/8\"} }\n"
    "dns { servers = {\"127.0.0.1:53\", \"[::1]:5353\"} timeout = 300ms banner_wait = 0s probe = "
    "1s }\n"
    "geoip { country = \"/srv/country.mmdb\" asn = /srv/asn.mmdb }\n"
    "flow \"inbound\" {\n"
    "  relay = domains refuse_at = banner connect = {dnsbl} filters = {antivirus, av2, content}\n"
    "  score { tag = 2.5 tempfail = 7 reject = 10 } max_size = 10K max_recipients = 5\n"
    "  filter \"antivirus\" { unscannable = reject failure = tag }\n"
    "}\n"
    "flow out { clients = {\"10.0.0.0/8\", \"2001:db8::/32\"} relay = any gateway = smart\n"
    "  filters = {antivirus, tag} connect = {} strip_tags = true score { reject = -1 } }\n"
    "gateway gw { server \"10.0.0.1:25\" { preference = 20 weight = 3 }\n"
    "  server \"[2001:db8::1]:2525\" { } server \"Dr.example.org:26\" { } tls = off accept = queue "
    "}\n"
    "gateway smart { server \"198.51.100.5:587\" { tls_name = mx.corp.example } "
    "server \"198.51.100.6:587\" { } server \"mx.smart.example:587\" { tls_name = \"192.0.2.1\" }\n"
    "  tls_name = other.example tls = verify ca = \"/etc/ca.pem\" source = {\"10.0.0.5\", "
    "\"2001:db8::5\"}\n"
    "  accept = through through_wait = 5s connections = 3\n"
    "  timeout { connect = 1s greeting = 2s command = 3s data = 4s final = 5s } }\n"
    "domain \"Example.org\" { gateway = gw recipients = \"file:/etc/rcpt\" }\n"
    "domain \".example.org\" { gateway = smart recipients = any }\n"
    "domain \"a.b.example.org\" { gateway = gw }\n"
    "domain \".example.net\" { gateway = gw }\n"
    "filter antivirus { infected = tempfail malformed = \"pass\" databases = \"/srv/db \\\"x\\\" "
    "\\\\\"\n"
    "  max_scan_size = 1G heuristics = false max_files = 7 scan_time = 2m ignore = {} }\n"
    "filter av2 { plugin = clamav deadline = 1h failure = tag }\n"
    "queue { retry = {1s, 2m} warn_after = 1h expire_after = 2d min_free = 1G }\n"
    "web { address = \"[::1]:8025\" }\n"
    "journal { }\n";

struct fixture {
	struct config *full, *base;
};

static int
setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));

	f->full = config_of(span_str(full));
	f->base = config_of(SPAN(BASE));
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	config_free(&f->full);
	config_free(&f->base);
	assert_null(f->full);
	config_free(&f->full);
	mem_free(f);
	return 0;
}

static const struct config *
the_full(void **state)
{
	return ((struct fixture *)*state)->full;
}

static void
test_top(void **state)
{
	const struct config *c = the_full(state);

	assert_string_equal(c->file, "t.conf");
	assert_string_equal(c->hostname, "mx1.example.org");
	assert_string_equal(c->postmaster, "pm@example.org");
	assert_string_equal(c->state_dir, "/srv/state");
	assert_string_equal(c->run_dir, "/srv/run");
	assert_true(c->web.is_on);
	assert_string_equal(c->web.address.text, "[::1]:8025");
	assert_int_equal(c->web.address.port, 8025);
}

static void
test_defaults(void **state)
{
	const struct config *c = ((struct fixture *)*state)->base;
	static const int64_t minutes[] = {5, 15, 30, 60, 120, 240};
	const struct conf_flow *f = &c->flows[0];
	const struct conf_server *s = &c->gateways[0].servers[0];

	assert_string_equal(c->postmaster, "postmaster@mx1.example.org");
	assert_string_equal(c->state_dir, "/var/lib/postern");
	assert_string_equal(c->run_dir, "/run/postern");
	assert_int_equal(c->dns.n_servers, 0);
	assert_int_equal(c->dns.timeout_ms, 5000);
	assert_int_equal(c->dns.banner_wait_ms, 3000);
	assert_int_equal(c->dns.probe_ms, 60000);
	assert_int_equal(f->relay, RELAY_DOMAINS);
	assert_int_equal(f->refuse_at, REFUSE_AT_RCPT);
	assert_int_equal(f->connect, CONNECT_ACCESS | CONNECT_DNSBL | CONNECT_PTR | CONNECT_RATE);
	assert_int_equal(f->clients.n, 0);
	assert_int_equal(f->n_filters, 0);
	assert_int_equal(f->max_size, 50 * 1024 * 1024);
	assert_int_equal(f->max_recipients, 100);
	assert_false(f->strip_tags);
	assert_null(f->gateway);
	for (enum action a = ACTION_PASS; a <= ACTION_KEEP; a++)
		assert_false(f->score.has[a]);
	assert_int_equal(s->preference, 10);
	assert_int_equal(s->weight, 1);
	assert_int_equal(c->domains[0].recipients, RECIPIENTS_ANY);
	assert_int_equal(c->queue.n_retry, 6);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(c->queue.retry_ms[i], minutes[i] * 60000);
	assert_int_equal(c->queue.warn_after_ms, 4 * 3600 * 1000);
	assert_int_equal(c->queue.expire_after_ms, 5 * 24 * 3600 * 1000);
	assert_int_equal(c->queue.min_free, 500 * 1024 * 1024);
	assert_int_equal(c->quarantine.keep_ms, INT64_C(30) * 24 * 3600 * 1000);
	assert_int_equal(c->quarantine.max, INT64_C(10) << 30);
	assert_false(c->web.is_on);
}

static void
test_listens(void **state)
{
	const struct config *c = the_full(state);
	const struct conf_listen *a = &c->listens[0], *b = &c->listens[1];
	struct ip ip;

	assert_int_equal(c->n_listens, 2);
	assert_string_equal(a->name, "a");
	assert_int_equal(a->n_addresses, 2);
	assert_string_equal(a->addresses[1].text, "[::1]:25");
	assert_int_equal(a->addresses[1].port, 25);
	assert_true(ip_is_loopback(&a->addresses[1].ip));
	assert_ptr_equal(a->flow, &c->flows[0]);
	assert_int_equal(a->xclient.n, 0);
	assert_ptr_equal(b->flow, &c->flows[1]);
	assert_true(ip_parse(SPAN("10.2.3.4"), &ip) && nets_have(&b->xclient, &ip));
	assert_true(ip_parse(SPAN("::ffff:127.0.0.1"), &ip) && nets_have(&b->xclient, &ip));
	assert_true(ip_parse(SPAN("127.0.0.2"), &ip));
	assert_false(nets_have(&b->xclient, &ip));
	assert_false(nets_have(&a->xclient, &ip));
}

static void
test_dns_and_queue(void **state)
{
	const struct config *c = the_full(state);

	assert_int_equal(c->dns.n_servers, 2);
	assert_int_equal(c->dns.servers[1].port, 5353);
	assert_int_equal(c->dns.timeout_ms, 300);
	assert_int_equal(c->dns.banner_wait_ms, 0);
	assert_int_equal(c->dns.probe_ms, 1000);
	assert_string_equal(c->geoip.country, "/srv/country.mmdb");
	assert_string_equal(c->geoip.asn, "/srv/asn.mmdb");
	assert_int_equal(c->queue.n_retry, 2);
	assert_int_equal(c->queue.retry_ms[0], 1000);
	assert_int_equal(c->queue.retry_ms[1], 120000);
	assert_int_equal(c->queue.warn_after_ms, 3600000);
	assert_int_equal(c->queue.expire_after_ms, 2 * 86400000);
	assert_int_equal(c->queue.min_free, 1 << 30);
}

static void
test_flows(void **state)
{
	const struct config *c = the_full(state);
	const struct conf_flow *in = &c->flows[0], *out = &c->flows[1];

	assert_int_equal(c->n_flows, 2);
	assert_int_equal(in->refuse_at, REFUSE_AT_BANNER);
	assert_int_equal(in->connect, CONNECT_DNSBL);
	assert_int_equal(in->max_size, 10240);
	assert_int_equal(in->max_recipients, 5);
	assert_true(in->score.has[ACTION_TAG] && in->score.has[ACTION_TEMPFAIL] &&
		    in->score.has[ACTION_REJECT]);
	assert_int_equal(in->score.milli[ACTION_TAG], 2500);
	assert_int_equal(in->score.milli[ACTION_TEMPFAIL], 7000);
	assert_int_equal(in->score.milli[ACTION_REJECT], 10000);
	assert_int_equal(out->relay, RELAY_ANY);
	assert_ptr_equal(out->gateway, &c->gateways[1]);
	assert_int_equal(out->clients.n, 2);
	assert_int_equal(out->connect, 0);
	assert_true(out->strip_tags);
	assert_false(out->score.has[ACTION_TAG]);
	assert_int_equal(out->score.milli[ACTION_REJECT], -1000);
	assert_ptr_equal(config_flow(c, SPAN("out")), out);
	assert_null(config_flow(c, SPAN("Out")));
}

static void
test_gateways(void **state)
{
	const struct config *c = the_full(state);
	const struct conf_gateway *g = config_gateway(c, SPAN("gw"));

	assert_int_equal(c->n_gateways, 2);
	assert_non_null(g);
	assert_null(config_gateway(c, SPAN("g")));
	assert_int_equal(g->n_servers, 3);
	assert_false(g->servers[0].is_name);
	assert_int_equal(g->servers[0].preference, 20);
	assert_int_equal(g->servers[0].weight, 3);
	assert_string_equal(g->servers[1].text, "[2001:db8::1]:2525");
	assert_string_equal(g->servers[1].host, "2001:db8::1");
	assert_int_equal(g->servers[1].port, 2525);
	assert_false(g->servers[1].is_name);
	assert_true(g->servers[2].is_name);
	assert_string_equal(g->servers[2].host, "Dr.example.org");
	assert_int_equal(g->servers[2].port, 26);
	assert_string_equal(g->servers[1].tls_name, "2001:db8::1");
	assert_string_equal(g->servers[2].tls_name, "Dr.example.org");
}

static void
test_gateway_defaults(void **state)
{
	const struct conf_gateway *g = config_gateway(the_full(state), SPAN("gw"));

	assert_int_equal(g->tls, GATEWAY_TLS_OFF);
	assert_null(g->ca);
	assert_int_equal(g->n_sources, 0);
	assert_int_equal(g->accept, GATEWAY_QUEUE);
	assert_int_equal(g->through_wait_ms, 20000);
	assert_int_equal(g->connections, 20);
	assert_int_equal(g->timeouts.connect_ms, 30000);
	assert_int_equal(g->timeouts.greeting_ms, 60000);
	assert_int_equal(g->timeouts.command_ms, 60000);
	assert_int_equal(g->timeouts.data_ms, 180000);
	assert_int_equal(g->timeouts.final_ms, 600000);
}

static void
test_gateway_words(void **state)
{
	const struct conf_gateway *g = config_gateway(the_full(state), SPAN("smart"));

	assert_int_equal(g->tls, GATEWAY_TLS_VERIFY);
	assert_string_equal(g->ca, "/etc/ca.pem");
	assert_string_equal(g->servers[0].tls_name, "mx.corp.example");
	assert_string_equal(g->servers[1].tls_name, "other.example");
	assert_string_equal(g->servers[2].tls_name, "192.0.2.1");
	assert_int_equal(g->n_sources, 2);
	assert_true(ip_is_v4(&g->sources[0]));
	assert_false(ip_is_v4(&g->sources[1]));
	assert_int_equal(g->accept, GATEWAY_THROUGH);
	assert_int_equal(g->through_wait_ms, 5000);
	assert_int_equal(g->connections, 3);
	assert_int_equal(g->timeouts.connect_ms, 1000);
	assert_int_equal(g->timeouts.greeting_ms, 2000);
	assert_int_equal(g->timeouts.command_ms, 3000);
	assert_int_equal(g->timeouts.data_ms, 4000);
	assert_int_equal(g->timeouts.final_ms, 5000);
}

static void
test_domains(void **state)
{
	static const struct {
		const char *domain, *name; /* NULL: falls under none */
		bool has_subdomains;
	} cases[] = {
	    {"example.org", "example.org", false},
	    {"EXAMPLE.ORG", "example.org", false},
	    {"x.example.org", "example.org", true},
	    {"y.x.example.org", "example.org", true},
	    {"a.b.example.org", "a.b.example.org", false},
	    {"c.a.b.example.org", "example.org", true},
	    {"example.net", "example.net", true},
	    {"Mail.Example.Net", "example.net", true},
	    {"xexample.org", NULL, false},
	    {"example.org.", NULL, false},
	    {"org", NULL, false},
	    {".", NULL, false},
	    {"", NULL, false},
	    {"..", NULL, false},
	};
	const struct config *c = the_full(state);

	assert_int_equal(c->n_domains, 4);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct conf_domain *d = config_domain(c, span_str(cases[i].domain));

		assert_int_equal(d == NULL, cases[i].name == NULL);
		if (d == NULL)
			continue;
		assert_string_equal(d->name, cases[i].name);
		assert_int_equal(d->has_subdomains, cases[i].has_subdomains);
	}
	assert_string_equal(config_domain(c, SPAN("example.org"))->recipients_file, "/etc/rcpt");
	assert_int_equal(config_domain(c, SPAN("example.org"))->recipients, RECIPIENTS_FILE);
	assert_int_equal(config_domain(c, SPAN("x.example.org"))->recipients, RECIPIENTS_ANY);
	assert_ptr_equal(config_domain(c, SPAN("x.example.org"))->gateway, &c->gateways[1]);
}

static const struct conf_filter *
filter_named(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_filters; i++)
		if (strcmp(c->filters[i].name, name) == 0)
			return &c->filters[i];
	return NULL;
}

static void
test_filters(void **state)
{
	const struct config *c = the_full(state);
	const struct conf_filter *av = filter_named(c, "antivirus"), *av2 = filter_named(c, "av2");

	assert_int_equal(c->n_filters, 4); /* two sections, content and tag */
	assert_ptr_equal(av->plugin, &fake_clamav);
	assert_ptr_equal(av2->plugin, &fake_clamav);
	assert_ptr_equal(filter_named(c, "content")->plugin, &fake_content);
	assert_ptr_equal(filter_named(c, "tag")->plugin, &fake_tag);
	assert_int_equal(av->deadline_ms, 20000);
	assert_int_equal(av2->deadline_ms, 3600000);
	assert_int_equal(av->load_ms, 900000); /* it has databases */
	assert_int_equal(filter_named(c, "content")->load_ms, 60000);
	assert_false(filter_named(c, "content")->is_said[0]);
	assert_true(av->is_said[0]);
	assert_int_equal(av->actions.outcomes[0], ACTION_TEMPFAIL);
	assert_int_equal(av->actions.outcomes[1], ACTION_TAG);
	assert_int_equal(av->actions.outcomes[2], ACTION_PASS);
	assert_int_equal(av->actions.failure, ACTION_TEMPFAIL);
	assert_int_equal(av2->actions.outcomes[0], ACTION_REJECT);
	assert_int_equal(av2->actions.failure, ACTION_TAG);
}

static void
test_options(void **state)
{
	const struct config *c = the_full(state);
	const struct conf_option *given = filter_named(c, "antivirus")->options;
	const struct conf_option *fallback = filter_named(c, "av2")->options;

	assert_int_equal(filter_named(c, "av2")->n_options, 7);
	assert_string_equal(given[0].values[0], "/srv/db \"x\" \\");
	assert_true(given[0].is_given);
	assert_int_equal(given[1].number, 1 << 30);
	assert_int_equal(given[2].number, 0);
	assert_int_equal(given[3].number, 7);
	assert_int_equal(given[4].number, 120000);
	assert_int_equal(given[5].n_values, 0);
	assert_true(given[5].is_given);
	assert_false(given[6].is_given);

	assert_ptr_equal(fallback[0].about, &fake_clamav_options[0]);
	assert_int_equal(fallback[0].n_values, 1);
	assert_string_equal(fallback[0].values[0], "/var/lib/clamav");
	assert_false(fallback[0].is_given);
	assert_int_equal(fallback[1].number, 100 * 1024 * 1024);
	assert_int_equal(fallback[2].number, 1);
	assert_int_equal(fallback[3].number, 10000);
	assert_int_equal(fallback[4].number, 15000);
	assert_int_equal(fallback[5].n_values, 2);
	assert_string_equal(fallback[5].values[1], "Heuristics.B");
	assert_int_equal(fallback[6].n_values, 0);
}

/* Flow override over filter section over plugin. */
static void
test_flow_actions(void **state)
{
	const struct config *c = the_full(state);
	const struct conf_flow_filter *in = c->flows[0].filters, *out = c->flows[1].filters;

	assert_int_equal(c->flows[0].n_filters, 3);
	assert_ptr_equal(in[0].filter, filter_named(c, "antivirus"));
	assert_ptr_equal(in[1].filter, filter_named(c, "av2"));
	assert_int_equal(in[0].actions.outcomes[0], ACTION_TEMPFAIL);
	assert_int_equal(in[0].actions.outcomes[1], ACTION_REJECT);
	assert_int_equal(in[0].actions.outcomes[2], ACTION_PASS);
	assert_int_equal(in[0].actions.failure, ACTION_TAG);
	assert_int_equal(in[2].actions.outcomes[0], ACTION_TAG);
	assert_int_equal(out[0].actions.outcomes[1], ACTION_TAG);
	assert_int_equal(out[0].actions.failure, ACTION_TEMPFAIL);
	assert_ptr_equal(out[1].filter, filter_named(c, "tag"));
}

static void
test_filters_at_their_limit(void **state)
{
	(void)state;
	for (int n = CONFIG_FILTERS_MAX; n <= CONFIG_FILTERS_MAX + 1; n++) {
		struct buf text = BUF_INIT(65536);
		char *lines;

		assert_int_equal(buf_add_str(&text, BASE), 0);
		for (int i = 0; i < n; i++)
			assert_int_equal(buf_addf(&text, "filter f%d { plugin = tag }\n", i), 0);
		assert_int_equal(buf_add_str(&text, "flow b { filters = { "), 0);
		for (int i = 0; i < n; i++)
			assert_int_equal(buf_addf(&text, "%sf%d", i ? ", " : "", i), 0);
		assert_int_equal(buf_add_str(&text, "} }\n"), 0);
		lines = errors_of(buf_span(&text));
		if (n == CONFIG_FILTERS_MAX)
			assert_string_equal(lines, "");
		else
			assert_string_equal(lines,
			    "t.conf:39: more than 32 filters in one flow; remove \"f32\" and those "
			    "behind it\n");
		mem_free(lines);
		buf_free(&text);
	}
}

/* A plugin whose default action is none must be configured; a broken one is told of. */
static void
test_plugins_that_do_not_fit(void **state)
{
	static const struct pnf_outcome outcomes[] = {{"bad", "burn", ""}, {NULL, NULL, NULL}};
	static const struct pnf_option options[] = {
	    {"limit", PNF_OPTION_SIZE, "many", ""}, {NULL, PNF_OPTION_TEXT, NULL, NULL}};
	static const struct pnf_about odd = {.name = "odd", .outcomes = outcomes};
	static const struct pnf_about broken = {.name = "broken", .options = options};
	static const struct pnf_about *const plugins[] = {&odd, &broken, NULL};
	static const struct {
		const char *text, *lines;
	} cases[] = {
	    {"filter odd { bad = reject }\n", ""},
	    {"\nfilter odd { }\n", "t.conf:7: the action \"burn\" that plugin odd has for \"bad\" "
				   "is not in this version; "
				   "set bad in filter \"odd\" { }\n"},
	    {"flow b {\nfilters = {odd} }\n", "t.conf:7: the action \"burn\" that plugin odd has "
					      "for \"bad\" is not in this version; "
					      "set bad in filter \"odd\" { }\n"},
	    {"filter broken { limit = 5M }\n",
		"t.conf:6: plugin \"broken\" has a wrong fallback of an option: limit = \"many\" "
		"is "
		"not a size; write one like 500K, 10M or 2G; have it corrected\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config_errors errors = {0};
		struct buf text = BUF_INIT(4096);
		struct config *c;

		assert_int_equal(buf_addf(&text, "%s%s", BASE, cases[i].text), 0);
		c = config_parse(buf_span(&text), "t.conf", plugins, &errors);
		assert_int_equal(c != NULL, cases[i].lines[0] == '\0');
		assert_true(span_eq(buf_span(&errors.lines), span_str(cases[i].lines)));
		config_free(&c);
		buf_free(&errors.lines);
		buf_free(&text);
	}
}

static void
test_comments_and_layout(void **state)
{
	const char text[] = "\xef\xbb\xbf/* a\n * b */hostname=mx1.example.org // c\r\n#d\r\n"
			    "listen\"in\"{address={\"127.0.0.1:2525\",}flow=inbound}\n"
			    "flow inbound{}gateway gw{server\"127.0.0.1:2600\"{}}\n"
			    "domain\n\"example.org\"\n{\ngateway\n=\n\"gw\"\n}\n"
			    "state_dir = /a//b # not a comment before\n"
			    "run_dir = \"/r#\"";
	struct config *c = config_of(span_str(text));

	(void)state;
	assert_string_equal(c->state_dir, "/a//b");
	assert_string_equal(c->run_dir, "/r#");
	assert_string_equal(c->domains[0].name, "example.org");
	config_free(&c);
}

static void
test_shipped_example(void **state)
{
	char *text = file_text("docs/postern.conf.example");
	struct config *c = config_of(span_str(text));

	(void)state;
	assert_int_equal(c->n_flows, 2);
	assert_int_equal(c->n_gateways, 2);
	config_free(&c);
	mem_free(text);
}

static void
test_actions(void **state)
{
	static const struct {
		const char *word;
		enum action action;
	} cases[] = {
	    {"pass", ACTION_PASS},
	    {"tag", ACTION_TAG},
	    {"quarantine", ACTION_QUARANTINE},
	    {"discard", ACTION_DISCARD},
	    {"hold", ACTION_HOLD},
	    {"tempfail", ACTION_TEMPFAIL},
	    {"reject", ACTION_REJECT},
	    {"keep", ACTION_KEEP},
	};
	enum action a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(action_parse(span_str(cases[i].word), &a));
		assert_int_equal(a, cases[i].action);
		assert_string_equal(action_name(a), cases[i].word);
	}
	assert_false(action_parse(SPAN("Reject"), &a));
	assert_false(action_parse(SPAN(""), &a));
	assert_false(action_parse(SPAN("rejectx"), &a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_top, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_listens, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_dns_and_queue, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_flows, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_gateways, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_gateway_defaults, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_gateway_words, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_domains, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_filters, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_options, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_flow_actions, setup, teardown),
	    cmocka_unit_test(test_filters_at_their_limit),
	    cmocka_unit_test(test_plugins_that_do_not_fit),
	    cmocka_unit_test(test_comments_and_layout),
	    cmocka_unit_test(test_shipped_example),
	    cmocka_unit_test(test_actions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

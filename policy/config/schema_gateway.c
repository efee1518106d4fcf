/* gateway: where mail goes. */
#include "policy/config/scalar.h"
#include "policy/config/schema.h"

static const struct range mx_range = {0, 65535, "from 0 to 65535"};

const struct conf_timeouts conf_timeouts_default = {.connect_ms = 30 * 1000,
    .greeting_ms = 60 * 1000,
    .command_ms = 60 * 1000,
    .data_ms = 180 * 1000,
    .final_ms = 600 * 1000};

/* --- gateway -------------------------------------------------------------------------------- */

static void
read_preference(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_number(
	    r, n, &mx_range, &((struct conf_server *)to)->preference); /* or the default */
}

static void
read_weight(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {1, 65535, "from 1 to 65535"};

	(void)schema_read_number(
	    r, n, &range, &((struct conf_server *)to)->weight); /* or the default */
}

/* A name for certificates, of a server or a whole gateway. */
static void
read_tls_name(struct reading *r, const struct node *n, const char **to)
{
	struct span name = n->first_value->text;
	struct ip ip;

	if (scalar_is_host(name) || ip_parse(name, &ip))
		*to = schema_keep_text(r, name);
	else
		config_complain(r->complaints, n->first_value->line,
		    "tls_name = \"%s\" is no name that a certificate could have; write one like "
		    "mx.corp.example",
		    SHOW(name));
}

static void
read_server_tls_name(struct reading *r, const struct node *n, void *to)
{
	read_tls_name(r, n, &((struct conf_server *)to)->tls_name);
}

static void
read_server(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {
	    {"preference", RULE_ONE, read_preference},
	    {"weight", RULE_ONE, read_weight},
	    {"tls_name", RULE_ONE, read_server_tls_name},
	    {NULL, RULE_ONE, NULL},
	};
	struct conf_gateway *g = to;
	struct conf_server *s = &g->servers[g->n_servers++];
	struct span host;

	*s = (struct conf_server){
	    .text = schema_keep_text(r, n->title), .host = "", .preference = 10, .weight = 1};
	schema_read(r, n, rules, s);
	if (!scalar_host_port(n->title, &host, &s->port)) {
		config_complain(r->complaints, n->line,
		    "server \"%s\" is not HOST:PORT; write one like \"10.0.0.11:25\", "
		    "\"dr.example.org:25\" or \"[2001:db8::1]:25\"",
		    SHOW(n->title));
		return;
	}
	s->host = schema_keep_text(r, host);
	s->is_name = !ip_parse(host, &s->ip);
	if (s->is_name && !scalar_is_host(host))
		config_complain(r->complaints, n->line,
		    "server \"%s\": \"%s\" is neither an address nor a host name; write one like "
		    "10.0.0.11 or dr.example.org",
		    s->text, SHOW(host));
}

static void
read_tls(struct reading *r, const struct node *n, void *to)
{
	static const struct choice choices[] = {{"off", GATEWAY_TLS_OFF, true},
	    {"may", GATEWAY_TLS_MAY, true}, {"require", GATEWAY_TLS_REQUIRE, true},
	    {"verify", GATEWAY_TLS_VERIFY, true}, {NULL, 0, false}};
	int value;

	if (schema_choice(r, n, n->first_value, choices, &value))
		((struct conf_gateway *)to)->tls = (enum gateway_tls)value;
}

static void
read_ca(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_path(r, n, &((struct conf_gateway *)to)->ca); /* or the system's */
}

static void
read_gateway_tls_name(struct reading *r, const struct node *n, void *to)
{
	read_tls_name(r, n, &((struct conf_gateway *)to)->tls_name);
}

static void
read_source(struct reading *r, const struct node *n, void *to)
{
	struct conf_gateway *g = to;

	g->sources = schema_keep_array(r, n->n_values, sizeof(g->sources[0]));
	for (const struct value *v = n->first_value; v != NULL; v = v->next) {
		struct ip *ip = &g->sources[g->n_sources];

		if (!ip_parse(v->text, ip)) {
			config_complain(r->complaints, v->line,
			    "source = \"%s\" is no address; write one of this machine's, like "
			    "10.0.0.5 or 2001:db8::5",
			    SHOW(v->text));
			continue;
		}
		for (size_t i = 0; i < g->n_sources; i++)
			if (ip_is_v4(&g->sources[i]) == ip_is_v4(ip))
				config_complain(r->complaints, v->line,
				    "source has two addresses of one kind; write at most one of "
				    "IPv4 and one of IPv6");
		g->n_sources++;
	}
}

static void
read_accept(struct reading *r, const struct node *n, void *to)
{
	static const struct choice choices[] = {
	    {"queue", GATEWAY_QUEUE, true}, {"through", GATEWAY_THROUGH, true}, {NULL, 0, false}};
	int value;

	if (schema_choice(r, n, n->first_value, choices, &value))
		((struct conf_gateway *)to)->accept = (enum gateway_accept)value;
}

static void
read_through_wait(struct reading *r, const struct node *n, void *to)
{
	/* Behind it front would give up on the spool first. */
	static const struct range range = {100, 90000, "from 100ms to 90s"};

	(void)schema_read_time(
	    r, n, &range, &((struct conf_gateway *)to)->through_wait_ms); /* or the default */
}

static void
read_connections(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {1, 1000, "from 1 to 1000"};

	(void)schema_read_number(
	    r, n, &range, &((struct conf_gateway *)to)->connections); /* or the default */
}

/* --- how long it may take --- */

static void
read_one_timeout(struct reading *r, const struct node *n, int64_t *ms)
{
	static const struct range range = {10, 3600000, "from 10ms to 1h"};

	(void)schema_read_time(r, n, &range, ms); /* or the default */
}

static void
read_connect(struct reading *r, const struct node *n, void *to)
{
	read_one_timeout(r, n, &((struct conf_timeouts *)to)->connect_ms);
}

static void
read_greeting(struct reading *r, const struct node *n, void *to)
{
	read_one_timeout(r, n, &((struct conf_timeouts *)to)->greeting_ms);
}

static void
read_command(struct reading *r, const struct node *n, void *to)
{
	read_one_timeout(r, n, &((struct conf_timeouts *)to)->command_ms);
}

static void
read_data(struct reading *r, const struct node *n, void *to)
{
	read_one_timeout(r, n, &((struct conf_timeouts *)to)->data_ms);
}

static void
read_final(struct reading *r, const struct node *n, void *to)
{
	read_one_timeout(r, n, &((struct conf_timeouts *)to)->final_ms);
}

static void
read_timeout(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {
	    {"connect", RULE_ONE, read_connect},
	    {"greeting", RULE_ONE, read_greeting},
	    {"command", RULE_ONE, read_command},
	    {"data", RULE_ONE, read_data},
	    {"final", RULE_ONE, read_final},
	    {NULL, RULE_ONE, NULL},
	};

	schema_read(r, n, rules, &((struct conf_gateway *)to)->timeouts);
}

static const struct rule gateway_rules[] = {
    {"server", RULE_TITLED, read_server},
    {"tls", RULE_ONE, read_tls},
    {"ca", RULE_ONE, read_ca},
    {"tls_name", RULE_ONE, read_gateway_tls_name},
    {"source", RULE_LIST, read_source},
    {"accept", RULE_ONE, read_accept},
    {"through_wait", RULE_ONE, read_through_wait},
    {"connections", RULE_ONE, read_connections},
    {"timeout", RULE_SECTION, read_timeout},
    {NULL, RULE_ONE, NULL},
};

/* What only the whole section tells. */
static void
finish_gateway(struct reading *r, const struct node *n, struct conf_gateway *g)
{
	const struct node *ca = schema_child(n, "ca");

	for (size_t i = 0; i < g->n_servers; i++) {
		struct conf_server *server = &g->servers[i];

		if (server->tls_name == NULL)
			server->tls_name = g->tls_name != NULL ? g->tls_name : server->host;
	}
	if (ca != NULL && g->tls != GATEWAY_TLS_VERIFY)
		config_complain(r->complaints, ca->line,
		    "%s has ca, but certificates are checked with tls = \"verify\" only; write "
		    "that, or remove ca",
		    schema_place(n).text);
	if (g->n_servers == 0)
		config_complain(r->complaints, n->line,
		    "%s has no server; add server \"10.0.0.11:25\" { }", schema_place(n).text);
}

void
schema_read_gateways(struct reading *r)
{
	struct config *c = r->config;

	c->gateways = schema_keep_array(
	    r, config_tree_count_sections(r->root, "gateway"), sizeof(c->gateways[0]));
	for (const struct node *n = NULL;
	     (n = config_tree_section(r->root, n, "gateway")) != NULL;) {
		struct conf_gateway *g = &c->gateways[c->n_gateways++];
		size_t count = config_tree_count_sections(n, "server");

		g->name = schema_keep_text(r, n->title);
		g->line = n->line;
		g->servers = schema_keep_array(r, count, sizeof(g->servers[0]));
		g->through_wait_ms = 20 * 1000;
		g->connections = 20;
		g->timeouts = conf_timeouts_default;
		schema_read(r, n, gateway_rules, g);
		finish_gateway(r, n, g);
	}
}

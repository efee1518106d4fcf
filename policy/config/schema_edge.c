/* listen, dns, web, queue and quarantine: the sections that refer to little else. */
#include "policy/config/schema.h"
#include "relay/base/map.h"

#define SECOND_MS ((int64_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

static const struct range dns_time = {1, MINUTE_MS, "from 1ms to 1m"};
static const struct range queue_time = {1, 365 * DAY_MS, "from 1ms to 365d"};
static const struct range keep_time = {SECOND_MS, 3650 * DAY_MS, "from 1s to 3650d"};
static const struct range keep_size = {1024 * 1024, INT64_MAX, "from 1M up"};
static const struct range free_size = {0, INT64_MAX, "from 0 up"};

void
config_defaults(struct config *c)
{
	static const int64_t retry_ms[] = {
	    5 * MINUTE_MS, 15 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS, 4 * HOUR_MS};

	c->state_dir = "/var/lib/postern";
	c->run_dir = "/run/postern";
	c->fronts = 1;
	c->dns.timeout_ms = 5 * SECOND_MS;
	c->callout = conf_callout_default;
	c->dns.banner_wait_ms = 3 * SECOND_MS;
	c->dns.probe_ms = MINUTE_MS;
	memcpy(c->queue.retry_ms, retry_ms, sizeof(retry_ms));
	c->queue.n_retry = sizeof(retry_ms) / sizeof(retry_ms[0]);
	c->queue.warn_after_ms = 4 * HOUR_MS;
	c->queue.expire_after_ms = 5 * DAY_MS;
	c->queue.min_free = (uint64_t)500 * 1024 * 1024;
	c->quarantine.keep_ms = 30 * DAY_MS;
	c->quarantine.max = (uint64_t)10 << 30;
}

/* --- listen --------------------------------------------------------------------------------- */

static void
read_addresses(struct reading *r, const struct node *n, void *to)
{
	struct conf_listen *l = to;

	if (n->n_values == 0)
		config_complain(r->complaints, n->line,
		    "\"address\" is empty; write address = {\"0.0.0.0:25\"}");
	schema_read_endpoints(r, n, &l->addresses, &l->n_addresses);
}

static void
read_listen_flow(struct reading *r, const struct node *n, void *to)
{
	struct conf_listen *l = to;
	struct span name = n->first_value->text;

	l->flow = config_flow(r->config, name);
	if (l->flow == NULL)
		schema_complain_missing(r, n->first_value->line, "flow", name);
}

static void
read_xclient(struct reading *r, const struct node *n, void *to)
{
	schema_read_nets(r, n, &((struct conf_listen *)to)->xclient);
}

static void
read_proxies(struct reading *r, const struct node *n, void *to)
{
	schema_read_nets(r, n, &((struct conf_listen *)to)->proxies);
}

static const struct rule listen_rules[] = {
    {"address", RULE_LIST, read_addresses},
    {"flow", RULE_ONE, read_listen_flow},
    {"xclient", RULE_LIST, read_xclient},
    {"tls", RULE_ONE, schema_read_listen_tls},
    {"proxy_protocol", RULE_LIST, read_proxies},
    {"limits", RULE_SECTION, schema_read_limits},
    {"auth", RULE_LIST, schema_read_listen_auth},
    {"users", RULE_ONE, schema_read_listen_users},
    {NULL, RULE_ONE, NULL},
};

static void
read_listen(struct reading *r, const struct node *n)
{
	struct conf_listen *l = &r->config->listens[r->config->n_listens++];

	l->name = schema_keep_text(r, n->title);
	l->tls = schema_child(r->root, "tls") != NULL ? LISTEN_STARTTLS : LISTEN_PLAIN;
	l->limits = conf_limits_default;
	schema_read(r, n, listen_rules, l);
	schema_check_listen_tls(r, n, l);
	if (schema_child(n, "address") == NULL)
		config_complain(r->complaints, n->line,
		    "%s has no address; add address = {\"0.0.0.0:25\"}", schema_place(n).text);
	if (schema_child(n, "flow") == NULL)
		config_complain(r->complaints, n->line,
		    "%s has no flow; add flow = NAME, the flow its mail takes",
		    schema_place(n).text);
}

/* One value of an address list: complains when another listener has the same address. */
static void
check_address(struct reading *r, struct value *v, struct map *seen)
{
	struct ip ip;
	uint16_t port;
	char key[sizeof(ip) + sizeof(port)];
	const struct value *before;

	if (!ip_parse_with_port(v->text, &ip, &port))
		return; /* complained of when it was read */
	memcpy(key, &ip, sizeof(ip));
	memcpy(key + sizeof(ip), &port, sizeof(port));
	before = map_get(seen, span_of(key, sizeof(key)));
	if (before == NULL)
		(void)map_set(seen, span_of(key, sizeof(key)), v); /* was not there */
	else
		config_complain(r->complaints, v->line,
		    "address \"%s\" is given twice, first in line %u; keep one", SHOW(v->text),
		    before->line);
}

static void
check_addresses(struct reading *r)
{
	struct map *seen = map_new();
	const struct node *web = schema_child(r->root, "web"), *address;

	for (const struct node *n = NULL;
	     (n = config_tree_section(r->root, n, "listen")) != NULL;) {
		address = schema_child(n, "address");
		for (struct value *v = address ? address->first_value : NULL; v; v = v->next)
			check_address(r, v, seen);
	}
	address = web != NULL ? schema_child(web, "address") : NULL;
	if (address != NULL && address->first_value != NULL)
		check_address(r, address->first_value, seen);
	map_free(&seen);
}

void
schema_read_listens(struct reading *r)
{
	size_t count = config_tree_count_sections(r->root, "listen");

	if (count == 0)
		config_complain(r->complaints, 1,
		    "no listen section; add listen \"internet\" { address = {\"0.0.0.0:25\"} flow "
		    "= "
		    "NAME }");
	r->config->listens = schema_keep_array(r, count, sizeof(r->config->listens[0]));
	for (const struct node *n = NULL; (n = config_tree_section(r->root, n, "listen")) != NULL;)
		read_listen(r, n);
	check_addresses(r);
}

/* --- dns ------------------------------------------------------------------------------------ */

static void
read_servers(struct reading *r, const struct node *n, void *to)
{
	struct conf_dns *d = to;

	if (n->n_values == 0)
		config_complain(r->complaints, n->line,
		    "\"servers\" is empty; remove it to use those of /etc/resolv.conf");
	schema_read_endpoints(r, n, &d->servers, &d->n_servers);
}

static void
read_dns_timeout(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_time(
	    r, n, &dns_time, &((struct conf_dns *)to)->timeout_ms); /* or the default */
}

static void
read_banner_wait(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {0, MINUTE_MS, "from 0s to 1m"};

	(void)schema_read_time(
	    r, n, &range, &((struct conf_dns *)to)->banner_wait_ms); /* or the default */
}

static void
read_probe(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {SECOND_MS, HOUR_MS, "from 1s to 1h"};

	(void)schema_read_time(
	    r, n, &range, &((struct conf_dns *)to)->probe_ms); /* or the default */
}

void
schema_read_dns(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {
	    {"servers", RULE_LIST, read_servers},
	    {"timeout", RULE_ONE, read_dns_timeout},
	    {"banner_wait", RULE_ONE, read_banner_wait},
	    {"probe", RULE_ONE, read_probe},
	    {NULL, RULE_ONE, NULL},
	};

	(void)to;
	schema_read(r, n, rules, &r->config->dns);
}

/* --- web ------------------------------------------------------------------------------------ */

static void
read_web_address(struct reading *r, const struct node *n, void *to)
{
	struct conf_web *w = to;

	if (!schema_value_endpoint(r, n, n->first_value, &w->address))
		return;
	if (!ip_is_loopback(&w->address.ip))
		config_complain(r->complaints, n->first_value->line,
		    "web beyond loopback (\"%s\") needs TLS, which is not in this version; write "
		    "\"127.0.0.1:%u\"",
		    w->address.text, w->address.port);
}

void
schema_read_web(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {
	    {"address", RULE_ONE, read_web_address},
	    {"certificate", RULE_NOT_YET, NULL},
	    {"key", RULE_NOT_YET, NULL},
	    {"allow", RULE_NOT_YET, NULL},
	    {"metrics", RULE_NOT_YET, NULL},
	    {NULL, RULE_ONE, NULL},
	};

	(void)to;
	r->config->web.is_on = true;
	schema_read(r, n, rules, &r->config->web);
	if (schema_child(n, "address") == NULL)
		config_complain(
		    r->complaints, n->line, "web has no address; add address = \"127.0.0.1:8025\"");
}

/* --- queue ---------------------------------------------------------------------------------- */

static void
read_retry(struct reading *r, const struct node *n, void *to)
{
	struct conf_queue *q = to;
	int64_t ms;

	if (n->n_values == 0 || n->n_values > CONFIG_RETRY_MAX) {
		config_complain(r->complaints, n->line, "\"retry\" has %zu times; write 1 to %d",
		    n->n_values, CONFIG_RETRY_MAX);
		return;
	}
	q->n_retry = 0;
	for (const struct value *v = n->first_value; v != NULL; v = v->next) {
		if (!schema_value_time(r, n, v, &ms))
			continue;
		if (ms < queue_time.min || ms > queue_time.max)
			config_complain(r->complaints, v->line,
			    "retry = \"%s\" is out of range; it goes %s", SHOW(v->text),
			    queue_time.text);
		q->retry_ms[q->n_retry++] = ms;
	}
}

static void
read_warn_after(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_time(
	    r, n, &queue_time, &((struct conf_queue *)to)->warn_after_ms); /* as above */
}

static void
read_expire_after(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_time(
	    r, n, &queue_time, &((struct conf_queue *)to)->expire_after_ms); /* as above */
}

static void
read_min_free(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_size(
	    r, n, &free_size, &((struct conf_queue *)to)->min_free); /* as above */
}

void
schema_read_queue(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {
	    {"retry", RULE_LIST, read_retry},
	    {"warn_after", RULE_ONE, read_warn_after},
	    {"expire_after", RULE_ONE, read_expire_after},
	    {"min_free", RULE_ONE, read_min_free},
	    {NULL, RULE_ONE, NULL},
	};
	struct conf_queue *q = &r->config->queue;

	(void)to;
	schema_read(r, n, rules, q);
}

/* --- quarantine ----------------------------------------------------------------------------- */

static void
read_keep(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_time(
	    r, n, &keep_time, &((struct conf_quarantine *)to)->keep_ms); /* or the default */
}

static void
read_max(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_size(
	    r, n, &keep_size, &((struct conf_quarantine *)to)->max); /* or the default */
}

void
schema_read_quarantine(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {
	    {"keep", RULE_ONE, read_keep},
	    {"max", RULE_ONE, read_max},
	    {NULL, RULE_ONE, NULL},
	};

	(void)to;
	schema_read(r, n, rules, &r->config->quarantine);
}

/* ldap and callout: sources that are asked whether a recipient exists. */
#include "policy/config/scalar.h"
#include "policy/config/schema.h"

enum { SECOND_MS = 1000, HOUR_MS = 3600 * SECOND_MS };
static const int64_t day_ms = 24 * HOUR_MS;

enum { LDAP_PLAIN_PORT = 389, LDAPS_PORT = 636, FILTER_MAX = 2000, DN_MAX = 1000 };

const struct conf_callout conf_callout_default = {.timeout_ms = 30 * SECOND_MS,
    .keep = {.positive_ms = 7LL * 24 * HOUR_MS,
	.negative_ms = 2LL * HOUR_MS,
	.stale_ms = 7LL * 24 * HOUR_MS,
	.probe_ms = HOUR_MS}};

/* --- how long answers are kept: the same words for both --- */

static void
read_keep(struct reading *r, const struct node *n, int64_t *ms)
{
	static const struct range range = {0, 31536000000, "from 0s to 365d"};

	(void)schema_read_time(r, n, &range, ms); /* or the default */
}

static void
read_probe(struct reading *r, const struct node *n, int64_t *ms)
{
	static const struct range range = {100, 31536000000, "from 100ms to 365d"};

	(void)schema_read_time(r, n, &range, ms); /* or the default */
}

static void
read_patience(struct reading *r, const struct node *n, int64_t *ms)
{
	static const struct range range = {10, 120000, "from 10ms to 2m"};

	(void)schema_read_time(r, n, &range, ms); /* or the default */
}

/* --- ldap -------------------------------------------------------------------------------------- */

static void
read_uri(struct reading *r, const struct node *n, void *to)
{
	struct conf_ldap *l = to;

	l->servers = schema_keep_array(r, n->n_values, sizeof(l->servers[0]));
	for (const struct value *v = n->first_value; v != NULL; v = v->next) {
		struct conf_ldap_server *s = &l->servers[l->n_servers++];
		bool is_ldap = span_starts(v->text, SPAN("ldap://"));
		struct span rest = span_skip(v->text, is_ldap ? 7 : 8), host;
		struct ip ip;

		s->is_ldaps = span_starts(v->text, SPAN("ldaps://"));
		s->text = schema_keep_text(r, v->text);
		s->port = s->is_ldaps ? LDAPS_PORT : LDAP_PLAIN_PORT;
		if (rest.n > 0 && rest.p[rest.n - 1] == '/')
			rest.n--;
		host = rest;
		if (rest.n > 2 && rest.p[0] == '[' && rest.p[rest.n - 1] == ']')
			host = span_take(span_skip(rest, 1), rest.n - 2);
		else if (!scalar_is_host(rest) && !ip_parse(rest, &ip) &&
			 !scalar_host_port(rest, &host, &s->port))
			host = (struct span){0};
		s->host = schema_keep_text(r, host);
		s->is_name = !ip_parse(host, &s->ip);
		if ((!is_ldap && !s->is_ldaps) || (s->is_name && !scalar_is_host(host)))
			config_complain(r->complaints, v->line,
			    "uri = \"%s\" is no address of a directory; write one like "
			    "\"ldap://dc1.example.org\" or \"ldaps://10.0.0.9:636\"",
			    SHOW(v->text));
	}
}

/* One line of text that a server will read; false, complained of: it is not. */
static bool
read_line(struct reading *r, const struct node *n, size_t max, const char *like, const char **to)
{
	struct span text = n->first_value->text;
	bool is_sound = text.n > 0 && text.n <= max;

	for (size_t i = 0; i < text.n && is_sound; i++)
		is_sound = (unsigned char)text.p[i] >= ' ' && text.p[i] != 0x7f;
	if (is_sound)
		*to = schema_keep_text(r, text);
	else
		config_complain(r->complaints, n->first_value->line,
		    "%.*s = \"%s\" is empty, longer than %zu bytes or more than a line; write one "
		    "like %s",
		    SPAN_ARG(n->word), SHOW(text), max, like);
	return is_sound;
}

static void
read_base(struct reading *r, const struct node *n, void *to)
{
	(void)read_line(r, n, DN_MAX, "\"ou=people,dc=example,dc=org\"",
	    &((struct conf_ldap *)to)->base); /* complained of */
}

static void
read_bind(struct reading *r, const struct node *n, void *to)
{
	(void)read_line(r, n, DN_MAX, "\"cn=postern,dc=example,dc=org\"",
	    &((struct conf_ldap *)to)->bind); /* complained of */
}

/* What libldap would refuse at each question (RFC 4515), as far as one look tells. */
static const char *
filter_complaint(struct span filter)
{
	size_t depth = 0;
	bool has_address = false;

	for (size_t i = 0; i < filter.n; i++) {
		if (filter.p[i] == '(')
			depth++;
		else if (filter.p[i] == ')' && depth-- == 0)
			return "closes a bracket that is not open";
		else if (filter.p[i] == '%' && i + 1 < filter.n && filter.p[i + 1] == 's')
			has_address = true;
		else if (filter.p[i] == '%')
			return "has a % without s behind it";
		if (depth == 0 && i + 1 < filter.n)
			return "is not in one pair of brackets";
	}
	if (depth > 0)
		return "has a bracket that is not closed";
	return has_address ? NULL : "has no %s for the address";
}

static void
read_filter(struct reading *r, const struct node *n, void *to)
{
	struct conf_ldap *l = to;
	const char *wrong;

	if (!read_line(r, n, FILTER_MAX, "\"(mail=%s)\"", &l->filter))
		return;
	wrong = filter_complaint(span_str(l->filter));
	if (wrong != NULL)
		config_complain(r->complaints, n->first_value->line,
		    "filter = \"%s\" %s; write one like \"(mail=%%s)\" or "
		    "\"(|(mail=%%s)(proxyAddresses=smtp:%%s))\"",
		    SHOW(n->first_value->text), wrong);
}

static void
read_scope(struct reading *r, const struct node *n, void *to)
{
	static const struct choice choices[] = {{"sub", DIRECTORY_SUB, true},
	    {"one", DIRECTORY_ONE, true}, {"base", DIRECTORY_BASE, true}, {NULL, 0, false}};
	int value;

	if (schema_choice(r, n, n->first_value, choices, &value))
		((struct conf_ldap *)to)->scope = (enum directory_scope)value;
}

static void
read_password(struct reading *r, const struct node *n, void *to)
{
	struct span text = n->first_value->text, path = span_skip(text, 5);

	struct conf_ldap *ldap = to;

	if (span_starts(text, SPAN("file:")) && scalar_is_path(path)) {
		ldap->password_file = schema_keep_text(r, path);
		schema_note_place(r, ldap->password_file, n->first_value->line, true);
	} else {
		config_complain(r->complaints, n->first_value->line,
		    "password is no \"file:PATH\"; write the password into a file and its path "
		    "here, like \"file:/etc/postern/ldap.password\"");
	}
}

static void
read_starttls(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_bool(r, n, &((struct conf_ldap *)to)->starttls); /* or the default */
}

static void
read_ca(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_path(r, n, &((struct conf_ldap *)to)->ca); /* or the system's */
}

static void
read_ldap_timeout(struct reading *r, const struct node *n, void *to)
{
	read_patience(r, n, &((struct conf_ldap *)to)->timeout_ms);
}

static void
read_ldap_positive(struct reading *r, const struct node *n, void *to)
{
	read_keep(r, n, &((struct conf_ldap *)to)->keep.positive_ms);
}

static void
read_ldap_negative(struct reading *r, const struct node *n, void *to)
{
	read_keep(r, n, &((struct conf_ldap *)to)->keep.negative_ms);
}

static void
read_ldap_stale(struct reading *r, const struct node *n, void *to)
{
	read_keep(r, n, &((struct conf_ldap *)to)->keep.stale_ms);
}

static void
read_ldap_probe(struct reading *r, const struct node *n, void *to)
{
	read_probe(r, n, &((struct conf_ldap *)to)->keep.probe_ms);
}

static const struct rule ldap_rules[] = {
    {"uri", RULE_LIST, read_uri},
    {"base", RULE_ONE, read_base},
    {"filter", RULE_ONE, read_filter},
    {"scope", RULE_ONE, read_scope},
    {"bind", RULE_ONE, read_bind},
    {"password", RULE_ONE, read_password},
    {"starttls", RULE_ONE, read_starttls},
    {"ca", RULE_ONE, read_ca},
    {"timeout", RULE_ONE, read_ldap_timeout},
    {"positive", RULE_ONE, read_ldap_positive},
    {"negative", RULE_ONE, read_ldap_negative},
    {"stale", RULE_ONE, read_ldap_stale},
    {"probe", RULE_ONE, read_ldap_probe},
    {NULL, RULE_ONE, NULL},
};

static void
check_tls(struct reading *r, const struct node *n, const struct conf_ldap *l)
{
	const struct node *ca = schema_child(n, "ca");
	bool is_tls = l->starttls;

	for (size_t i = 0; i < l->n_servers; i++) {
		is_tls = is_tls || l->servers[i].is_ldaps;
		if (l->starttls && l->servers[i].is_ldaps)
			config_complain(r->complaints, n->line,
			    "%s has starttls and %s, which is TLS already; write ldap:// or remove "
			    "starttls",
			    schema_place(n).text, l->servers[i].text);
	}
	if (ca != NULL && !is_tls)
		config_complain(r->complaints, ca->line,
		    "%s has ca but no TLS; write ldaps:// or starttls = true, or remove ca",
		    schema_place(n).text);
}

/* What only the whole section tells. */
static void
finish_ldap(struct reading *r, const struct node *n, struct conf_ldap *l)
{
	static const char *const needed[][2] = {{"uri", "uri = \"ldaps://dc1.example.org\""},
	    {"base", "base = \"dc=example,dc=org\""}, {"filter", "filter = \"(mail=%s)\""}};

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (schema_child(n, needed[i][0]) == NULL)
			config_complain(r->complaints, n->line, "%s has no %s; add %s",
			    schema_place(n).text, needed[i][0], needed[i][1]);
	if ((schema_child(n, "bind") == NULL) != (schema_child(n, "password") == NULL))
		config_complain(r->complaints, n->line,
		    "%s has only one of bind and password; write both, or none to ask without "
		    "signing in",
		    schema_place(n).text);
	check_tls(r, n, l);
}

void
schema_read_ldaps(struct reading *r)
{
	struct config *c = r->config;

	c->ldaps =
	    schema_keep_array(r, config_tree_count_sections(r->root, "ldap"), sizeof(c->ldaps[0]));
	for (const struct node *n = NULL; (n = config_tree_section(r->root, n, "ldap")) != NULL;) {
		struct conf_ldap *l = &c->ldaps[c->n_ldaps++];

		*l = (struct conf_ldap){.name = schema_keep_text(r, n->title),
		    .base = "",
		    .filter = "",
		    .timeout_ms = 5 * SECOND_MS,
		    .keep = {.positive_ms = HOUR_MS,
			.negative_ms = 5 * 60 * SECOND_MS,
			.stale_ms = 7 * day_ms,
			.probe_ms = HOUR_MS}};
		schema_read(r, n, ldap_rules, l);
		finish_ldap(r, n, l);
	}
}

/* --- callout ------------------------------------------------------------------------------------ */

static void
read_callout_timeout(struct reading *r, const struct node *n, void *to)
{
	(void)to;
	read_patience(r, n, &r->config->callout.timeout_ms);
}

static void
read_callout_positive(struct reading *r, const struct node *n, void *to)
{
	(void)to;
	read_keep(r, n, &r->config->callout.keep.positive_ms);
}

static void
read_callout_negative(struct reading *r, const struct node *n, void *to)
{
	(void)to;
	read_keep(r, n, &r->config->callout.keep.negative_ms);
}

static void
read_callout_stale(struct reading *r, const struct node *n, void *to)
{
	(void)to;
	read_keep(r, n, &r->config->callout.keep.stale_ms);
}

static void
read_callout_probe(struct reading *r, const struct node *n, void *to)
{
	(void)to;
	read_probe(r, n, &r->config->callout.keep.probe_ms);
}

void
schema_read_callout(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {
	    {"timeout", RULE_ONE, read_callout_timeout},
	    {"positive", RULE_ONE, read_callout_positive},
	    {"negative", RULE_ONE, read_callout_negative},
	    {"stale", RULE_ONE, read_callout_stale},
	    {"probe", RULE_ONE, read_callout_probe},
	    {NULL, RULE_ONE, NULL},
	};

	schema_read(r, n, rules, to);
}

/* tls, and the words of listen that need it: certificates, and who may sign in. */
#include "policy/config/scalar.h"
#include "policy/config/schema.h"

/* --- tls ------------------------------------------------------------------------------------ */

static void
read_paths(struct reading *r, const struct node *n, const char **to, size_t *n_to)
{
	if (n->n_values == 0 || n->n_values > CONFIG_CERTIFICATES_MAX) {
		config_complain(r->complaints, n->line, "\"%s\" has %zu files; write 1 to %d",
		    SHOW(n->word), n->n_values, CONFIG_CERTIFICATES_MAX);
		return;
	}
	for (const struct value *v = n->first_value; v != NULL; v = v->next)
		if (schema_value_path(r, n, v, &to[*n_to]))
			(*n_to)++;
}

static void
read_certificates(struct reading *r, const struct node *n, void *to)
{
	struct conf_tls *t = to;

	read_paths(r, n, t->certificates, &t->n_certificates);
}

static void
read_keys(struct reading *r, const struct node *n, void *to)
{
	struct conf_tls *t = to;

	read_paths(r, n, t->keys, &t->n_keys);
}

static void
read_minimum(struct reading *r, const struct node *n, void *to)
{
	struct conf_tls *t = to;
	struct span version;

	if (!schema_read_text(r, n, &version))
		return;
	t->is_13_only = span_eq(version, SPAN("1.3"));
	if (!t->is_13_only && !span_eq(version, SPAN("1.2")))
		config_complain(r->complaints, n->first_value->line,
		    "minimum = \"%s\" is no TLS version; write \"1.2\" or \"1.3\"", SHOW(version));
}

void
schema_read_tls(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {
	    {"certificate", RULE_LIST, read_certificates},
	    {"key", RULE_LIST, read_keys},
	    {"minimum", RULE_ONE, read_minimum},
	    {NULL, RULE_ONE, NULL},
	};
	const struct node *certificate = schema_child(n, "certificate"),
			  *key = schema_child(n, "key");

	(void)to;
	schema_read(r, n, rules, &r->config->tls);
	if (certificate == NULL)
		config_complain(r->complaints, n->line,
		    "tls has no certificate; add certificate = \"/etc/postern/cert.pem\"");
	if (key == NULL)
		config_complain(
		    r->complaints, n->line, "tls has no key; add key = \"/etc/postern/key.pem\"");
	if (certificate != NULL && key != NULL && certificate->n_values != key->n_values)
		config_complain(r->complaints, key->line,
		    "%zu certificates and %zu keys; name one key for each certificate, in the same "
		    "order",
		    certificate->n_values, key->n_values);
}

/* --- listen --------------------------------------------------------------------------------- */

void
schema_read_listen_tls(struct reading *r, const struct node *n, void *to)
{
	static const struct choice choices[] = {{"off", LISTEN_PLAIN, true},
	    {"starttls", LISTEN_STARTTLS, true}, {"implicit", LISTEN_IMPLICIT, true},
	    {NULL, 0, false}};
	struct conf_listen *l = to;
	int value;

	if (schema_choice(r, n, n->first_value, choices, &value))
		l->tls = (enum listen_tls)value;
}

void
schema_read_listen_auth(struct reading *r, const struct node *n, void *to)
{
	static const struct choice choices[] = {{"plain", AUTH_PLAIN, true},
	    {"login", AUTH_LOGIN, true}, {"scram-sha-256", AUTH_SCRAM_SHA256, true},
	    {NULL, 0, false}};
	struct conf_listen *l = to;
	int value;

	if (n->n_values == 0)
		config_complain(r->complaints, n->line,
		    "\"auth\" is empty; write auth = {\"scram-sha-256\"}, or remove it");
	for (const struct value *v = n->first_value; v != NULL; v = v->next)
		if (schema_choice(r, n, v, choices, &value))
			l->auth |= (unsigned)value;
}

void
schema_read_listen_users(struct reading *r, const struct node *n, void *to)
{
	struct conf_listen *l = to;
	struct span source = n->first_value->text, path = span_skip(source, 5);

	if (!span_starts(source, SPAN("file:")) || !scalar_is_path(path)) {
		config_complain(r->complaints, n->first_value->line,
		    "users = \"%s\" is no source of users; write \"file:/etc/postern/users\"",
		    SHOW(source));
		return;
	}
	l->users = schema_keep_text(r, path);
	schema_note_place(r, l->users, n->first_value->line, true);
}

void
schema_check_listen_tls(struct reading *r, const struct node *n, struct conf_listen *l)
{
	const struct node *tls = schema_child(n, "tls"), *auth = schema_child(n, "auth"),
			  *users = schema_child(n, "users");

	if (l->tls != LISTEN_PLAIN && schema_child(r->root, "tls") == NULL)
		config_complain(r->complaints, tls->line,
		    "%s needs a certificate; add tls { certificate = FILE key = FILE }",
		    schema_place(n).text);
	if (auth != NULL && users == NULL)
		config_complain(r->complaints, auth->line,
		    "%s has auth but no users; add users = \"file:/etc/postern/users\"",
		    schema_place(n).text);
	if (users != NULL && auth == NULL)
		config_complain(r->complaints, users->line,
		    "%s has users but no auth; add auth = {\"scram-sha-256\"}",
		    schema_place(n).text);
	if ((l->auth & (AUTH_PLAIN | AUTH_LOGIN)) && l->tls == LISTEN_PLAIN)
		config_complain(r->complaints, auth->line,
		    "%s would take passwords in the clear; add tls = \"starttls\" or leave "
		    "\"plain\" and \"login\" out",
		    schema_place(n).text);
}

/* domain: which mail is ours, and who knows its recipients. */
#include "policy/config/scalar.h"
#include "policy/config/schema.h"
#include "relay/base/map.h"

#include <stdlib.h>

static void
read_domain_gateway(struct reading *r, const struct node *n, void *to)
{
	struct conf_domain *d = to;
	struct span name = n->first_value->text;

	d->gateway = config_gateway(r->config, name);
	if (d->gateway == NULL)
		schema_complain_missing(r, n->first_value->line, "gateway", name);
}

static void
read_recipients_file(struct reading *r, const struct value *v, struct conf_domain *d)
{
	struct span path = span_skip(v->text, 5);

	d->recipients = RECIPIENTS_FILE;
	d->recipients_file = schema_keep_text(r, path);
	schema_note_place(r, d->recipients_file, v->line, scalar_is_path(path));
	if (!scalar_is_path(path))
		config_complain(r->complaints, v->line,
		    "recipients = \"%s\" is not an absolute path; write one like "
		    "\"file:/etc/postern/recipients\"",
		    SHOW(v->text));
}

static void
read_recipients_ldap(struct reading *r, const struct value *v, struct conf_domain *d)
{
	struct span name = span_skip(v->text, 5);

	d->recipients = RECIPIENTS_LDAP;
	d->ldap = config_ldap(r->config, name);
	if (d->ldap == NULL)
		schema_complain_missing(r, v->line, "ldap", name);
}

static void
read_recipients(struct reading *r, const struct node *n, void *to)
{
	struct conf_domain *d = to;
	const struct value *v = n->first_value;

	if (span_eq(v->text, SPAN("any")))
		d->recipients = RECIPIENTS_ANY;
	else if (span_starts(v->text, SPAN("file:")))
		read_recipients_file(r, v, d);
	else if (span_starts(v->text, SPAN("ldap:")))
		read_recipients_ldap(r, v, d);
	else if (span_eq(v->text, SPAN("callout")))
		d->recipients = RECIPIENTS_CALLOUT;
	else
		config_complain(r->complaints, v->line,
		    "recipients = \"%s\" is no source of recipients; write \"any\", "
		    "\"file:PATH\", \"ldap:NAME\" or \"callout\"",
		    SHOW(v->text));
}

static void
read_unknown(struct reading *r, const struct node *n, void *to)
{
	static const struct choice choices[] = {
	    {"tempfail", false, true}, {"accept", true, true}, {NULL, 0, false}};
	int value;

	if (schema_choice(r, n, n->first_value, choices, &value))
		((struct conf_domain *)to)->takes_unknown = value;
}

static void
read_canary(struct reading *r, const struct node *n, void *to)
{
	struct conf_domain *d = to;
	struct span address = n->first_value->text;

	d->canary = schema_keep_text(r, address);
	if (!scalar_is_address(address))
		config_complain(r->complaints, n->first_value->line,
		    "canary = \"%s\" is no address; write one of this domain that always exists, "
		    "like \"postmaster@%s\"",
		    SHOW(address), d->name);
}

static const struct rule domain_rules[] = {
    {"gateway", RULE_ONE, read_domain_gateway},
    {"recipients", RULE_ONE, read_recipients},
    {"unknown", RULE_ONE, read_unknown},
    {"canary", RULE_ONE, read_canary},
    {"filter", RULE_TITLED, NULL}, /* schema_read_domain_overrides */
    {"dkim_sign", RULE_NOT_YET, NULL},
    {"disclaimer", RULE_NOT_YET, NULL},
    {NULL, RULE_ONE, NULL},
};

static const char *
lower_copy(struct reading *r, struct span s)
{
	char *copy = arena_alloc(&r->config->memory, s.n + 1);

	for (size_t i = 0; i < s.n; i++)
		copy[i] = char_lower(s.p[i]);
	return copy;
}

/* The domain's name in lower case; a name that is none is complained of. */
static void
read_domain_name(struct reading *r, const struct node *n, struct conf_domain *d)
{
	struct span name;

	d->has_subdomains = n->title.n > 0 && n->title.p[0] == '.';
	name = span_skip(n->title, d->has_subdomains ? 1 : 0);
	d->name = lower_copy(r, name);
	if (!scalar_is_host(name))
		config_complain(r->complaints, n->line,
		    "domain \"%s\" is no domain name; write one like \"example.org\", or "
		    "\".example.org\" for all below it too (international ones as xn--...)",
		    SHOW(n->title));
}

/* Titles that differ by case only: the tree, which compares bytes, has let them pass. */
static void
check_domain_is_new(struct reading *r, struct node *n, struct map *seen)
{
	const char *lower = lower_copy(r, n->title);
	const struct node *before = map_get(seen, span_str(lower));

	if (before == NULL)
		(void)map_set(seen, span_str(lower), n); /* was not there */
	else
		config_complain(r->complaints, n->line,
		    "domain \"%s\" is given twice, first in line %u; keep one", SHOW(n->title),
		    before->line);
}

/* Words that only a source makes sense of which can be away or wrong. */
static void
check_source_words(struct reading *r, const struct node *n, const struct conf_domain *d)
{
	static const char *const words[] = {"unknown", "canary"};

	for (size_t i = 0; i < 2 && !config_asks_recipients(d); i++) {
		const struct node *word = schema_child(n, words[i]);

		if (word != NULL)
			config_complain(r->complaints, word->line,
			    "%s has %s, which is for recipients = \"ldap:NAME\" and \"callout\"; "
			    "write one of them, or remove it",
			    schema_place(n).text, words[i]);
	}
}

/* A canary elsewhere would be asked of a source that cannot know it. */
static void
check_canary(struct reading *r, const struct node *n, const struct conf_domain *d)
{
	struct span canary = span_str(d->canary), domain;

	if (d->canary == NULL || !scalar_is_address(canary))
		return;
	domain = span_skip(canary, span_rfind(canary, '@') + 1);
	if (span_eq_nocase(domain, span_str(d->name)) ||
	    (d->has_subdomains && domain.n > strlen(d->name) + 1 &&
		span_eq_nocase(span_skip(domain, domain.n - strlen(d->name)), span_str(d->name)) &&
		domain.p[domain.n - strlen(d->name) - 1] == '.'))
		return;
	config_complain(r->complaints, schema_child(n, "canary")->line,
	    "canary = \"%s\" is not of this domain; write an address at %s that always exists",
	    d->canary, d->name);
}

static void
read_domain(struct reading *r, const struct node *n)
{
	struct conf_domain *d = &r->config->domains[r->config->n_domains++];

	read_domain_name(r, n, d);
	schema_read(r, n, domain_rules, d);
	check_source_words(r, n, d);
	check_canary(r, n, d);
	if (schema_child(n, "gateway") == NULL)
		config_complain(r->complaints, n->line, "%s has no gateway; add gateway = NAME",
		    schema_place(n).text);
}

static int
by_name(const void *a, const void *b)
{
	const struct conf_domain *x = a, *y = b;
	int order = span_cmp(span_str(x->name), span_str(y->name));

	return order != 0 ? order : (int)x->has_subdomains - (int)y->has_subdomains;
}

void
schema_read_domains(struct reading *r)
{
	struct config *c = r->config;
	struct map *seen = map_new();

	c->domains = schema_keep_array(
	    r, config_tree_count_sections(r->root, "domain"), sizeof(c->domains[0]));
	for (struct node *n = r->root->first; n != NULL; n = n->next)
		if (n->kind == NODE_SECTION && n->has_title && span_eq(n->word, SPAN("domain"))) {
			check_domain_is_new(r, n, seen);
			read_domain(r, n);
		}
	map_free(&seen);
	if (c->n_domains > 1)
		qsort(c->domains, c->n_domains, sizeof(c->domains[0]), by_name);
}

#include "policy/config/lexer.h"
#include "policy/config/scalar.h"
#include "policy/config/schema.h"

/* A socket's path has 108 bytes (unix(7)); file names of ours go behind run_dir. */

static void
read_hostname(struct reading *r, const struct node *n, void *to)
{
	struct span name;

	(void)to;
	if (!schema_read_text(r, n, &name))
		return;
	if (!scalar_is_host(name))
		config_complain(r->complaints, n->first_value->line,
		    "hostname = \"%s\" is no host name; write one like \"mx1.example.org\"",
		    SHOW(name));
	r->config->hostname = schema_keep_text(r, name);
}

static void
read_postmaster(struct reading *r, const struct node *n, void *to)
{
	struct span address;

	(void)to;
	if (!schema_read_text(r, n, &address))
		return;
	if (!scalar_is_address(address))
		config_complain(r->complaints, n->first_value->line,
		    "postmaster = \"%s\" is no mail address; write one like "
		    "\"postmaster@example.org\"",
		    SHOW(address));
	r->config->postmaster = schema_keep_text(r, address);
}

static void
read_state_dir(struct reading *r, const struct node *n, void *to)
{
	(void)to;
	if (schema_read_path(r, n, &r->config->state_dir)) /* or the default */
		r->config->places->is_read = false;
}

static void
read_run_dir(struct reading *r, const struct node *n, void *to)
{
	(void)to;
	if (schema_read_path(r, n, &r->config->run_dir)) /* or the default */
		r->config->places->is_read = false;
}

static void
read_plugins(struct reading *r, const struct node *n, void *to)
{
	(void)to;
	(void)schema_read_path(r, n, &r->config->plugins); /* or none */
}

static void
read_fronts(struct reading *r, const struct node *n, void *to)
{
	static const struct range range = {1, CONFIG_FRONTS_MAX, "from 1 to 8"};

	_Static_assert(CONFIG_FRONTS_MAX == 8, "the range's text");
	(void)to;
	(void)schema_read_number(r, n, &range, &r->config->fronts); /* or the default */
}

static void
read_journal(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {
	    {"keep", RULE_NOT_YET, NULL},
	    {"max", RULE_NOT_YET, NULL},
	    {"privacy", RULE_NOT_YET, NULL},
	    {NULL, RULE_ONE, NULL},
	};

	schema_read(r, n, rules, to);
}

static void
read_geo_country(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_path(r, n, &((struct conf_geoip *)to)->country); /* or none */
}

static void
read_geo_asn(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_path(r, n, &((struct conf_geoip *)to)->asn); /* or none */
}

static void
read_geoip(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {
	    {"country", RULE_ONE, read_geo_country},
	    {"asn", RULE_ONE, read_geo_asn},
	    {NULL, RULE_ONE, NULL},
	};

	(void)to;
	schema_read(r, n, rules, &r->config->geoip);
}

/* Sections without a reader here refer to each other and are read in the order of read_all. */
static const struct rule top_rules[] = {
    {"hostname", RULE_ONE, read_hostname},
    {"postmaster", RULE_ONE, read_postmaster},
    {"state_dir", RULE_ONE, read_state_dir},
    {"run_dir", RULE_ONE, read_run_dir},
    {"plugins", RULE_ONE, read_plugins},
    {"fronts", RULE_ONE, read_fronts},
    {"listen", RULE_TITLED, NULL},
    {"dns", RULE_SECTION, schema_read_dns},
    {"geoip", RULE_SECTION, read_geoip},
    {"flow", RULE_TITLED, NULL},
    {"domain", RULE_TITLED, NULL},
    {"gateway", RULE_TITLED, NULL},
    {"filter", RULE_TITLED, NULL},
    {"queue", RULE_SECTION, schema_read_queue},
    {"quarantine", RULE_SECTION, schema_read_quarantine},
    {"web", RULE_SECTION, schema_read_web},
    {"journal", RULE_SECTION, read_journal},
    {"tls", RULE_SECTION, schema_read_tls},
    {"trust", RULE_NOT_YET, NULL},
    {"fleet", RULE_NOT_YET, NULL},
    {"replay", RULE_NOT_YET, NULL},
    {"dkim_sign", RULE_NOT_YET, NULL},
    {"disclaimer", RULE_NOT_YET, NULL},
    {"ldap", RULE_TITLED, NULL},
    {"callout", RULE_SECTION, schema_read_callout},
    {NULL, RULE_ONE, NULL},
};

static void
default_postmaster(struct reading *r)
{
	struct config *c = r->config;
	struct buf address = BUF_INIT(HOST_NAME_MAX_BYTES + 16);

	if (c->postmaster != NULL || c->hostname == NULL)
		return;
	(void)buf_addf(&address, "postmaster@%s", c->hostname); /* a bad name is an error already */
	c->postmaster = schema_keep_text(r, buf_span(&address));
	buf_free(&address);
}

static void
read_all(struct reading *r)
{
	config_defaults(r->config);
	schema_read(r, r->root, top_rules, NULL);
	if (schema_child(r->root, "hostname") == NULL)
		config_complain(
		    r->complaints, 1, "no hostname; add hostname = \"mx1.example.org\"");
	default_postmaster(r);
	schema_read_gateways(r);
	schema_read_filters(r);
	schema_read_ldaps(r);
	schema_read_domains(r);
	schema_read_flows(r);
	schema_read_domain_overrides(r);
	schema_read_listens(r);
}

/* Leaves r->root NULL when there is too much. */
static void
read_root(struct reading *r, struct span text, struct arena *scratch)
{
	if (text.n > CONFIG_TEXT_MAX) {
		config_complain(r->complaints, 1, "the text has %zu bytes; at most %d are read",
		    text.n, CONFIG_TEXT_MAX);
		return;
	}
	text = span_skip_bom(text);
	config_lexer_check_bytes(text, r->complaints);
	r->root = config_tree_parse(text, scratch, r->complaints);
}

static void
read_config(struct reading *r, struct span text)
{
	struct arena scratch;

	arena_init(&scratch, CONFIG_MEMORY_MAX);
	read_root(r, text, &scratch);
	if (r->root != NULL)
		read_all(r);
	arena_free(&scratch);
}

static bool
is_printable(const char *path)
{
	while (*path != '\0' && (unsigned char)*path >= ' ' && *path != 127)
		path++;
	return *path == '\0';
}

/* What would be told of the machine if the text were right, so that it is not found out one by one. */
static void
complain_of_files(struct reading *r, const char *(*unreadable)(const char *path))
{
	for (const struct conf_place *p = r->config->places; p != NULL; p = p->next) {
		const char *why = p->is_read && is_printable(p->text) ? unreadable(p->text) : NULL;

		if (why != NULL)
			config_complain(r->complaints, p->line,
			    "%s cannot be read (%s); make it readable", p->text, why);
	}
}

struct config *
config_parse(struct span text, const char *file, const struct pnf_about *const *plugins,
    struct config_errors *errors)
{
	struct complaints complaints = {0};
	struct reading r = {.complaints = &complaints,
	    .plugins = plugins,
	    .top = top_rules,
	    .unread = errors->unread};
	struct config *c = mem_alloc(sizeof(*c));

	arena_init(&c->memory, CONFIG_MEMORY_MAX);
	r.config = c;
	c->file = schema_keep_text(&r, span_str(file));
	read_config(&r, text);
	if (complaints.n > 0 && errors->unreadable != NULL)
		complain_of_files(&r, errors->unreadable);
	if (complaints.n > 0)
		config_complaints_write(&complaints, file, errors);
	if (complaints.n > 0 || r.lacks_plugin)
		config_free(&c);
	config_complaints_free(&complaints);
	return c;
}

/* The first one, wherever it stands: a brace that is not closed takes what follows into its section. */
static const struct node *
find_word(const struct node *section, const char *word)
{
	const struct node *found = schema_child(section, word);

	for (const struct node *n = section->first; found == NULL && n != NULL; n = n->next)
		if (n->kind == NODE_SECTION)
			found = find_word(n, word);
	return found;
}

static bool
has_text(struct span text, struct span word)
{
	return word.n <= text.n && memmem(text.p, text.n, word.p, word.n) != NULL;
}

/* Reads one word that says where something is.  Whether it is known now what is meant. */
static bool
read_place(struct reading *r, struct span text, const struct rule *rule)
{
	size_t n_errors = r->complaints->n;
	const struct node *n =
	    n_errors > 0 ? find_word(r->root, rule->word) : schema_child(r->root, rule->word);

	if (n == NULL)
		return n_errors == 0 || !has_text(text, span_str(rule->word));
	if (schema_fits(r, n, rule->kind))
		rule->read(r, n, NULL);
	return r->complaints->n == n_errors;
}

struct config *
config_parse_places(struct span text, const char *file, struct config_errors *errors)
{
	static const struct rule places[] = {
	    {"run_dir", RULE_ONE, read_run_dir}, {"state_dir", RULE_ONE, read_state_dir}};
	static const struct rule quarantine = {"quarantine", RULE_SECTION, schema_read_quarantine};
	struct complaints complaints = {0};
	struct reading r = {.complaints = &complaints, .top = top_rules};
	struct config *c = mem_alloc(sizeof(*c));
	struct arena scratch;
	bool is_known = true;

	arena_init(&c->memory, CONFIG_MEMORY_MAX);
	arena_init(&scratch, CONFIG_MEMORY_MAX);
	r.config = c;
	c->file = schema_keep_text(&r, span_str(file));
	config_defaults(c);
	read_root(&r, text, &scratch);
	for (size_t i = 0; r.root != NULL && i < sizeof(places) / sizeof(places[0]); i++)
		is_known &= read_place(&r, text, &places[i]);
	if (r.root != NULL)
		(void)read_place(&r, text, &quarantine); /* or the default */
	config_complaints_write(&complaints, file, errors);
	config_complaints_free(&complaints);
	arena_free(&scratch);
	if (r.root == NULL || !is_known)
		config_free(&c);
	return c;
}

bool
config_plugins_folder(struct span text, char *folder, size_t size, unsigned *line)
{
	struct complaints unheard = {0};
	const struct node *n;
	struct arena scratch;
	bool is_there = false;

	if (text.n > CONFIG_TEXT_MAX)
		return false;
	arena_init(&scratch, CONFIG_MEMORY_MAX);
	for (n = config_tree_parse(span_skip_bom(text), &scratch, &unheard)->first; n != NULL;
	     n = n->next)
		if (n->kind != NODE_SECTION && n->n_values == 1 &&
		    span_eq(n->word, SPAN("plugins")) && scalar_is_path(n->first_value->text)) {
			is_there = span_copy(n->first_value->text, folder, size);
			*line = n->line;
			break;
		}
	config_complaints_free(&unheard);
	arena_free(&scratch);
	return is_there;
}

void
config_free(struct config **c)
{
	if (*c == NULL)
		return;
	arena_free(&(*c)->memory);
	mem_free(*c);
	*c = NULL;
}

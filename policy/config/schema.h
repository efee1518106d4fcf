/*
 * schema.h - from the tree to struct config: tables of the words a section may hold, and readers
 * of single values.  Each group of sections has a file of its own, schema_*.c.
 *
 * Readers complain by themselves; what could not be read keeps its default, so that one mistake
 * gives one error.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H
#include "policy/config/tree.h"

enum { KNOWN_MAX = 256, CONFIG_MEMORY_MAX = 1 << 30 };

struct rule;

struct reading {
	struct config *config;
	struct complaints *complaints;
	const struct pnf_about *const *plugins; /* ends with NULL */
	const struct node *root;
	const struct rule *top;    /* the words of the top level */
	const char *const *unread; /* as in struct config_errors */
	bool lacks_plugin;         /* one of them is named */
};

enum rule_kind {
	RULE_ONE,     /* word = value */
	RULE_LIST,    /* word = {a, b}; a single value is a list of one */
	RULE_SECTION, /* word { } */
	RULE_TITLED,  /* word "title" { } */
	RULE_NOT_YET  /* of the contract, not acted on in this version */
};

typedef void schema_reader(struct reading *r, const struct node *n, void *to);

struct rule {
	const char *word; /* NULL ends a table */
	enum rule_kind kind;
	schema_reader *read; /* NULL: somebody else reads it */
};

/* Reads every child of `section` by its rule into `to`; complains of words without a rule. */
void schema_read(struct reading *r, const struct node *section, const struct rule *rules, void *to);
/* False, with a complaint: the node's form is not what the kind says. */
bool schema_fits(struct reading *r, const struct node *n, enum rule_kind kind);
/* The child of this word, NULL: not given. */
const struct node *schema_child(const struct node *section, const char *word);
/* `flow "inbound"`, `dns`; longer text is cut. */
struct shown schema_place(const struct node *section);
/* ` in flow "inbound"`, nothing for the root. */
struct shown schema_inside(const struct node *section);

/* Words to choose the nearest from. */
struct known {
	const char *words[KNOWN_MAX];
	bool is_here[KNOWN_MAX]; /* false: known, but not in this version */
	size_t n;
};

void schema_known_add(
    struct known *k, const char *word, bool is_here); /* past KNOWN_MAX: left out */
void schema_known_add_rules(struct known *k, const struct rule *rules);
/* `unknown WHAT "word"WHERE; did you mean "nearest"?` */
void schema_known_complain(struct reading *r, unsigned line, const char *what, const char *where,
    struct span word, const struct known *k);
/* `gateway "x" does not exist; there are "a", "b"`: names of the root's sections of that word. */
void schema_complain_missing(struct reading *r, unsigned line, const char *word, struct span name);

struct choice {
	const char *word; /* NULL ends a table */
	int value;
	bool is_here;
};

/* One value out of a table; false, with a complaint, when it is none. */
bool schema_choice(struct reading *r, const struct node *n, const struct value *v,
    const struct choice *choices, int *out);

struct range {
	int64_t min, max;
	const char *text; /* "from 1s to 1h" */
};

/* The one value of a word; false: there is none (complained of) or, for the others, it is not of
 * that type or out of range, complained of and *out untouched. */
bool schema_read_text(struct reading *r, const struct node *n, struct span *out);
bool schema_read_bool(struct reading *r, const struct node *n, bool *out);
bool schema_read_number(
    struct reading *r, const struct node *n, const struct range *range, uint32_t *out);
bool schema_read_size(
    struct reading *r, const struct node *n, const struct range *range, uint64_t *out);
bool schema_read_time(
    struct reading *r, const struct node *n, const struct range *range, int64_t *ms);
bool schema_read_path(struct reading *r, const struct node *n, const char **out);
bool schema_value_path(
    struct reading *r, const struct node *n, const struct value *v, const char **out);
void schema_read_nets(struct reading *r, const struct node *n, struct nets *out);
void schema_read_endpoints(
    struct reading *r, const struct node *n, struct endpoint **out, size_t *n_out);
/* The same for a value that stands in a list, and for defaults of plugins. */
bool schema_value_time(struct reading *r, const struct node *n, const struct value *v, int64_t *ms);
bool schema_value_endpoint(
    struct reading *r, const struct node *n, const struct value *v, struct endpoint *out);
/* A NUL-terminated copy in the configuration's memory. */
const char *schema_keep_text(struct reading *r, struct span s);
/* Remembers for config_line_of where a path, as kept in the configuration, stands; `is_read`: of what
 * must be there. */
void schema_note_place(struct reading *r, const char *path, unsigned line, bool is_read);
void *schema_keep_array(struct reading *r, size_t count, size_t size); /* zeroed */

/* schema_edge.c: where mail comes in.  listen needs the flows. */
void schema_read_listens(struct reading *r);
void schema_read_limits(struct reading *r, const struct node *n, void *to); /* schema_limits.c */
void schema_read_dns(struct reading *r, const struct node *n, void *to);
void schema_read_web(struct reading *r, const struct node *n, void *to);
void schema_read_queue(struct reading *r, const struct node *n, void *to);
void schema_read_quarantine(struct reading *r, const struct node *n, void *to);
void config_defaults(struct config *c);
/* schema_tls.c: certificates, and who may sign in. */
void schema_read_tls(struct reading *r, const struct node *n, void *to);
void schema_read_listen_tls(struct reading *r, const struct node *n, void *to);
void schema_read_listen_auth(struct reading *r, const struct node *n, void *to);
void schema_read_listen_users(struct reading *r, const struct node *n, void *to);
/* What the words of one listener must have in common with each other and with `tls`. */
void schema_check_listen_tls(struct reading *r, const struct node *n, struct conf_listen *l);
/* schema_gateway.c: where mail goes. */
void schema_read_gateways(struct reading *r);
/* schema_domain.c: needs gateways and directories. */
void schema_read_domains(struct reading *r);
/* schema_recipients.c: who knows the recipients of a domain. */
void schema_read_ldaps(struct reading *r);
void schema_read_callout(struct reading *r, const struct node *n, void *to);
extern const struct conf_callout conf_callout_default;
/* schema_filter.c */
void schema_read_filters(struct reading *r);
/* The filter of this name, by section or as a plugin with its defaults; NULL, complained of. */
const struct conf_filter *schema_filter_find(
    struct reading *r, const struct node *n, const struct value *v);
/* The domains' `filter` sections; needs the flows. */
void schema_read_domain_overrides(struct reading *r);
/* Reads outcome = action words of a flow's override over `actions`. */
void schema_read_override(struct reading *r, const struct node *n, struct conf_flow_filter *filter);
/* schema_connect.c: the words of a flow about who connects, each into a struct conf_flow. */
void schema_connect_defaults(struct conf_flow *f);
void schema_read_connect(struct reading *r, const struct node *n, void *to);
void schema_read_greet(struct reading *r, const struct node *n, void *to);
void schema_read_rate(struct reading *r, const struct node *n, void *to);
void schema_read_greylist(struct reading *r, const struct node *n, void *to);
/* schema_sender.c */
void schema_sender_defaults(struct conf_sender *s);
void schema_read_sender(struct reading *r, const struct node *n, void *to);
/* What they mean together. */
void schema_check_connect(struct reading *r, const struct node *flow, const struct conf_flow *f);
/* schema_flow.c: needs filters, gateways and domains. */
void schema_read_flows(struct reading *r);

#endif

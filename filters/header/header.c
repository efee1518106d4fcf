#include "filters/header/header.h"
#include "filters/content/pattern.h"
#include "relay/base/buf.h"
#include "relay/base/mem.h"

#include <stdio.h>

enum { WHY_MAX = 180, NAME_MAX_BYTES = 80 };

struct rule {
	char *name;
	struct pattern *pattern; /* of match */
	char *value;             /* of add, with a leading blank */
};

struct rules {
	struct rule *items;
	size_t n;
};

struct header {
	const struct pnf_host *host;
	struct rules match, add, remove;
	struct effort effort; /* for the message at hand */
};

static bool
is_field_name(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || s.p[i] == ':')
			return false;
	return s.n > 0 && s.n <= NAME_MAX_BYTES;
}

/* "Name: rest" */
static int
rule_split(struct span text, struct rule *rule, struct span *rest, char *why, size_t why_n)
{
	struct span name;

	*rest = text;
	name = span_trim(span_cut(rest, ':'));
	*rest = span_trim(*rest);
	if (!is_field_name(name)) {
		(void)snprintf(why, why_n, "%.*s: no field name before the colon",
		    SPAN_ARG(span_take(text, 100)));
		return -1;
	}
	rule->name = mem_dup(name);
	return 0;
}

static int
match_load(struct span text, struct rule *rule, char *why, size_t why_n)
{
	struct span regex;

	if (rule_split(text, rule, &regex, why, why_n) < 0)
		return -1;
	rule->pattern = pattern_new(regex, why, why_n);
	return rule->pattern != NULL ? 0 : -1;
}

static int
add_load(struct span text, struct rule *rule, char *why, size_t why_n)
{
	struct buf value = BUF_INIT(4096);
	struct span rest;

	if (rule_split(text, rule, &rest, why, why_n) < 0)
		return -1;
	(void)buf_add_char(&value, ' '); /* sticky */
	(void)buf_add_span(&value, rest);
	rule->value = mem_dup(buf_span(&value));
	buf_free(&value);
	return 0;
}

static int
remove_load(struct span text, struct rule *rule, char *why, size_t why_n)
{
	struct span rest;

	return rule_split(text, rule, &rest, why, why_n);
}

static int
rules_load(const struct pnf_host *host, const struct pnf_config *config, const char *option,
    int (*load)(struct span, struct rule *, char *, size_t), struct rules *to, char *why,
    size_t why_n)
{
	size_t n = host->option_count(config, option);

	to->items = mem_array(n, sizeof(to->items[0]));
	/* n counts the rule at hand too: what it holds already is freed with the others. */
	while (to->n < n) {
		struct span text = span_str(host->option_item(config, option, to->n));

		if (load(text, &to->items[to->n++], why, why_n) < 0)
			return -1;
	}
	return 0;
}

static void
rules_free(struct rules *all)
{
	for (size_t i = 0; i < all->n; i++) {
		pattern_free(&all->items[i].pattern);
		mem_free(all->items[i].name);
		mem_free(all->items[i].value);
	}
	mem_free(all->items);
}

static void
header_unload(void *self)
{
	struct header *h = self;

	rules_free(&h->match);
	rules_free(&h->add);
	rules_free(&h->remove);
	mem_free(h);
}

static int
header_load(const struct pnf_host *host, const struct pnf_config *config, void **self, char *why,
    size_t why_n)
{
	struct header *h = mem_alloc(sizeof(*h));

	*self = h;
	h->host = host;
	if (rules_load(host, config, "match", match_load, &h->match, why, why_n) < 0 ||
	    rules_load(host, config, "add", add_load, &h->add, why, why_n) < 0 ||
	    rules_load(host, config, "remove", remove_load, &h->remove, why, why_n) < 0)
		return PNF_BROKEN;
	return PNF_LOADED;
}

static struct pnf_span
to_pnf(const char *s)
{
	return (struct pnf_span){s, strlen(s)};
}

static void
report(struct header *h, struct pnf_msg *msg, const char *outcome, const struct rule *rule)
{
	char why[WHY_MAX];

	(void)snprintf(why, sizeof(why), "%s: %.*s", rule->name,
	    SPAN_ARG(span_take(pattern_text(rule->pattern), 90)));
	(void)h->host->outcome(msg, outcome, to_pnf(why)); /* declared, see header_about.c */
}

static void
header_connect(void *self, struct pnf_msg *msg, const struct pnf_client *client)
{
	struct header *h = self;

	(void)msg; /* nothing to look at yet */
	(void)client;
	effort_begin(&h->effort, EFFORT_MESSAGE);
}

static void
header_header(void *self, struct pnf_msg *msg, const struct pnf_header *field)
{
	struct span name = span_of(field->name.p, field->name.n);
	struct span decoded = span_of(field->decoded.p, field->decoded.n);
	struct header *h = self;

	for (size_t i = 0; i < h->match.n; i++) {
		const struct rule *rule = &h->match.items[i];
		enum pattern_result r = PATTERN_NO;

		if (span_eq_nocase(name, span_str(rule->name)))
			r = pattern_match(rule->pattern, decoded, &h->effort);
		if (r != PATTERN_NO)
			report(h, msg, r == PATTERN_YES ? "matched" : "limit", rule);
	}
	for (size_t i = 0; i < h->remove.n; i++)
		if (span_eq_nocase(name, span_str(h->remove.items[i].name)) &&
		    h->host->header_remove(msg, field->index, 0) < 0)
			(void)h->host->outcome(
			    msg, "failure", to_pnf("a field could not be removed"));
}

static void
header_eoh(void *self, struct pnf_msg *msg)
{
	struct header *h = self;

	for (size_t i = 0; i < h->add.n; i++)
		if (h->host->header_add(
			msg, to_pnf(h->add.items[i].name), to_pnf(h->add.items[i].value), 0) < 0)
			(void)h->host->outcome(
			    msg, "failure", to_pnf("a field could not be added"));
}

PNF_FILTER(header_filter, .about = &header_about, .load = header_load, .unload = header_unload,
    .connect = header_connect, .header = header_header, .eoh = header_eoh);

#include "policy/config/schema.h"
#include "relay/base/nearest.h"

#include <stdio.h>

enum { EXISTING_TEXT_MAX = 240 };

struct shown
schema_place(const struct node *section)
{
	struct shown to;

	if (section->has_title)
		(void)snprintf(to.text, sizeof(to.text), "%.*s \"%.50s\"",
		    SPAN_ARG(span_take(section->word, 20)), SHOW(section->title)); /* cut to fit */
	else
		(void)snprintf(to.text, sizeof(to.text), "%s",
		    SHOW(span_take(section->word, SHOWN_MAX))); /* fits */
	return to;
}

const struct node *
schema_child(const struct node *section, const char *word)
{
	const struct node *n = section->first;

	while (n != NULL && !span_eq(n->word, span_str(word)))
		n = n->next;
	return n;
}

bool
schema_fits(struct reading *r, const struct node *n, enum rule_kind kind)
{
	const struct shown shown = config_show_span(n->word);
	const char *word = shown.text;

	switch (kind) {
	case RULE_ONE:
		if (n->kind == NODE_VALUE)
			return n->n_values == 1; /* none: the parser has complained */
		config_complain(
		    r->complaints, n->line, "\"%s\" takes one value; write %s = VALUE", word, word);
		return false;
	case RULE_LIST:
		if (n->kind != NODE_SECTION)
			return n->kind == NODE_LIST || n->n_values == 1;
		config_complain(
		    r->complaints, n->line, "\"%s\" takes a list; write %s = {A, B}", word, word);
		return false;
	case RULE_SECTION:
		if (n->kind == NODE_SECTION && !n->has_title)
			return true;
		config_complain(r->complaints, n->line,
		    "\"%s\" is a section without a title; write %s { ... }", word, word);
		return false;
	case RULE_TITLED:
		if (n->kind == NODE_SECTION && n->has_title)
			return true;
		config_complain(r->complaints, n->line,
		    "\"%s\" is a section with a title; write %s \"NAME\" { ... }", word, word);
		return false;
	case RULE_NOT_YET:
		config_complain(
		    r->complaints, n->line, "\"%s\" is not in this version; remove it", word);
		return false;
	}
	return false;
}

static const struct rule *
rule_of(const struct rule *rules, struct span word)
{
	while (rules->word != NULL && !span_eq(span_str(rules->word), word))
		rules++;
	return rules->word != NULL ? rules : NULL;
}

struct shown
schema_inside(const struct node *section)
{
	struct shown to = {""};

	if (section->word.n > 0) /* the root has none */
		(void)snprintf(to.text, sizeof(to.text), " in %.76s",
		    schema_place(section).text); /* cut to fit */
	return to;
}

/* A word of the top level inside a section: most likely the section was not closed. */
static bool
is_misplaced(const struct reading *r, const struct node *section, const struct node *n)
{
	return section != r->root && rule_of(r->top, n->word) != NULL;
}

static void
complain_of_unknown_word(
    struct reading *r, const struct node *section, const struct node *n, const struct rule *rules)
{
	struct known known = {.n = 0};

	if (is_misplaced(r, section, n)) {
		config_complain(r->complaints, n->line,
		    "\"%s\" has no meaning in %s; if it was not meant to stand there, add } before "
		    "it",
		    SHOW(n->word), schema_place(section).text);
		return;
	}
	schema_known_add_rules(&known, rules);
	schema_known_complain(r, n->line, "word", schema_inside(section).text, n->word, &known);
}

void
schema_read(struct reading *r, const struct node *section, const struct rule *rules, void *to)
{
	for (const struct node *n = section->first; n != NULL; n = n->next) {
		const struct rule *rule = rule_of(rules, n->word);

		if (rule == NULL)
			complain_of_unknown_word(r, section, n, rules);
		else if (schema_fits(r, n, rule->kind) && rule->read != NULL)
			rule->read(r, n, to);
	}
}

void
schema_known_add(struct known *k, const char *word, bool is_here)
{
	if (k->n == KNOWN_MAX)
		return;
	k->words[k->n] = word;
	k->is_here[k->n++] = is_here;
}

void
schema_known_add_rules(struct known *k, const struct rule *rules)
{
	for (; rules->word != NULL; rules++)
		schema_known_add(k, rules->word, rules->kind != RULE_NOT_YET);
}

void
schema_known_complain(struct reading *r, unsigned line, const char *what, const char *where,
    struct span word, const struct known *k)
{
	size_t i = nearest_word(word, k->words, k->n);

	if (i == k->n)
		config_complain(
		    r->complaints, line, "unknown %s \"%s\"%s; remove it", what, SHOW(word), where);
	else if (k->is_here[i])
		config_complain(r->complaints, line, "unknown %s \"%s\"%s; did you mean \"%s\"?",
		    what, SHOW(word), where, k->words[i]);
	else
		config_complain(r->complaints, line,
		    "unknown %s \"%s\"%s; the nearest, \"%s\", is not in this version; remove it",
		    what, SHOW(word), where, k->words[i]);
}

void
schema_complain_missing(struct reading *r, unsigned line, const char *word, struct span name)
{
	struct buf names = BUF_INIT(EXISTING_TEXT_MAX);

	for (const struct node *n = NULL; (n = config_tree_section(r->root, n, word)) != NULL;)
		if (buf_addf(&names, "%s\"%s\"", names.n ? ", " : "", SHOW(n->title)) < 0)
			break; /* that many say enough */
	if (names.n > 0)
		config_complain(r->complaints, line, "%s \"%s\" does not exist; there is %.*s",
		    word, SHOW(name), SPAN_ARG(buf_span(&names)));
	else
		config_complain(r->complaints, line,
		    "%s \"%s\" does not exist; add %s \"%s\" { ... }", word, SHOW(name), word,
		    SHOW(name));
	buf_free(&names);
}

static struct shown
value_inside(const struct node *n)
{
	struct shown to;

	(void)snprintf(to.text, sizeof(to.text), " of %.76s", SHOW(n->word)); /* cut to fit */
	return to;
}

bool
schema_choice(struct reading *r, const struct node *n, const struct value *v,
    const struct choice *choices, int *out)
{
	struct known known = {.n = 0};

	for (const struct choice *c = choices; c->word != NULL; c++) {
		schema_known_add(&known, c->word, c->is_here);
		if (!span_eq(v->text, span_str(c->word)))
			continue;
		if (c->is_here) {
			*out = c->value;
			return true;
		}
		config_complain(r->complaints, v->line,
		    "%s \"%s\" is not in this version; remove it", SHOW(n->word), c->word);
		return false;
	}
	schema_known_complain(r, v->line, "value", value_inside(n).text, v->text, &known);
	return false;
}

const char *
schema_keep_text(struct reading *r, struct span s)
{
	return arena_copy(&r->config->memory, s).p;
}

void
schema_note_place(struct reading *r, const char *path, unsigned line, bool is_read)
{
	struct conf_place *p = arena_alloc(&r->config->memory, sizeof(*p));

	*p = (struct conf_place){r->config->places, path, line, is_read};
	r->config->places = p;
}

void *
schema_keep_array(struct reading *r, size_t count, size_t size)
{
	size_t bytes;

	must(!__builtin_mul_overflow(count, size, &bytes));
	return arena_alloc(&r->config->memory, bytes);
}

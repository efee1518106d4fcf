#include "policy/config/tree.h"
#include "policy/config/lexer.h"
#include "relay/base/map.h"

enum { AHEAD = 3, KEY_MAX = 2 * CONFIG_TEXT_MAX };

struct parser {
	struct lexer lexer;
	struct token ahead[AHEAD]; /* ahead[0] is the current one */
	struct arena *memory;
	struct complaints *complaints;
};

static void
step(struct parser *p)
{
	for (size_t i = 0; i + 1 < AHEAD; i++)
		p->ahead[i] = p->ahead[i + 1];
	p->ahead[AHEAD - 1] = config_lexer_next(&p->lexer);
}

static bool
is_kind(const struct parser *p, size_t i, enum token_kind kind)
{
	return p->ahead[i].kind == kind;
}

static bool
is_text(const struct parser *p, size_t i)
{
	return is_kind(p, i, TOKEN_WORD) || is_kind(p, i, TOKEN_TEXT);
}

/* Whether `word = `, `word {` or `word title {` begins at token i, which must be in sight. */
static bool
begins_item(const struct parser *p, size_t i)
{
	if (!is_kind(p, i, TOKEN_WORD) || i + 1 >= AHEAD)
		return false;
	if (is_kind(p, i + 1, TOKEN_EQUALS) || is_kind(p, i + 1, TOKEN_OPEN))
		return true;
	return i + 2 < AHEAD && is_text(p, i + 1) && is_kind(p, i + 2, TOKEN_OPEN);
}

/* After an error: to the next place where an item may begin. */
static void
skip_to_item(struct parser *p)
{
	while (!is_kind(p, 0, TOKEN_END) && !is_kind(p, 0, TOKEN_CLOSE) &&
	       !is_kind(p, 0, TOKEN_OPEN) && !begins_item(p, 0))
		step(p);
}

static void
add_value(struct parser *p, struct node *n)
{
	struct value *v = arena_alloc(p->memory, sizeof(*v));

	*v = (struct value){.text = p->ahead[0].text, .line = p->ahead[0].line};
	if (n->last_value != NULL)
		n->last_value->next = v;
	else
		n->first_value = v;
	n->last_value = v;
	n->n_values++;
	step(p);
}

/* From behind the opening brace to behind the closing one. */
static void
parse_list(struct parser *p, struct node *n)
{
	bool needs_comma = false;

	while (!is_kind(p, 0, TOKEN_CLOSE)) {
		if (!is_text(p, 0) && !is_kind(p, 0, TOKEN_COMMA)) {
			config_complain(p->complaints, n->line,
			    "the list of \"%s\" is not closed; end it with }", SHOW(n->word));
			return;
		}
		if (begins_item(p, 0)) {
			config_complain(p->complaints, n->line,
			    "the list of \"%s\" is not closed before \"%s\" of line %u; end it "
			    "with }",
			    SHOW(n->word), SHOW(p->ahead[0].text), p->ahead[0].line);
			return;
		}
		if (is_kind(p, 0, TOKEN_COMMA)) {
			if (!needs_comma)
				config_complain(p->complaints, p->ahead[0].line,
				    "\",\" without a value before it; remove it");
			needs_comma = false;
			step(p);
			continue;
		}
		if (needs_comma)
			config_complain(p->complaints, p->ahead[0].line,
			    "no \",\" before \"%s\"; divide a list's values by commas",
			    SHOW(p->ahead[0].text));
		needs_comma = true;
		add_value(p, n);
	}
	step(p);
}

/* Behind the "=". */
static void
parse_value(struct parser *p, struct node *n)
{
	if (is_kind(p, 0, TOKEN_OPEN)) {
		n->kind = NODE_LIST;
		step(p);
		parse_list(p, n);
		return;
	}
	if (!is_text(p, 0) || (is_kind(p, 0, TOKEN_WORD) && is_kind(p, 1, TOKEN_EQUALS))) {
		config_complain(p->complaints, n->line, "\"%s\" has no value; write %s = VALUE",
		    SHOW(n->word), SHOW(n->word));
		return;
	}
	add_value(p, n);
	if (!is_kind(p, 0, TOKEN_COMMA))
		return;
	config_complain(p->complaints, p->ahead[0].line,
	    "\",\" behind the value of \"%s\"; several values stand in braces: %s = {A, B}",
	    SHOW(n->word), SHOW(n->word));
	skip_to_item(p);
}

static void
link_node(struct node *parent, struct node *n)
{
	if (parent->last != NULL)
		parent->last->next = n;
	else
		parent->first = n;
	parent->last = n;
}

/* Links the node unless its like stands there already. */
static void
add_node(struct parser *p, struct node *parent, struct map *seen, struct node *n)
{
	struct buf key = BUF_INIT(KEY_MAX);
	const struct node *before;

	(void)buf_add_span(&key, n->word); /* the whole text fits twice */
	if (n->has_title) {
		(void)buf_add_char(&key, '\n'); /* never in a word */
		(void)buf_add_span(&key, n->title);
	}
	before = map_get(seen, buf_span(&key));
	if (before == NULL) {
		(void)map_set(seen, buf_span(&key), n); /* was not there */
		link_node(parent, n);
	} else if (n->has_title) {
		config_complain(p->complaints, n->line,
		    "%s \"%s\" is given twice, first in line %u; keep one", SHOW(n->word),
		    SHOW(n->title), before->line);
	} else {
		config_complain(p->complaints, n->line,
		    "\"%s\" is given twice, first in line %u; keep one", SHOW(n->word),
		    before->line);
	}
	buf_free(&key);
}

static void parse_body(struct parser *p, struct node *parent, unsigned depth);

static void
skip_block(struct parser *p)
{
	size_t open = 1;

	while (open > 0 && !is_kind(p, 0, TOKEN_END)) {
		if (is_kind(p, 0, TOKEN_OPEN))
			open++;
		else if (is_kind(p, 0, TOKEN_CLOSE))
			open--;
		step(p);
	}
}

/* At the opening brace. */
static void
parse_section(struct parser *p, struct node *n, unsigned depth)
{
	n->kind = NODE_SECTION;
	step(p);
	if (depth == TREE_DEPTH_MAX) {
		config_complain(p->complaints, n->line,
		    "sections stand deeper than %d in each other; remove this one", TREE_DEPTH_MAX);
		skip_block(p);
		return;
	}
	parse_body(p, n, depth + 1);
	if (is_kind(p, 0, TOKEN_CLOSE))
		step(p);
	else
		config_complain(p->complaints, n->line, "\"%s\" is not closed; add } at its end",
		    SHOW(n->word));
}

/* At a word that begins no item. */
static void
complain_of_word(struct parser *p)
{
	const struct token *t = p->ahead;

	if (span_starts(t->text, SPAN("include")))
		config_complain(p->complaints, t->line,
		    "nothing is included; put all of the configuration into this file");
	else if (is_text(p, 1) && t[1].line == t->line && !begins_item(p, 1))
		config_complain(p->complaints, t->line, "no \"=\" behind \"%s\"; write %s = \"%s\"",
		    SHOW(t->text), SHOW(t->text), SHOW(t[1].text));
	else
		config_complain(p->complaints, t->line,
		    "\"%s\" stands alone; write %s = VALUE or %s { ... }", SHOW(t->text),
		    SHOW(t->text), SHOW(t->text));
	step(p);
	skip_to_item(p);
}

static void
parse_item(struct parser *p, struct node *parent, struct map *seen, unsigned depth)
{
	struct node *n = arena_alloc(p->memory, sizeof(*n));

	n->word = p->ahead[0].text;
	n->line = p->ahead[0].line;
	step(p);
	if (is_kind(p, 0, TOKEN_EQUALS)) {
		step(p);
		parse_value(p, n);
		add_node(p, parent, seen, n);
		return;
	}
	if (is_text(p, 0)) {
		n->has_title = true;
		n->title = p->ahead[0].text;
		step(p);
	}
	parse_section(p, n, depth);
	add_node(p, parent, seen, n);
}

static void
complain_of_token(struct parser *p)
{
	const struct token *t = p->ahead;

	if (is_kind(p, 0, TOKEN_TEXT))
		config_complain(p->complaints, t->line,
		    "\"%s\" stands where a word must; write word = \"%s\"", SHOW(t->text),
		    SHOW(t->text));
	else
		config_complain(p->complaints, t->line,
		    "\"%s\" without a word before it; remove it", SHOW(t->text));
}

/* To the closing brace of the section, which is left, or to the end. */
static void
parse_body(struct parser *p, struct node *parent, unsigned depth)
{
	struct map *seen = map_new();

	while (!is_kind(p, 0, TOKEN_END) && !(depth > 0 && is_kind(p, 0, TOKEN_CLOSE))) {
		if (begins_item(p, 0)) {
			parse_item(p, parent, seen, depth);
		} else if (is_kind(p, 0, TOKEN_WORD)) {
			complain_of_word(p);
		} else if (is_kind(p, 0, TOKEN_OPEN)) {
			struct node nameless = {.word = SPAN("{"), .line = p->ahead[0].line};

			complain_of_token(p);
			parse_section(p, &nameless, depth);
		} else if (is_kind(p, 0, TOKEN_CLOSE)) {
			config_complain(p->complaints, p->ahead[0].line,
			    "\"}\" closes nothing; remove it, or add the { it belongs to");
			step(p);
		} else {
			complain_of_token(p);
			step(p);
			skip_to_item(p);
		}
	}
	map_free(&seen);
}

struct node *
config_tree_parse(struct span text, struct arena *memory, struct complaints *complaints)
{
	struct parser p = {.memory = memory, .complaints = complaints};
	struct node *root = arena_alloc(memory, sizeof(*root));

	root->kind = NODE_SECTION;
	root->line = 1;
	p.lexer =
	    (struct lexer){.rest = text, .line = 1, .memory = memory, .complaints = complaints};
	for (size_t i = 0; i < AHEAD; i++)
		step(&p);
	parse_body(&p, root, 0);
	return root;
}

const struct node *
config_tree_section(const struct node *parent, const struct node *after, const char *word)
{
	const struct node *n = after != NULL ? after->next : parent->first;

	while (n != NULL &&
	       (n->kind != NODE_SECTION || !n->has_title || !span_eq(n->word, span_str(word))))
		n = n->next;
	return n;
}

size_t
config_tree_count_sections(const struct node *parent, const char *word)
{
	size_t count = 0;

	for (const struct node *n = NULL; (n = config_tree_section(parent, n, word)) != NULL;)
		count++;
	return count;
}

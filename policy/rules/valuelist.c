#include "policy/rules/valuelist.h"
#include "policy/rules/matcher.h"
#include "relay/base/mem.h"
#include "relay/base/utf8.h"

enum {
	PATTERN_BYTES = VALUE_TEXT_MAX + 64, /* a glob's text, or what a regex is kept by */
	UNQUOTED_SLACK = 64                  /* an arena rounds up */
};

bool
valuelist_is_name(struct span name)
{
	if (name.n == 0 || name.n > VALUELIST_NAME_MAX || name.p[0] == '.')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = char_lower(name.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' &&
		    c != '.')
			return false;
	}
	return true;
}

/* Behind what encloses a line's value, "…" or /…/; 0: nothing does. */
static size_t
enclosed_end(struct span line)
{
	size_t i = 1;

	if (line.p[0] != '"' && line.p[0] != '/')
		return 0;
	while (i < line.n && line.p[i] != line.p[0])
		i += line.p[i] == '\\' ? 2 : 1;
	return i < line.n ? i + 1 : 0;
}

/* Cuts the comment off. */
static struct span
value_of_line(struct span line)
{
	line = span_trim(line);
	if (line.n == 0 || line.p[0] == '#')
		return span_take(line, 0);
	for (size_t i = enclosed_end(line); i < line.n; i++)
		if (line.p[i] == '#' && (line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
			return span_trim(span_take(line, i));
	return line;
}

/* What is being read, and where its patterns are kept. */
struct list_reading {
	struct valuelist *list;
	struct regex_room *room;
};

/* 1: it was a glob or regex, and is kept; 0: it is none; or -E_SYNTAX. */
static int
read_pattern(struct list_reading *to, struct span text, struct err *err)
{
	struct valuelist *list = to->list;
	const struct token t = {.kind = TOKEN_QUOTED, .text = text};
	struct matcher m;
	struct span pattern;
	bool is_caseless;
	int r = lexer_quoted_regex(text, &pattern, &is_caseless, err);

	if (r < 0 || (r == 0 && span_find(text, '*') == text.n))
		return r;
	if (list->n_patterns == VALUELIST_PATTERNS_MAX)
		return err_set(err, E_SYNTAX,
		    "more than %d globs and regexes in one list; combine some into one regex",
		    VALUELIST_PATTERNS_MAX);
	r = matcher_compile(&m, &t, list->kind, to->room, &list->memory, err);
	if (r < 0)
		return r;
	if (m.form == MATCH_GLOB)
		m.value.text = arena_copy(&list->memory, text);
	list->patterns = mem_grow(list->patterns, (list->n_patterns + 1) * sizeof(*list->patterns));
	list->patterns[list->n_patterns++] = m;
	return 1;
}

static bool
has_control(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (((unsigned char)text.p[i] < ' ' && text.p[i] != '\t') || text.p[i] == 127)
			return true;
	return false;
}

static int
check_text(struct span text, struct err *err)
{
	if (!utf8_is_valid(text) || memchr(text.p, '\0', text.n) != NULL)
		return err_set(err, E_SYNTAX, "not UTF-8 text; save the file as UTF-8");
	if (has_control(text))
		return err_set(err, E_SYNTAX, "a control character; lines end with LF or CRLF");
	if (text.p[0] == '!')
		return err_set(err, E_SYNTAX,
		    "`!` in a list; write !list:NAME in the rule, or \"!…\" for the character");
	if (span_starts(text, SPAN("list:")))
		return err_set(err, E_SYNTAX,
		    "a list in a list; name it in the rule, or put it in quotes if it is a text");
	return 0;
}

/* A quoted local part in front of its @ is the address's own. */
static bool
is_quoted(struct span text, enum value_kind kind)
{
	size_t end = text.p[0] == '"' ? enclosed_end(text) : text.n;

	return text.p[0] == '"' && !(kind == VALUE_ADDRESS && end < text.n && text.p[end] == '@');
}

/* Takes the quotes off, and what they escape; `memory` may be asked for as much as the text has. */
static int
unquote(struct span *text, struct arena *memory, struct err *err)
{
	struct lexer l = {*text, memory};
	struct token t;
	int r = rule_lexer_next(&l, &t, err);

	if (r < 0)
		return r;
	if (l.rest.n > 0)
		return err_set(
		    err, E_SYNTAX, "more behind a closing quote; write one value a line");
	*text = t.text;
	return 0;
}

static void
add_value(struct valuelist *list, const struct value *value)
{
	switch (value->form) {
	case VALUE_CIDR:
		netset_add(&list->nets, &value->net);
		return;
	case VALUE_EXACT:
		must(textset_add(
		    &list->exact, value->text)); /* the text's limit is below the set's */
		return;
	case VALUE_DOMAIN:
		must(textset_add(&list->domains, value->text));
		return;
	case VALUE_BELOW:
		must(textset_add(&list->below, value->text));
		return;
	}
}

static int
read_value(struct list_reading *to, struct span text, struct err *err)
{
	struct value value;
	int r = read_pattern(to, text, err);

	if (r == 0)
		r = value_read(text, to->list->kind, &value, err);
	else if (r > 0)
		return 0;
	if (r == 0)
		add_value(to->list, &value);
	return r;
}

/* One line without its comment. */
static int
read_line(struct list_reading *to, struct span text, struct err *err)
{
	struct arena unquoted;
	int r = check_text(text, err);

	if (r < 0 || !is_quoted(text, to->list->kind))
		return r < 0 ? r : read_value(to, text, err);
	arena_init(&unquoted, text.n + UNQUOTED_SLACK);
	r = unquote(&text, &unquoted, err);
	if (r == 0)
		r = read_value(to, text, err);
	arena_free(&unquoted);
	return r;
}

struct valuelist *
valuelist_parse(struct span text, enum value_kind kind, struct regex_room *room,
    valuelist_complaint *complain, void *arg)
{
	struct valuelist *list = mem_alloc(sizeof(*list));
	struct list_reading to = {list, room};
	uint32_t number = 0;

	list->kind = kind;
	arena_init(&list->memory, PATTERN_BYTES * VALUELIST_PATTERNS_MAX);
	if (text.n > VALUELIST_TEXT_MAX) {
		complain(arg, 0, "a list of more than 64 MiB; divide it into several");
		return list;
	}
	text = span_skip_bom(text);
	while (text.n > 0) {
		struct span line = value_of_line(span_cut(&text, '\n'));
		struct err err = {0};

		number++;
		if (line.n > 0 && read_line(&to, line, &err) < 0)
			complain(arg, number, err.text);
	}
	netset_seal(&list->nets);
	return list;
}

/* The name itself, then what is left behind each of its dots. */
static bool
has_below(const struct textset *below, struct span name)
{
	while (below->count > 0 && name.n > 0) {
		if (textset_has(below, name))
			return true;
		(void)span_cut(&name, '.'); /* what follows is wanted */
	}
	return false;
}

static enum truth
match_patterns(const struct valuelist *list, struct span fact)
{
	enum truth t = TRUTH_FALSE;

	for (size_t i = 0; i < list->n_patterns && t != TRUTH_TRUE; i++) {
		enum truth one = matcher_match(&list->patterns[i], fact);

		if (one != TRUTH_FALSE)
			t = one;
	}
	return t;
}

enum truth
valuelist_match_ip(const struct valuelist *list, const struct ip *ip, struct span text)
{
	return netset_has(&list->nets, ip) ? TRUTH_TRUE : match_patterns(list, text);
}

static bool
has_value(const struct valuelist *list, struct span fact)
{
	struct ip ip;

	if (list->kind == VALUE_NET)
		return ip_parse(fact, &ip) && netset_has(&list->nets, &ip);
	if (fact.n > VALUE_TEXT_MAX)
		return false;
	if (textset_has(&list->exact, fact))
		return true;
	if (list->kind == VALUE_NAME)
		return has_below(&list->below, fact);
	if (list->kind != VALUE_ADDRESS || span_find(fact, '@') == fact.n)
		return false;
	return textset_has(&list->domains, value_domain(fact)) ||
	       has_below(&list->below, value_domain(fact));
}

enum truth
valuelist_match(const struct valuelist *list, struct span fact)
{
	return has_value(list, fact) ? TRUTH_TRUE : match_patterns(list, fact);
}

void
valuelist_free(struct valuelist **list)
{
	if (*list == NULL)
		return;
	netset_free(&(*list)->nets);
	textset_free(&(*list)->exact);
	textset_free(&(*list)->domains);
	textset_free(&(*list)->below);
	mem_free((*list)->patterns);
	arena_free(&(*list)->memory);
	mem_free(*list);
	*list = NULL;
}

#include "policy/rules/matcher.h"
#include "relay/base/glob.h"

struct regex {
	struct regex *next;
	pcre2_code *code;
};

void
regex_room_init(struct regex_room *room)
{
	*room = (struct regex_room){
	    .compile = pcre2_compile_context_create(NULL),
	    .match = pcre2_match_context_create(NULL),
	    .data = pcre2_match_data_create(1, NULL),
	};
	must(room->compile != NULL && room->match != NULL && room->data != NULL);
	room->spending = mem_alloc(sizeof(*room->spending));
	must(pcre2_set_max_pattern_length(room->compile, REGEX_PATTERN_MAX) == 0);
	must(pcre2_set_parens_nest_limit(room->compile, REGEX_NEST_MAX) == 0);
	must(pcre2_set_match_limit(room->match, REGEX_MATCH_LIMIT) == 0);
	must(pcre2_set_depth_limit(room->match, REGEX_DEPTH_LIMIT) == 0);
	must(pcre2_set_heap_limit(room->match, REGEX_HEAP_LIMIT) == 0);
}

void
regex_room_free(struct regex_room *room)
{
	for (struct regex *r = room->all; r != NULL; r = r->next)
		pcre2_code_free(r->code);
	pcre2_match_data_free(room->data);
	pcre2_match_context_free(room->match);
	pcre2_compile_context_free(room->compile);
	mem_free(room->spending);
	*room = (struct regex_room){0};
}

static int
compile_regex(struct matcher *m, struct span pattern, bool is_caseless, struct regex_room *room,
    struct arena *memory, struct err *err)
{
	/* Subjects come from outside: what is not UTF-8 in them is never matched, and no error. */
	uint32_t options =
	    PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
	struct regex *r;
	pcre2_code *code;
	PCRE2_SIZE at;
	PCRE2_UCHAR why[160];
	int number;

	if (pattern.n == 0)
		return err_set(
		    err, E_SYNTAX, "an empty regex matches everything; write /pattern/ or *");
	code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n,
	    options | (is_caseless ? PCRE2_CASELESS : 0), &number, &at, room->compile);
	if (code == NULL) {
		if (pcre2_get_error_message(number, why, sizeof(why)) < 0)
			why[0] = '\0';
		return err_set(err, E_SYNTAX,
		    "regex /%.*s/ is wrong at its byte %zu: %s; mend it, or quote what is meant "
		    "literally",
		    SPAN_ARG(span_take(pattern, 100)), (size_t)at, (const char *)why);
	}
	r = arena_alloc(memory, sizeof(*r));
	r->code = code;
	r->next = room->all;
	room->all = r;
	m->form = MATCH_REGEX;
	m->by.code = code;
	m->room = room;
	return 0;
}

int
matcher_compile(struct matcher *m, const struct token *t, enum value_kind kind,
    struct regex_room *room, struct arena *memory, struct err *err)
{
	bool is_caseless = t->is_caseless;
	struct span pattern = t->text;
	int is_regex = t->kind == TOKEN_REGEX;

	*m = (struct matcher){.kind = kind};
	if (t->kind == TOKEN_QUOTED)
		is_regex = lexer_quoted_regex(t->text, &pattern, &is_caseless, err);
	if (is_regex < 0)
		return is_regex;
	if (is_regex)
		return compile_regex(m, pattern, is_caseless, room, memory, err);
	if (span_find(t->text, '*') < t->text.n) {
		if (t->text.n > VALUE_TEXT_MAX)
			return err_set(err, E_SYNTAX, "a value of %zu bytes; at most %d", t->text.n,
			    VALUE_TEXT_MAX);
		m->form = MATCH_GLOB;
		m->value.text = t->text;
		return 0;
	}
	return value_read(t->text, kind, &m->value, err);
}

static enum truth
regex_match(const struct matcher *m, struct span text)
{
	struct regex_effort *spending = m->room->spending;
	int rc;

	if (!spending->is_shared)
		effort_begin(&spending->effort, EFFORT_MATCH);
	rc = effort_match(&spending->effort, m->by.code, text, m->room->data, m->room->match);
	if (rc >= 0)
		return TRUTH_TRUE;
	if (rc == PCRE2_ERROR_NOMATCH)
		return TRUTH_FALSE;
	return spending->is_shared && spending->effort.is_spent ? TRUTH_SPENT : TRUTH_LIMIT;
}

static bool
value_match(const struct value *v, enum value_kind kind, struct span fact)
{
	struct ip ip;

	switch (v->form) {
	case VALUE_EXACT:
		return span_eq_nocase(v->text, fact);
	case VALUE_CIDR:
		return ip_parse(fact, &ip) && net_has(&v->net, &ip);
	case VALUE_DOMAIN:
	case VALUE_BELOW:
		break;
	}
	if (kind == VALUE_ADDRESS) {
		if (span_find(fact, '@') == fact.n)
			return false;
		fact = value_domain(fact);
	}
	return v->form == VALUE_DOMAIN ? span_eq_nocase(v->text, fact)
				       : value_is_below(fact, v->text);
}

static enum truth
truth_of(bool is_true)
{
	return is_true ? TRUTH_TRUE : TRUTH_FALSE;
}

enum truth
matcher_match(const struct matcher *m, struct span value)
{
	struct span fact = value_fact(value, m->kind);

	switch (m->form) {
	case MATCH_VALUE:
		return truth_of(value_match(&m->value, m->kind, fact));
	case MATCH_GLOB:
		return truth_of(glob_match(m->value.text, fact));
	case MATCH_REGEX:
		return regex_match(m, fact);
	case MATCH_LIST:
		return valuelist_match(m->by.list, fact);
	}
	return TRUTH_UNKNOWN;
}

enum truth
matcher_match_ip(const struct matcher *m, const struct ip *ip, struct span text)
{
	if (m->form == MATCH_VALUE && m->value.form == VALUE_CIDR)
		return truth_of(net_has(&m->value.net, ip));
	if (m->form == MATCH_LIST)
		return valuelist_match_ip(m->by.list, ip, text);
	return matcher_match(m, text);
}

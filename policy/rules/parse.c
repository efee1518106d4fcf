/* parse.c - one rule line to one rule. */
#include "policy/rules/compiler.h"
#include "policy/rules/until.h"

#include <stdio.h>

enum { HINT_MAX = 160, PREDICATES_FIRST = 16 };

void
line_advance(struct line *l)
{
	struct err err = {0};
	int rc = l->is_broken ? 0 : rule_lexer_next(&l->lexer, &l->now, &err);

	l->has = rc > 0;
	if (rc < 0)
		line_break(l, "%s", err.text);
}

void
line_break(struct line *l, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* a cut message is still one */
	va_end(args);
	rule_complain(l->c, "%s", text);
	l->has = false;
	l->is_broken = true;
}

bool
line_at_word(const struct line *l)
{
	return l->has && l->now.kind == TOKEN_WORD && !l->now.is_negated;
}

bool
line_at(const struct line *l, const char *word)
{
	return line_at_word(l) && span_eq(l->now.text, span_str(word));
}

static bool
is_tag_name(struct span name)
{
	if (name.n == 0 || name.n > RULE_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = char_lower(name.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
	}
	return true;
}

static bool
read_name(struct line *l, struct rule *r)
{
	if (!line_at_word(l) || !is_tag_name(l->now.text)) {
		line_break(l,
		    "a tag needs a name; write `tag NAME`, up to %d letters, digits, - and _",
		    RULE_NAME_MAX);
		return false;
	}
	r->name = l->now.text;
	line_advance(l);
	return !l->is_broken;
}

/* "3", "2.5", "-0.125": thousandths. */
static bool
read_number(struct span s, int32_t *milli)
{
	bool is_negative = s.n > 0 && s.p[0] == '-';
	struct span fraction, whole;
	uint64_t points, rest = 0;

	fraction = span_skip(s, is_negative ? 1 : 0);
	if (span_find(fraction, '.') + 1 == fraction.n)
		return false;
	whole = span_cut(&fraction, '.');
	if (!span_to_u64(whole, &points) || points > RULE_SCORE_MAX || fraction.n > 3 ||
	    (fraction.n > 0 && !span_to_u64(fraction, &rest)))
		return false;
	for (size_t i = fraction.n; i < 3; i++)
		rest *= 10;
	if (points == RULE_SCORE_MAX && rest > 0)
		return false;
	*milli = (int32_t)(points * 1000 + rest) * (is_negative ? -1 : 1);
	return true;
}

static bool
read_score(struct line *l, struct rule *r)
{
	if (!line_at_word(l) || !read_number(l->now.text, &r->score_milli)) {
		line_break(l,
		    "a score needs a number; write `score 3`, `score 2.5 NAME` or `score -1`, "
		    "at most three decimals and %d points",
		    RULE_SCORE_MAX);
		return false;
	}
	line_advance(l);
	/* The name may be left out: a word of the grammar is none. */
	if (line_at_word(l) && !words_have(words_facets, l->now.text) &&
	    !words_have(words_options, l->now.text))
		return read_name(l, r);
	return !l->is_broken;
}

bool
compile_verb(struct line *l, struct rule *r)
{
	char hint[HINT_MAX];
	struct span word = span_take(l->now.text, 80);

	if (!l->has) {
		if (!l->is_broken)
			line_break(l,
			    "what to do is missing; write accept, reject, tempfail, quarantine, "
			    "discard, hold, keep, tag NAME or score N");
		return false;
	}
	for (int i = RULE_ACCEPT; i <= RULE_SCORE; i++) {
		if (!line_at(l, words_verbs[i]))
			continue;
		r->verb = (enum rule_verb)i;
		line_advance(l);
		if (r->verb == RULE_TAG)
			return read_name(l, r);
		return r->verb == RULE_SCORE ? read_score(l, r) : !l->is_broken;
	}
	if (line_at(l, "observe") || line_at(l, "dnsbl") || line_at(l, "dnswl")) {
		line_break(l,
		    "`%.*s` cannot stand here; write accept, reject, tempfail, quarantine, "
		    "discard, hold, keep, tag NAME or score N",
		    SPAN_ARG(word));
		return false;
	}
	words_hint(word, words_verbs, hint, sizeof(hint));
	line_break(l, "`%.*s` is no verb; %s", SPAN_ARG(word), hint);
	return false;
}

/* RFC 5322 section 2.2: printable ASCII without the colon. */
static bool
is_header_name(struct span name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] < 33 || name.p[i] > 126 || name.p[i] == ':')
			return false;
	return name.n > 0;
}

/* In quotes only what may be a list's name is one: "list: of things" is a text. */
static bool
names_list(const struct token *t)
{
	if (!span_starts(t->text, SPAN("list:")))
		return false;
	return t->kind == TOKEN_WORD ||
	       (t->kind == TOKEN_QUOTED && valuelist_is_name(span_skip(t->text, 5)));
}

/* Whether a client's address is compared as a text. */
static bool
needs_text(const struct matcher *m)
{
	if (m->form == MATCH_LIST)
		return m->by.list != NULL && m->by.list->n_patterns > 0;
	return m->form != MATCH_VALUE;
}

static void
read_value(struct line *l, struct rule_facet *f)
{
	struct compiler *c = l->c;
	const struct token *t = &l->now;
	enum value_kind kind = value_kind_of(f->facet);
	struct err err = {0};

	f->is_negated = t->is_negated;
	f->written = t->written;
	if (names_list(t)) {
		f->matcher = (struct matcher){.form = MATCH_LIST, .kind = kind};
		f->matcher.by.list = compile_values(c, span_skip(t->text, 5), kind);
	} else if (matcher_compile(&f->matcher, t, kind, &c->s->room, &c->s->memory, &err) < 0) {
		rule_complain(c, "%s: %s", facet_name(f->facet), err.text);
	}
	if (f->facet == FACET_CLIENT && needs_text(&f->matcher))
		c->s->reads_client_text = true;
	line_advance(l);
}

static void
add_predicate(
    struct compiler *c, struct rule_facet *f, struct span header_name, struct span written)
{
	struct snapshot *s = c->s;

	if (s->n_predicates == POLICY_PREDICATES_MAX) {
		rule_complain(c,
		    "more than %d subject, header, body, url and attachment values in one policy; "
		    "combine some "
		    "into one regex",
		    POLICY_PREDICATES_MAX);
		return;
	}
	if (s->n_predicates == s->cap_predicates) {
		s->cap_predicates =
		    s->cap_predicates == 0 ? PREDICATES_FIRST : s->cap_predicates * 2;
		s->predicates = mem_grow(s->predicates, s->cap_predicates * sizeof(*s->predicates));
	}
	f->predicate = (uint32_t)s->n_predicates;
	s->predicates[s->n_predicates++] = (struct predicate){.facet = f->facet,
	    .header_name = header_name,
	    .matcher = &f->matcher,
	    .is_negated = f->is_negated,
	    .written = written};
}

/* One facet with its value; the facet's own word is the current token. False: the line is broken.
 * `f` stays where it is: predicates point to its matcher. */
static bool
read_facet(struct line *l, struct rule_facet *f)
{
	struct span header_name = {0};
	const char *start = l->now.written.p;

	line_advance(l);
	if (f->facet == FACET_HEADER && l->has) {
		if (!(line_at_word(l) || l->now.kind == TOKEN_QUOTED) || l->now.is_negated ||
		    !is_header_name(l->now.text)) {
			line_break(l, "header needs a field's name before the value; write `header "
				      "X-Mailer /bulkmaster/i`");
			return false;
		}
		header_name = l->now.text;
		line_advance(l);
	}
	if (!l->has) {
		if (!l->is_broken)
			line_break(l, "%s needs a value%s", facet_name(f->facet),
			    f->facet == FACET_HEADER ? "; write `header X-Mailer /bulkmaster/i`"
						     : "; write an exact one, *, /regex/, "
						       "list:NAME or ! before any of them");
		return false;
	}
	read_value(l, f);
	if (f->facet >= FACET_SUBJECT) /* those of the content */
		add_predicate(l->c, f, header_name,
		    span_of(start, (size_t)(f->written.p + f->written.n - start)));
	l->c->s->facets |= 1u << f->facet;
	return !l->is_broken;
}

static void
refuse_facet(struct line *l)
{
	struct span word = span_take(l->now.text, 80);
	char hint[HINT_MAX];

	if (!line_at_word(l)) {
		line_break(l,
		    "`%.*s` where a facet should be; write FACET VALUE, with the value in "
		    "quotes when it holds blanks",
		    SPAN_ARG(span_take(l->now.written, 80)));
		return;
	}
	words_hint(word, words_facets, hint, sizeof(hint));
	line_break(l, "`%.*s` is no facet; %s", SPAN_ARG(word), hint);
}

static void
read_facets(struct line *l, struct rule *r)
{
	static const enum rule_stage known_at[] = {[FACET_CLIENT] = RULE_AT_CONNECT,
	    [FACET_HOST] = RULE_AT_CONNECT,
	    [FACET_HELO] = RULE_AT_HELO,
	    [FACET_FROM] = RULE_AT_MAIL,
	    [FACET_TO] = RULE_AT_RCPT,
	    [FACET_COUNTRY] = RULE_AT_CONNECT,
	    [FACET_ASN] = RULE_AT_CONNECT,
	    /* After STARTTLS everything begins anew: only now is it what it will be. */
	    [FACET_TLS] = RULE_AT_MAIL,
	    [FACET_AUTH] = RULE_AT_MAIL,
	    [FACET_TAG] = RULE_AT_DATA, /* those of filters too */
	    [FACET_SUBJECT] = RULE_AT_DATA,
	    [FACET_HEADER] = RULE_AT_DATA,
	    [FACET_BODY] = RULE_AT_DATA,
	    [FACET_URL] = RULE_AT_DATA,
	    [FACET_ATTACHMENT] = RULE_AT_DATA,
	    [FACET_ATTACHMENT_TYPE] = RULE_AT_DATA};
	struct rule_facet *facets[RULE_FACETS_MAX];
	const char *start = l->now.written.p;

	while (l->has && !(line_at_word(l) && words_have(words_options, l->now.text))) {
		struct rule_facet *f;

		if (r->n_facets == RULE_FACETS_MAX) {
			line_break(l, "more than %d facets; divide the rule", RULE_FACETS_MAX);
			return;
		}
		f = arena_alloc(&l->c->s->memory, sizeof(*f));
		if (!line_at_word(l) || !words_facet(l->now.text, &f->facet)) {
			refuse_facet(l);
			return;
		}
		facets[r->n_facets++] = f;
		if (!read_facet(l, f))
			return;
		if (known_at[f->facet] > r->stage)
			r->stage = known_at[f->facet];
		r->condition = span_of(start, (size_t)(f->written.p + f->written.n - start));
	}
	if (r->n_facets == 0 && !l->is_broken)
		line_break(l,
		    "a rule needs a facet; write for instance `%s client 192.0.2.0/24`, or "
		    "client * for all",
		    rule_verb_name(r->verb));
	r->facets = arena_alloc(&l->c->s->memory, r->n_facets * sizeof(struct rule_facet *));
	memcpy(r->facets, facets, r->n_facets * sizeof(struct rule_facet *));
}

static bool
is_reply_text(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] < 32 || text.p[i] > 126)
			return false;
	return text.n > 0 && text.n <= RULE_TEXT_MAX;
}

static void
read_option_value(struct line *l, struct rule *r, int option)
{
	struct span value = l->now.text;
	struct err err = {0};

	switch (option) {
	case 0:
		r->text = value;
		if (!is_reply_text(value))
			rule_complain(l->c,
			    "text stands in SMTP replies: 1 to %d printable ASCII characters",
			    RULE_TEXT_MAX);
		return;
	case 1:
		if (value.n > RULE_NOTE_MAX)
			rule_complain(
			    l->c, "a note of %zu bytes; at most %d", value.n, RULE_NOTE_MAX);
		return;
	default:
		if (until_parse(value, &r->expires_ms, &err) < 0)
			rule_complain(l->c, "%s", err.text);
		return;
	}
}

static void
read_options(struct line *l, struct rule *r)
{
	bool is_given[3] = {false};

	while (l->has) {
		int option = 0;

		while (words_options[option] != NULL && !line_at(l, words_options[option]))
			option++;
		if (words_options[option] == NULL) {
			line_break(l,
			    "`%.*s` behind the options; facets come first, then text \"…\", note "
			    "\"…\", until DATE",
			    SPAN_ARG(span_take(l->now.written, 80)));
			return;
		}
		if (is_given[option])
			rule_complain(l->c, "`%s` given twice; keep one", words_options[option]);
		is_given[option] = true;
		line_advance(l);
		if (!l->has || l->now.kind == TOKEN_REGEX || l->now.is_negated) {
			if (!l->is_broken)
				line_break(l,
				    "`%s` needs its value; write text \"…\", note \"…\" or until "
				    "YYYY-MM-DD",
				    words_options[option]);
			return;
		}
		read_option_value(l, r, option);
		line_advance(l);
	}
}

void
compile_line(struct compiler *c, struct span text)
{
	struct line l = {.c = c, .lexer = {.rest = text, .memory = &c->s->memory}};
	struct rule r = {
	    .id = c->rule, .list = RULE_NO_LIST, .expires_ms = INT64_MAX, .line = text};
	bool is_white;

	line_advance(&l);
	if (line_at(&l, "observe")) {
		r.is_observed = true;
		line_advance(&l);
	}
	is_white = line_at(&l, "dnswl");
	if (is_white || line_at(&l, "dnsbl")) {
		line_advance(&l);
		compile_list_line(&l, &r, is_white);
	} else if (compile_verb(&l, &r)) {
		read_facets(&l, &r);
	}
	read_options(&l, &r);
	compile_add(c, &r);
}

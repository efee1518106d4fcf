/* listline.c - dnsbl and dnswl lines, and the list files behind `list:NAME`. */
#include "policy/rules/compiler.h"

#include <stdio.h>

/* What a line says of whom it asks about, in the order of enum list_of. */
static const enum rule_stage known_at[] = {
    RULE_AT_CONNECT, RULE_AT_CONNECT, RULE_AT_HELO, RULE_AT_MAIL, RULE_AT_DATA};

/* A name that is asked with 32 nibbles and their dots in front must still fit 253 (RFC 1035). */
enum {
	ZONE_MAX = 253 - 64,
	LABEL_MAX = 63,
	LISTED_BY_LENGTH = 10,
	KEY_MAX = VALUELIST_NAME_MAX + 8
};

static bool
is_label(struct span label)
{
	for (size_t i = 0; i < label.n; i++) {
		char c = char_lower(label.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
	}
	return label.n > 0 && label.n <= LABEL_MAX;
}

static bool
is_zone(struct span zone)
{
	if (zone.n == 0 || zone.n > ZONE_MAX || span_find(zone, '.') == zone.n)
		return false;
	while (zone.n > 0) {
		bool has_more = span_find(zone, '.') < zone.n;

		if (!is_label(span_cut(&zone, '.')) || (has_more && zone.n == 0))
			return false;
	}
	return true;
}

/* "Listed by ZONE", the zone in lower case. */
static struct span
listed_by(struct arena *memory, struct span zone)
{
	char *copy = arena_alloc(memory, LISTED_BY_LENGTH + zone.n);

	memcpy(copy, "Listed by ", LISTED_BY_LENGTH);
	for (size_t i = 0; i < zone.n; i++)
		copy[LISTED_BY_LENGTH + i] = char_lower(zone.p[i]);
	return span_of(copy, LISTED_BY_LENGTH + zone.n);
}

/* "A[-B][,…]"; a comma at a word's end goes on with the next word. */
static void
read_answers(struct line *l, struct list_ranges *ranges)
{
	bool has_more = true;

	ranges->n = 0;
	line_advance(l);
	while (has_more && line_at_word(l)) {
		struct span rest = l->now.text;

		has_more = rest.n > 0 && rest.p[rest.n - 1] == ',';
		while (rest.n > 0) {
			struct err err = {0};
			struct answer_range range;

			if (answer_range_parse(span_cut(&rest, ','), &range, &err) < 0) {
				rule_complain(l->c, "%s", err.text);
				continue;
			}
			if (ranges->n == ANSWER_RANGES_MAX) {
				line_break(l, "more than %d ranges of answers; write wider ones",
				    ANSWER_RANGES_MAX);
				return;
			}
			ranges->items[ranges->n++] = range;
		}
		line_advance(l);
	}
	if (has_more && !l->is_broken)
		line_break(l, "answers needs a range; write for instance `answers "
			      "127.0.0.2-127.0.0.11,127.0.1.*`");
}

static void
read_list_verb(struct line *l, struct rule *r, bool is_white)
{
	char hint[160];

	if (line_at(l, "observe") && !r->is_observed) {
		r->is_observed = true;
		line_advance(l);
	}
	if (line_at(l, "of")) {
		line_break(l, "`of` stands behind the zone; write `dnsbl ZONE of from answers "
			      "127.0.1.2-99 reject`");
		return;
	}
	if (line_at_word(l) && !words_have(words_verbs, l->now.text) &&
	    !words_have(words_options, l->now.text)) {
		words_hint(l->now.text, words_list_verbs, hint, sizeof(hint));
		line_break(l, "`%.*s` is no word of a %s line; %s",
		    SPAN_ARG(span_take(l->now.text, 80)), is_white ? "dnswl" : "dnsbl", hint);
		return;
	}
	if (!l->has || (line_at_word(l) && words_have(words_options, l->now.text))) {
		if (!l->is_broken)
			line_break(l, is_white ? "what to do is missing; write `dnswl ZONE answers "
						 "127.0.0.2 accept`"
					       : "what to do is missing; write reject, tempfail, "
						 "quarantine, discard, hold, keep, tag NAME or "
						 "score N behind the zone and its answers");
		return;
	}
	if (!compile_verb(l, r))
		return;
	if (is_white && r->verb != RULE_ACCEPT)
		line_break(l, "a dnswl line can only accept; use a dnsbl line for `%s`",
		    rule_verb_name(r->verb));
	else if (!is_white && r->verb == RULE_ACCEPT)
		line_break(l, "a dnsbl line cannot accept; use a dnswl line");
}

static bool
read_subject(struct line *l, enum list_of *of)
{
	char hint[160];

	for (int i = 0; words_subjects[i] != NULL; i++) {
		if (!line_at(l, words_subjects[i]))
			continue;
		*of = (enum list_of)i;
		line_advance(l);
		return !l->is_broken;
	}
	if (l->is_broken)
		return false;
	if (l->has)
		words_hint(l->now.text, words_subjects, hint, sizeof(hint));
	line_break(l, "`of` needs what the list is asked about; %s",
	    l->has ? hint : "write client, host, helo, from or url");
	return false;
}

/* "of SUBJECT [whole] [addresses]". */
static void
read_of(struct line *l, struct dns_list *list)
{
	line_advance(l);
	if (!read_subject(l, &list->of))
		return;
	if (line_at(l, "whole")) {
		list->is_whole = true;
		line_advance(l);
	}
	if (line_at(l, "addresses")) {
		list->has_addresses = true;
		line_advance(l);
	}
	if (list->is_whole && list->of == LIST_OF_CLIENT)
		line_break(l, "a client is an address and has no whole name; leave `whole` out");
	else if (list->has_addresses && list->of != LIST_OF_URL)
		line_break(l, "only URLs hold addresses besides names; write `of url addresses`");
	else if (list->is_white && list->of > LIST_OF_HOST)
		line_break(l,
		    "a dnswl line is of client or host: %s is what the sender says of itself",
		    words_subjects[list->of]);
}

/* No more is parsed of a line that is broken, and its list counts for nothing. */
static void
add_list(
    struct line *l, struct rule *r, const struct dns_list *list, const struct list_ranges *ranges)
{
	struct snapshot *s = l->c->s;

	if (s->n_lists == POLICY_LISTS_MAX) {
		if (!l->is_broken)
			line_break(
			    l, "more than %d dnsbl and dnswl lines; remove one", POLICY_LISTS_MAX);
		return;
	}
	r->condition = listed_by(&s->memory, list->zone);
	r->list = (uint16_t)s->n_lists;
	r->stage = known_at[list->of];
	if (list->of == LIST_OF_HOST)
		s->facets |= 1u << FACET_HOST;
	s->ranges[s->n_lists] = *ranges;
	s->lists[s->n_lists] = *list;
	s->lists[s->n_lists++].zone = span_skip(r->condition, LISTED_BY_LENGTH);
}

void
compile_list_line(struct line *l, struct rule *r, bool is_white)
{
	struct list_ranges ranges = {.items = {answer_range_default()}, .n = 1};
	struct dns_list list = {.rule = r->id, .is_white = is_white};
	struct span zone = l->now.text;

	if (line_at_word(l) && zone.n > 1 && zone.p[zone.n - 1] == '.')
		zone = span_take(zone, zone.n - 1);
	if (!line_at_word(l) || !is_zone(zone)) {
		if (!l->is_broken)
			line_break(l, "a %s line needs its zone; write for instance `%s",
			    is_white ? "dnswl" : "dnsbl",
			    is_white
				? "dnswl white.example.net answers 127.0.*.2-3 accept`"
				: "dnsbl zen.example.net answers 127.0.0.2-127.0.0.11 reject`");
		return;
	}
	list.zone = zone;
	line_advance(l);
	if (line_at(l, "of"))
		read_of(l, &list);
	if (line_at(l, "answers"))
		read_answers(l, &ranges);
	read_list_verb(l, r, is_white);
	add_list(l, r, &list, &ranges);
}

struct values_errors {
	struct compiler *c;
	struct span name;
};

static void
on_wrong_value(void *arg, uint32_t number, const char *text)
{
	struct values_errors *e = arg;
	const char *file = e->c->file;
	uint32_t at = e->c->line;
	char path[VALUELIST_NAME_MAX + 16];

	(void)snprintf(path, sizeof(path), "lists/%.*s.txt", SPAN_ARG(e->name)); /* fits */
	e->c->file = path;
	e->c->line = number;
	rule_complain(e->c, "%s", text);
	e->c->file = file;
	e->c->line = at;
}

/* Reads the file; NULL: complained. */
static struct valuelist *
load_values(struct compiler *c, struct span name, enum value_kind kind)
{
	struct buf text = BUF_INIT(VALUELIST_TEXT_MAX);
	struct values_errors arg = {c, name};
	struct valuelist *list = NULL;
	struct err err = {0};

	if (c->reader == NULL)
		rule_complain(c, "list:%.*s cannot be read here; give the values in the rule",
		    SPAN_ARG(name));
	else if (c->reader(c->reader_arg, name, &text, &err) < 0)
		rule_complain(c,
		    "list:%.*s: %s; put one value a line into lists/%.*s.txt in state_dir",
		    SPAN_ARG(name), err.text, SPAN_ARG(name));
	else
		list = valuelist_parse(buf_span(&text), kind, &c->s->room, on_wrong_value, &arg);
	buf_free(&text);
	return list;
}

const struct valuelist *
compile_values(struct compiler *c, struct span name, enum value_kind kind)
{
	char key[KEY_MAX];
	struct span key_span;
	struct valuelist *list;
	struct snapshot *s = c->s;

	if (!valuelist_is_name(name)) {
		rule_complain(c,
		    "`list:%.*s` is no list; a name is 1 to %d letters, digits, -, _ and dots",
		    SPAN_ARG(span_take(name, 80)), VALUELIST_NAME_MAX);
		return NULL;
	}
	/* A file is read once for each kind: the same text means other things to other facets. */
	key_span =
	    span_of(key, (size_t)snprintf(key, sizeof(key), "%d/%.*s", (int)kind, SPAN_ARG(name)));
	list = map_get(c->values, key_span);
	if (list != NULL)
		return list;
	list = load_values(c, name, kind);
	if (list == NULL)
		return NULL;
	(void)map_set(c->values, key_span, list); /* nothing stood there */
	s->values = mem_grow(s->values, (s->n_values + 1) * sizeof(struct valuelist *));
	s->values[s->n_values++] = list;
	return list;
}

/* snapshot.c - a snapshot's life, and what others may read of it. */
#include "policy/rules/compiler.h"
#include "policy/rules/index.h"
#include "relay/base/utf8.h"
#include "relay/base/wire.h"

#include <stdio.h>
#include <stdlib.h>

/* Arena bytes that a byte of policy text may need (the shortest rule with a facet, `tag a to b`,
 * needs about 250 for its ten and the line's end), and what an empty text needs. */
enum { ARENA_FACTOR = 64, ARENA_FIRST = 1024 * 1024, RULES_FIRST = 64, ORDER_FIRST = 16 };

void
rule_complain(struct compiler *c, const char *fmt, ...)
{
	char text[512];
	va_list args;

	c->errors->n++;
	if (c->errors->lines.n > ERRORS_TEXT_MAX)
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* a cut message is still one */
	va_end(args);
	(void)buf_addf(
	    &c->errors->lines, "%s:%u: %s\n", c->file, c->line, text); /* bounded above */
}

static struct snapshot *
snapshot_new(struct span text)
{
	struct snapshot *s = mem_alloc(sizeof(*s));

	arena_init(&s->memory, text.n * ARENA_FACTOR + ARENA_FIRST);
	regex_room_init(&s->room);
	s->holders = 1;
	s->text = arena_copy(&s->memory, text);
	return s;
}

static void
row_free(struct rule_row *row)
{
	mem_free(row->items);
	index_free(&row->index);
}

static void
snapshot_free(struct snapshot *s)
{
	regex_room_free(&s->room);
	for (size_t i = 0; i < s->n_values; i++)
		valuelist_free(&s->values[i]);
	mem_free(s->values);
	for (int i = 0; i < RULE_STAGES; i++) {
		row_free(&s->stages[i].marks);
		row_free(&s->stages[i].deciders);
	}
	mem_free(s->rules);
	mem_free(s->by_id);
	mem_free(s->predicates);
	arena_free(&s->memory);
	mem_free(s);
}

static void
row_add(struct rule_row *row, uint32_t index)
{
	if (row->n == row->cap) {
		row->cap = row->cap == 0 ? ORDER_FIRST : row->cap * 2;
		row->items = mem_grow(row->items, row->cap * sizeof(*row->items));
	}
	row->items[row->n++] = index;
}

void
compile_add(struct compiler *c, const struct rule *r)
{
	struct snapshot *s = c->s;
	struct rule_order *order = &s->stages[r->stage];
	bool is_mark = r->is_observed ||
		       (r->list == RULE_NO_LIST && (r->verb == RULE_TAG || r->verb == RULE_SCORE));

	if (s->n_rules == s->cap_rules) {
		s->cap_rules = s->cap_rules == 0 ? RULES_FIRST : s->cap_rules * 2;
		s->rules = mem_grow(s->rules, s->cap_rules * sizeof(*s->rules));
	}
	row_add(is_mark ? &order->marks : &order->deciders, (uint32_t)s->n_rules);
	s->rules[s->n_rules++] = *r;
}

static bool
is_printable(struct span line)
{
	for (size_t i = 0; i < line.n; i++)
		if (((unsigned char)line.p[i] < 32 && line.p[i] != '\t') || line.p[i] == 127)
			return false;
	return true;
}

static void
compile_text(struct compiler *c, struct span text)
{
	while (text.n > 0) {
		struct span line = span_trim(span_cut(&text, '\n'));

		c->line++;
		if (line.n > RULE_LINE_MAX)
			rule_complain(c, "a line of %zu bytes; at most %d", line.n, RULE_LINE_MAX);
		else if (!utf8_is_valid(line))
			rule_complain(c, "not UTF-8 text; save the policy as UTF-8");
		else if (!is_printable(line))
			rule_complain(c, "a control character; in a regex write it as \\x{…}");
		else if (line.n > 0 && line.p[0] != '#' && c->s->n_rules == POLICY_RULES_MAX)
			rule_complain(c,
			    "more than %d rules; put values into a list file and write list:NAME",
			    POLICY_RULES_MAX);
		else if (line.n > 0 && line.p[0] != '#') {
			c->rule++;
			compile_line(c, line);
		}
	}
}

static void
build_indexes(struct snapshot *s)
{
	for (int i = 0; i < RULE_STAGES; i++) {
		struct rule_order *order = &s->stages[i];

		index_build(&order->marks.index, s->rules, order->marks.items, order->marks.n);
		index_build(
		    &order->deciders.index, s->rules, order->deciders.items, order->deciders.n);
	}
}

struct snapshot *
snapshot_parse(struct span text, const char *file, list_reader *reader, void *reader_arg,
    struct policy_errors *errors)
{
	struct compiler c = {
	    .reader = reader, .reader_arg = reader_arg, .errors = errors, .file = file};

	*errors = (struct policy_errors){.lines = BUF_INIT(2 * ERRORS_TEXT_MAX)};
	if (text.n > POLICY_TEXT_MAX) {
		rule_complain(&c, "a policy of %zu bytes; at most %d", text.n, POLICY_TEXT_MAX);
		return NULL;
	}
	c.s = snapshot_new(text);
	c.values = map_new();
	compile_text(&c, c.s->text);
	map_free(&c.values);
	if (errors->n == 0) {
		build_indexes(c.s);
		return c.s;
	}
	snapshot_release(&c.s);
	return NULL;
}

struct snapshot *
snapshot_hold(struct snapshot *s)
{
	must(s->holders > 0);
	s->holders++;
	return s;
}

void
snapshot_release(struct snapshot **s)
{
	if (*s == NULL)
		return;
	must((*s)->holders > 0);
	if (--(*s)->holders == 0)
		snapshot_free(*s);
	*s = NULL;
}

uint64_t
snapshot_version(const struct snapshot *s)
{
	return s->version;
}

void
snapshot_set_version(struct snapshot *s, uint64_t version)
{
	s->version = version;
}

bool
snapshot_needs(const struct snapshot *s, enum facet facet)
{
	return s->facets >> facet & 1;
}

size_t
snapshot_rule_count(const struct snapshot *s)
{
	return s->n_rules;
}

uint32_t
snapshot_rule_id(const struct snapshot *s, size_t i)
{
	must(i < s->n_rules);
	return s->rules[i].id;
}

struct place {
	uint32_t id, index;
};

static int
by_rising_id(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* The rules' places by rising id; NULL: not one id for each. */
static struct place *
read_places(struct span ids, size_t n)
{
	struct place *places = mem_array(n, sizeof(*places));
	struct wire w = wire_over(ids);
	bool is_good = ids.n == n * sizeof(uint32_t);

	for (size_t i = 0; is_good && i < n; i++)
		places[i] = (struct place){get_u32(&w), (uint32_t)i};
	if (is_good)
		qsort(places, n, sizeof(*places), by_rising_id);
	for (size_t i = 0; is_good && i < n; i++)
		is_good = places[i].id != (i == 0 ? 0 : places[i - 1].id);
	if (!is_good)
		mem_free(places);
	return is_good ? places : NULL;
}

bool
snapshot_set_ids(struct snapshot *s, struct span ids)
{
	struct place *places = read_places(ids, s->n_rules);

	if (places == NULL)
		return false;
	mem_free(s->by_id);
	s->by_id = mem_array(s->n_rules, sizeof(*s->by_id));
	for (size_t i = 0; i < s->n_rules; i++) {
		s->by_id[i] = places[i].index;
		s->rules[places[i].index].id = places[i].id;
	}
	for (size_t i = 0; i < s->n_rules; i++)
		if (s->rules[i].list != RULE_NO_LIST)
			s->lists[s->rules[i].list].rule = s->rules[i].id;
	mem_free(places);
	return true;
}

const struct rule *
snapshot_rule(const struct snapshot *s, uint32_t id)
{
	size_t low = 0, high = s->n_rules;

	if (s->by_id == NULL)
		return id >= 1 && id <= s->n_rules ? &s->rules[id - 1] : NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct rule *r = &s->rules[s->by_id[middle]];

		if (r->id == id)
			return r;
		if (r->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct span
snapshot_rule_text(const struct snapshot *s, uint32_t id)
{
	const struct rule *r = snapshot_rule(s, id);

	return r != NULL ? r->line : SPAN("");
}

int64_t
snapshot_rule_expires_ms(const struct snapshot *s, uint32_t id)
{
	const struct rule *r = snapshot_rule(s, id);

	return r != NULL ? r->expires_ms : INT64_MAX;
}

struct span
snapshot_text(const struct snapshot *s)
{
	return s->text;
}

size_t
snapshot_list_count(const struct snapshot *s)
{
	return s->n_lists;
}

bool
snapshot_has_list(const struct snapshot *s, enum list_of of)
{
	for (size_t i = 0; i < s->n_lists; i++)
		if (s->lists[i].of == of)
			return true;
	return false;
}

const struct dns_list *
snapshot_list(const struct snapshot *s, size_t i)
{
	must(i < s->n_lists);
	return &s->lists[i];
}

struct list_answer
list_type_answer(const struct snapshot *s, size_t list, const uint32_t *addresses, size_t n)
{
	struct list_answer answer = {.state = LIST_UNKNOWN};

	must(list < s->n_lists);
	switch (
	    answer_type(s->ranges[list].items, s->ranges[list].n, addresses, n, &answer.address)) {
	case ANSWER_NOT_LISTED:
		answer.state = LIST_NOT_LISTED;
		break;
	case ANSWER_LISTED:
		answer.state = LIST_LISTED;
		break;
	case ANSWER_ERROR:
		answer.state = LIST_ERROR;
		break;
	}
	return answer;
}

void
snapshot_begin_message(const struct snapshot *s, uint64_t units)
{
	s->room.spending->is_shared = true;
	effort_begin(&s->room.spending->effort, units);
}

uint64_t
snapshot_effort_left(const struct snapshot *s)
{
	return s->room.spending->effort.left;
}

void
snapshot_end_message(const struct snapshot *s)
{
	s->room.spending->is_shared = false;
}

size_t
snapshot_predicate_count(const struct snapshot *s)
{
	return s->n_predicates;
}

const struct predicate *
snapshot_predicate(const struct snapshot *s, size_t i)
{
	must(i < s->n_predicates);
	return &s->predicates[i];
}

/* Of `list:NAME`, which may stand in quotes. */
static struct span
list_name(struct span written)
{
	struct span name = span_skip(written, span_rfind(written, ':') + 1);

	return span_take(name, span_find(name, '"'));
}

void
snapshot_content(const struct snapshot *s, struct buf *to,
    void (*on_list)(void *arg, struct span name), void *arg)
{
	for (size_t i = 0; i < s->n_predicates; i++) {
		const struct predicate *p = &s->predicates[i];

		/* The shortest verb: no line becomes longer than it was.  What fails is in to->failed. */
		(void)buf_add_str(to, "keep ");
		(void)buf_add_span(to, p->written);
		(void)buf_add_char(to, '\n');
		if (p->matcher->form == MATCH_LIST)
			on_list(arg, list_name(p->written));
	}
}

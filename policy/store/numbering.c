#include "policy/store/numbering.h"
#include "relay/base/err.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/base/wire.h"

/* The next rule line; false: that was all. */
static bool
next_rule(struct span *text, struct span *line)
{
	while (text->n > 0) {
		*line = span_trim(span_cut(text, '\n'));
		if (line->n > 0 && line->p[0] != '#')
			return true;
	}
	return false;
}

size_t
numbering_count(struct span text)
{
	struct span line;
	size_t n = 0;

	while (next_rule(&text, &line))
		n++;
	return n;
}

/* A rule line with its id, 0: none yet.  Of a known text those that are equal are a chain, in their
 * order. */
struct line {
	struct span text;
	uint32_t id;
	struct line *next, *last; /* last: of the chain, in its first one */
};

struct lines {
	struct line *items;
	size_t n;
};

static struct lines
read_lines(struct span text)
{
	struct lines l = {.n = numbering_count(text)};

	l.items = mem_array(l.n, sizeof(*l.items));
	for (size_t i = 0; i < l.n; i++)
		(void)next_rule(&text, &l.items[i].text); /* so many there are */
	return l;
}

static struct lines
read_known(const struct numbered *known)
{
	struct lines l = read_lines(known->text);
	struct wire w = wire_over(known->ids);

	for (size_t i = 0; i < l.n; i++)
		l.items[i].id = known->ids.n > 0 ? get_u32(&w) : (uint32_t)i + 1; /* bounded */
	return l;
}

/* Ids that were given already: two known texts may have the same rule, a damaged list one twice. */
struct taken {
	uint8_t *bits;
	uint32_t end; /* no id from here on was ever given */
};

/* Takes the id of a known line, if it can be had. */
static void
take_id(struct taken *t, struct line *to, const struct line *known)
{
	if (to->id != 0 || known->id == 0 || known->id >= t->end ||
	    (t->bits[known->id / 8] >> (known->id % 8) & 1))
		return;
	t->bits[known->id / 8] |= (uint8_t)(1U << (known->id % 8));
	to->id = known->id;
}

static void
append(struct map *chains, struct line *line)
{
	struct line *first = map_get(chains, line->text);

	line->last = line;
	if (first == NULL) {
		(void)map_set(chains, line->text, line); /* nothing stood there */
		return;
	}
	first->last->next = line;
	first->last = line;
}

/* The first of the equal lines, which leaves its chain; NULL: there is none left. */
static struct line *
take_first(struct map *chains, struct span text)
{
	struct line *first = map_get(chains, text);

	if (first == NULL)
		return NULL;
	if (first->next == NULL) {
		(void)map_remove(chains, text); /* `first` */
	} else {
		first->next->last = first->last;
		(void)map_set(chains, text, first->next); /* in place of `first` */
	}
	return first;
}

/* Most changes touch few lines: what is equal at both ends is not searched for. */
static void
match(struct lines *new, struct lines *old, struct taken *taken)
{
	size_t least = new->n < old->n ? new->n : old->n, head = 0, tail = 0;
	struct map *chains = map_new();

	while (head < least && span_eq(new->items[head].text, old->items[head].text))
		head++;
	while (tail < least - head &&
	       span_eq(new->items[new->n - 1 - tail].text, old->items[old->n - 1 - tail].text))
		tail++;
	for (size_t i = 0; i < head; i++)
		take_id(taken, &new->items[i], &old->items[i]);
	for (size_t i = 1; i <= tail; i++)
		take_id(taken, &new->items[new->n - i], &old->items[old->n - i]);
	for (size_t i = head; i < old->n - tail; i++)
		append(chains, &old->items[i]);
	for (size_t i = head; i < new->n - tail; i++) {
		struct line *line = &new->items[i], *known = NULL;

		do {
			known = line->id == 0 ? take_first(chains, line->text) : NULL;
			if (known != NULL)
				take_id(taken, line, known);
		} while (known != NULL);
	}
	map_free(&chains);
}

int
numbering_assign(
    struct span text, const struct numbered *known, size_t n_known, uint32_t *next, struct buf *ids)
{
	struct lines lines = read_lines(text);
	struct taken taken = {.bits = mem_alloc(*next / 8 + 1), .end = *next};
	int rc = 0;

	for (size_t i = 0; i < n_known; i++) {
		struct lines old = read_known(&known[i]);

		match(&lines, &old, &taken);
		mem_free(old.items);
	}
	for (size_t i = 0; rc == 0 && i < lines.n; i++) {
		if (lines.items[i].id == 0 && *next == UINT32_MAX)
			rc = -E_LIMIT;
		else
			put_u32(ids, lines.items[i].id != 0 ? lines.items[i].id : (*next)++);
	}
	mem_free(taken.bits);
	mem_free(lines.items);
	return ids->failed ? -E_LIMIT : rc;
}

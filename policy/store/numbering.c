#include "policy/store/numbering.h"
#include "relay/base/err.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/base/wire.h"

/* A rule line of a known text; those that are equal are a chain, in their order. */
struct line {
	uint32_t id;
	struct line *next, *last; /* last: of the chain, in its first one */
};

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

static void
append(struct map *lines, struct span text, struct line *line)
{
	struct line *first = map_get(lines, text);

	line->last = line;
	if (first == NULL) {
		(void)map_set(lines, text, line); /* nothing stood there */
		return;
	}
	first->last->next = line;
	first->last = line;
}

/* The rules of one known text, by their lines; `room` has a place for each. */
static void
learn(struct map *lines, const struct numbered *known, struct line *room)
{
	struct span text = known->text, line;
	struct wire w = wire_over(known->ids);
	uint32_t at = 0;

	while (next_rule(&text, &line)) {
		struct line *one = &room[at++];

		*one = (struct line){.id = known->ids.n > 0 ? get_u32(&w) : at};
		if (one->id > 0 && !w.failed)
			append(lines, line, one);
	}
}

/* The id of an equal line, which is then taken; 0: none is left. */
static uint32_t
take(struct map *lines, struct map *taken, struct span text)
{
	struct line *first;

	while ((first = map_get(lines, text)) != NULL) {
		if (first->next != NULL) {
			first->next->last = first->last;
			(void)map_set(lines, text, first->next); /* in place of `first` */
		} else {
			(void)map_remove(lines, text); /* `first` */
		}
		/* Two known texts may have the same rule. */
		if (map_set_u64(taken, first->id, first) == NULL)
			return first->id;
	}
	return 0;
}

/* Gives what is known; a rule that nobody knows has 0. */
static void
match(struct span text, const struct numbered *known, size_t n_known, uint32_t *found)
{
	struct map *taken = map_new();
	struct line **rooms = mem_array(n_known, sizeof(*rooms));

	for (size_t i = 0; i < n_known; i++) {
		struct map *lines = map_new();
		struct span rest = text, line;
		size_t n = numbering_count(known[i].text);

		rooms[i] = mem_array(n, sizeof(**rooms));
		learn(lines, &known[i], rooms[i]);
		for (size_t at = 0; next_rule(&rest, &line); at++)
			if (found[at] == 0)
				found[at] = take(lines, taken, line);
		map_free(&lines);
	}
	for (size_t i = 0; i < n_known; i++)
		mem_free(rooms[i]);
	mem_free(rooms);
	map_free(&taken);
}

int
numbering_assign(
    struct span text, const struct numbered *known, size_t n_known, uint32_t *next, struct buf *ids)
{
	size_t n = numbering_count(text);
	uint32_t *found = mem_array(n, sizeof(*found));
	int rc = 0;

	match(text, known, n_known, found);
	for (size_t i = 0; i < n; i++) {
		if (found[i] == 0 && *next == UINT32_MAX) {
			rc = -E_LIMIT;
			break;
		}
		put_u32(ids, found[i] != 0 ? found[i] : (*next)++);
	}
	mem_free(found);
	return ids->failed ? -E_LIMIT : rc;
}

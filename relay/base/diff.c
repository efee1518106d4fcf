#include "relay/base/diff.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"

struct line {
	struct span text;
	uint64_t hash;
};

struct lines {
	struct line *items;
	size_t n;
};

struct diff {
	struct lines from, to; /* without their common beginning and end */
	size_t n_begin;        /* lines of that beginning */
	void (*on_line)(void *arg, const struct diff_line *line);
	void *arg;
};

static struct lines
split(struct span text)
{
	struct lines l = {0};
	size_t size = 0;

	while (text.n > 0) {
		struct span line = span_cut(&text, '\n');

		if (l.n == size) {
			size = size > 0 ? size * 2 : 64;
			l.items = mem_grow(l.items, size * sizeof(*l.items));
		}
		l.items[l.n++] = (struct line){line, map_hash(line)};
	}
	return l;
}

static bool
is_same(const struct line *a, const struct line *b)
{
	return a->hash == b->hash && span_eq(a->text, b->text);
}

static void
tell(const struct diff *d, bool is_added, size_t i)
{
	const struct lines *l = is_added ? &d->to : &d->from;
	struct diff_line line = {is_added, d->n_begin + i + 1, l->items[i].text};

	d->on_line(d->arg, &line);
}

/* From (x, y) on, removes and adds in turn as the path says; steps holds, for each edit, whether it
 * added. */
static void
tell_path(const struct diff *d, const bool *steps, size_t n_steps)
{
	size_t x = 0, y = 0;

	for (size_t i = 0; i < n_steps; i++) {
		while (
		    x < d->from.n && y < d->to.n && is_same(&d->from.items[x], &d->to.items[y])) {
			x++;
			y++;
		}
		tell(d, steps[i], steps[i] ? y : x);
		if (steps[i])
			y++;
		else
			x++;
	}
}

static void
tell_all(const struct diff *d)
{
	for (size_t i = 0; i < d->from.n; i++)
		tell(d, false, i);
	for (size_t i = 0; i < d->to.n; i++)
		tell(d, true, i);
}

/*
 * How far along each diagonal k = x - y one comes with e edits: row e has e + 1 diagonals, from -e to
 * e in steps of 2.  Rows are kept to find the way back.
 */
struct search {
	const struct diff *d;
	size_t *rows[DIFF_MAX + 1]; /* x, by (k + e) / 2 */
};

static size_t
slide(const struct diff *d, size_t x, int64_t k)
{
	size_t y = (size_t)((int64_t)x - k);

	while (x < d->from.n && y < d->to.n && is_same(&d->from.items[x], &d->to.items[y])) {
		x++;
		y++;
	}
	return x;
}

/* Whether diagonal k of row e was best reached by an addition (from k + 1) and not a removal. */
static bool
is_from_above(const struct search *s, int e, int k)
{
	const size_t *row = s->rows[e - 1];

	if (k == -e)
		return true;
	if (k == e)
		return false;
	return row[(k - 1 + e - 1) / 2] < row[(k + 1 + e - 1) / 2];
}

/* Fills row e; true: the end of both texts is reached. */
static bool
advance(struct search *s, int e)
{
	const struct diff *d = s->d;
	bool is_end = false;

	s->rows[e] = mem_array((size_t)e + 1, sizeof(*s->rows[e]));
	for (int k = -e; k <= e; k += 2) {
		size_t x = 0;

		if (e > 0 && is_from_above(s, e, k))
			x = s->rows[e - 1][(k + 1 + e - 1) / 2];
		else if (e > 0)
			x = s->rows[e - 1][(k - 1 + e - 1) / 2] + 1;
		/* Beyond an edge there is nothing: such a diagonal stays where it is. */
		if (x <= d->from.n && (int64_t)x - k >= 0 && (size_t)((int64_t)x - k) <= d->to.n)
			x = slide(d, x, k);
		s->rows[e][(k + e) / 2] = x;
		is_end |= x == d->from.n && (int64_t)x - k == (int64_t)d->to.n;
	}
	return is_end;
}

static void
find_path(const struct diff *d)
{
	struct search *s = mem_alloc(sizeof(*s));
	bool *steps = mem_alloc(DIFF_MAX + 1);
	int e = 0, k = (int)((int64_t)d->from.n - (int64_t)d->to.n);
	bool is_found = false;

	s->d = d;
	while (!(is_found = advance(s, e)) && e < DIFF_MAX)
		e++;
	if (!is_found) {
		tell_all(d);
	} else {
		for (int i = e; i > 0; i--) {
			steps[i - 1] = is_from_above(s, i, k);
			k += steps[i - 1] ? 1 : -1;
		}
		tell_path(d, steps, (size_t)e);
	}
	for (int i = 0; i <= e; i++)
		mem_free(s->rows[i]);
	mem_free(s);
	mem_free(steps);
}

void
diff_texts(struct span from, struct span to,
    void (*on_line)(void *arg, const struct diff_line *line), void *arg)
{
	struct diff d = {split(from), split(to), 0, on_line, arg};
	struct line *froms = d.from.items, *tos = d.to.items;

	while (d.from.n > 0 && d.to.n > 0 && is_same(d.from.items, d.to.items)) {
		d.n_begin++;
		d.from.items++;
		d.from.n--;
		d.to.items++;
		d.to.n--;
	}
	while (d.from.n > 0 && d.to.n > 0 &&
	       is_same(&d.from.items[d.from.n - 1], &d.to.items[d.to.n - 1])) {
		d.from.n--;
		d.to.n--;
	}
	if (d.from.n == 0 || d.to.n == 0)
		tell_all(&d);
	else
		find_path(&d);
	mem_free(froms);
	mem_free(tos);
}

#include "relay/base/nearest.h"

enum { NEAREST_CUT_MIN = 3 };

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned
nearest_distance(struct span a, struct span b)
{
	unsigned rows[3][NEAREST_WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	a = span_take(a, NEAREST_WORD_MAX);
	b = span_take(b, NEAREST_WORD_MAX);
	for (unsigned j = 0; j <= b.n; j++)
		above[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		unsigned *free_row = before;
		char c = char_lower(a.p[i - 1]);

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b.n; j++) {
			char d = char_lower(b.p[j - 1]);

			row[j] = least(above[j], row[j - 1]) + 1;
			row[j] = least(row[j], above[j - 1] + (c != d));
			if (i > 1 && j > 1 && c == char_lower(b.p[j - 2]) &&
			    d == char_lower(a.p[i - 2]))
				row[j] = least(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = free_row;
	}
	return above[b.n];
}

/* "expire" for "expire_after": a word cut short is nearer than letters alone would say. */
static bool
is_cut_short(struct span word, struct span known)
{
	return word.n >= NEAREST_CUT_MIN && span_starts_nocase(known, word);
}

size_t
nearest_word(struct span word, const char *const *words, size_t n)
{
	size_t best = n;
	unsigned best_distance = 0;

	for (size_t i = 0; i < n; i++) {
		struct span known = span_str(words[i]);
		unsigned distance = is_cut_short(word, known) ? 1 : nearest_distance(word, known);

		if (best == n || distance < best_distance) {
			best = i;
			best_distance = distance;
		}
	}
	return best;
}

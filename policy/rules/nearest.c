#include "policy/rules/nearest.h"

enum { WORD_MAX = 32 };

static size_t
least(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein, without case; both at most WORD_MAX bytes. */
static size_t
distance(struct span a, struct span b)
{
	size_t row[WORD_MAX + 1];

	for (size_t k = 0; k <= b.n; k++)
		row[k] = k;
	for (size_t i = 1; i <= a.n; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t k = 1; k <= b.n; k++) {
			size_t above = row[k];
			bool is_same = char_lower(a.p[i - 1]) == char_lower(b.p[k - 1]);

			row[k] = least(above + 1, row[k - 1] + 1, corner + (is_same ? 0 : 1));
			corner = above;
		}
	}
	return row[b.n];
}

const char *
nearest_word(struct span word, const char *const *words)
{
	const char *best = NULL;
	size_t best_distance = word.n <= 3 ? 2 : 3;

	if (word.n == 0 || word.n > WORD_MAX)
		return NULL;
	for (; *words != NULL; words++) {
		struct span known = span_str(*words);
		size_t d = known.n <= WORD_MAX ? distance(word, known) : WORD_MAX;

		if (d < best_distance && d < known.n) {
			best = *words;
			best_distance = d;
		}
	}
	return best;
}

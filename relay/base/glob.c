#include "relay/base/glob.h"

bool
glob_match(struct span glob, struct span text)
{
	size_t g = 0, t = 0, star = SIZE_MAX, from = 0;

	/* Only the last star needs to be taken back: it may hold whatever the earlier ones could. */
	while (t < text.n) {
		if (g < glob.n && glob.p[g] == '*') {
			star = g++;
			from = t;
		} else if (g < glob.n && char_lower(glob.p[g]) == char_lower(text.p[t])) {
			g++;
			t++;
		} else if (star != SIZE_MAX) {
			g = star + 1;
			t = ++from;
		} else {
			return false;
		}
	}
	while (g < glob.n && glob.p[g] == '*')
		g++;
	return g == glob.n;
}

#include "policy/decide/kept.h"
#include "relay/base/mem.h"

#include <stddef.h>
#include <string.h>

enum {
	FIXED = offsetof(struct verdict, tags)
}; /* what is always there; arrays that fill up follow */

struct kept_verdict {
	size_t n; /* bytes of all */
	_Alignas(struct verdict) unsigned char bytes[];
};

static const unsigned char *
take(void *to, const unsigned char *from, size_t n)
{
	memcpy(to, from, n);
	return from + n;
}

static unsigned char *
put(unsigned char *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	return to + n;
}

struct kept_verdict *
kept_new(const struct verdict *v)
{
	size_t tags = v->n_tags * sizeof(v->tags[0]),
	       observed = v->n_observed * sizeof(v->observed[0]), text = strlen(v->text) + 1,
	       why = strlen(v->why) + 1,
	       n = sizeof(struct kept_verdict) + FIXED + tags + observed + text + why;
	struct kept_verdict *k = mem_alloc(n);
	unsigned char *to = k->bytes;

	k->n = n;
	to = put(to, v, FIXED);
	to = put(to, v->tags, tags);
	to = put(to, v->observed, observed);
	to = put(to, v->text, text);
	put(to, v->why, why);
	return k;
}

struct verdict
kept_verdict(const struct kept_verdict *k)
{
	struct verdict v = {0};
	const unsigned char *from;

	if (k == NULL)
		return v;
	from = take(&v, k->bytes, FIXED);
	from = take(v.tags, from, v.n_tags * sizeof(v.tags[0]));
	from = take(v.observed, from, v.n_observed * sizeof(v.observed[0]));
	from = take(v.text, from, strlen((const char *)from) + 1);
	take(v.why, from, strlen((const char *)from) + 1);
	return v;
}

enum action
kept_action(const struct kept_verdict *k)
{
	enum action action = ACTION_PASS;

	if (k != NULL)
		memcpy(&action, k->bytes + offsetof(struct verdict, action), sizeof(action));
	return action;
}

size_t
kept_bytes(const struct kept_verdict *k)
{
	return k != NULL ? k->n : 0;
}

#include "policy/rules/compiler.h"
#include "relay/base/nearest.h"

#include <stdio.h>

const char *const words_verbs[] = {"accept", "reject", "tempfail", "quarantine", "discard", "hold",
    "keep", "tag", "score", "observe", "dnsbl", "dnswl", NULL};
const char *const words_list_verbs[] = {"of", "answers", "reject", "tempfail", "quarantine",
    "discard", "hold", "keep", "tag", "score", NULL};
const char *const words_facets[] = {"client", "host", "helo", "from", "to", "country", "asn", "tls",
    "auth", "tag", "subject", "header", "body", "url", "attachment", "attachment-type", NULL};
const char *const words_subjects[] = {"client", "host", "helo", "from", "url", NULL};
const char *const words_options[] = {"text", "note", "until", NULL};

bool
words_have(const char *const *words, struct span word)
{
	for (; *words != NULL; words++)
		if (span_eq(word, span_str(*words)))
			return true;
	return false;
}

bool
words_facet(struct span word, enum facet *out)
{
	for (int i = 0; words_facets[i] != NULL; i++) {
		if (!span_eq(word, span_str(words_facets[i])))
			continue;
		*out = (enum facet)i;
		return true;
	}
	return false;
}

const char *
facet_name(enum facet facet)
{
	return words_facets[facet];
}

const char *
rule_verb_name(enum rule_verb verb)
{
	return words_verbs[verb];
}

void
words_hint(struct span word, const char *const *words, char *to, size_t size)
{
	size_t n = 0, best;

	while (words[n] != NULL)
		n++;
	best = nearest_word(word, words, n);
	/* A third of its letters may be wrong; beyond that it was meant as something else. */
	if (best < n && nearest_distance(word, span_str(words[best])) * 3 <= word.n) {
		(void)snprintf(to, size, "did you mean `%s`?", words[best]); /* fits */
		return;
	}
	n = (size_t)snprintf(to, size, "use one of");
	for (; *words != NULL && n < size; words++)
		n += (size_t)snprintf(to + n, size - n, " %s", *words);
}

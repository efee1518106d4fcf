/* nearest.h - the known word that a mistyped one most likely means. */
#ifndef RULES_NEAREST_H
#define RULES_NEAREST_H
#include "relay/base/span.h"

/* `words` ends with NULL.  NULL when none is near (Levenshtein distance over a third). */
const char *nearest_word(struct span word, const char *const *words);

#endif

/*
 * nearest.h - the known word that an unknown one was most likely meant to be.
 *
 * Pure.  The distance is the number of letters to add, drop, change or swap with their neighbour
 * (Damerau 1964, restricted); upper and lower case are the same letter here.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H
#include "relay/base/span.h"

enum { NEAREST_WORD_MAX = 64 }; /* of longer words only this many bytes are compared */

unsigned nearest_distance(struct span a, struct span b);
/* Index of the word of `words` with the least distance, the first of equals; n when n is 0. */
size_t nearest_word(struct span word, const char *const *words, size_t n);

#endif

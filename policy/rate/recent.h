/*
 * recent.h - a bounded table of small records by key that forgets what was not used for longest.
 *
 * Two generations: what is looked at moves into the young one; when that is half of all, the old one
 * is dropped and the young one grows old.  So the most recent half is always there, at a constant
 * cost, without a list of uses.  Knows no time.
 */
#ifndef RATE_RECENT_H
#define RATE_RECENT_H
#include "relay/base/span.h"

struct recent;

/* Records of `size` bytes, at most `max` (2 or more) of them. */
struct recent *recent_new(size_t size, size_t max);
void recent_free(struct recent **r); /* NULL is fine */
/* The record of this key, valid until the next recent_add; NULL: none. */
void *recent_get(struct recent *r, struct span key);
/* The same, made of zeros when there was none. */
void *recent_add(struct recent *r, struct span key);
void recent_remove(struct recent *r, struct span key); /* none there: fine */
size_t recent_count(const struct recent *r);
/* All records in no order; the table must not change meanwhile. */
void recent_each(const struct recent *r,
    void (*on_record)(void *arg, struct span key, const void *record), void *arg);

#endif

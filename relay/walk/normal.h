/*
 * normal.h - the copy of a message that is rewritten to one reading, out of what a worker says.
 *
 * Pure.  The worker's texts are content and cannot be known to be true; they are held to a form: fields
 * about the body and nothing else in the header section, whole lines of mail in the body, places that
 * part no CR from its LF.
 */
#ifndef WALK_NORMAL_H
#define WALK_NORMAL_H
#include "relay/walk/strip.h"

/* As strip_make, of the order's result->rewrite; notices give the outcomes for which the verdict
 * normalises as their reasons. */
int normal_order(const struct strip_order *o, struct stripped *to);

#endif

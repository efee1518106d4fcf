/*
 * scan_why.h - why a filter has failed for a message without a word of its own: its worker died, it is
 * switched off, or nobody could run it.  For logs, tags and people.
 */
#ifndef FRONT_SCAN_WHY_H
#define FRONT_SCAN_WHY_H
#include "relay/front/worker_pool.h"

/* The worker that had this message has died. */
void scan_note_end(struct scan *s, const struct worker_death *d);
/* Name of the filter it was at, "-" when it was at none of this message. */
const char *scan_blamed(const struct scan *s, const struct worker_death *d);
/* Why filter i of the flow is among those that `failed` names in on_done; points into `to`. */
struct span scan_why(const struct scan *s, size_t i, char to[SCAN_WHY_MAX]);

#endif

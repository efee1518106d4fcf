/*
 * clock.h - the only source of time, so that tests can own it.
 *
 * Monotonic milliseconds measure spans; wall milliseconds (since 1970, UTC) are written down.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
#include "relay/base/buf.h"

int64_t clock_mono_ms(void);
int64_t clock_wall_ms(void);
/* Tests only: both clocks stand at these values until the next call; wall_ms < 0 ends it. */
void clock_fake(int64_t mono_ms, int64_t wall_ms);
/* "2026-11-22T01:02:03.456Z" (RFC 3339, UTC). */
int clock_add_rfc3339(struct buf *to, int64_t wall_ms);
/* "Sun, 22 Nov 2026 01:02:03 +0000" (RFC 5322 section 3.3, UTC). */
int clock_add_rfc5322(struct buf *to, int64_t wall_ms);

#endif

/*
 * scalar.h - the single values of the configuration: text to number, size, time, name.
 *
 * Pure.  All of the span must be the value; false: it is none, and *out is untouched.
 */
#ifndef CONFIG_SCALAR_H
#define CONFIG_SCALAR_H
#include "relay/base/span.h"

enum {
	HOST_NAME_MAX_BYTES = 253,
	HOST_LABEL_MAX = 63,
	PATH_MAX_BYTES = 4000,
	SCORE_MILLI_MAX = 1000000000 /* a score of a million */
};

bool scalar_bool(struct span s, bool *out);       /* libconfuse's: true yes on, false no off */
bool scalar_size(struct span s, uint64_t *out);   /* bytes: 1024, 10K, 10M, 1G (powers of 1024) */
bool scalar_time(struct span s, int64_t *ms);     /* 300ms, 20s, 5m, 4h, 7d; the unit must stand */
bool scalar_milli(struct span s, int64_t *milli); /* -2.5 is -2500; at most three decimals */
/* Letters, digits and hyphens in labels divided by dots (RFC 1123 section 2.1), the last label
 * not all digits, no dot at the end; at most HOST_NAME_MAX_BYTES. */
bool scalar_is_host(struct span s);
/* local@host as a postmaster may be written: atoms of RFC 5321 section 4.1.2, a host name. */
bool scalar_is_address(struct span s);
/* From "/", without NUL and without "." or ".." as a component; at most PATH_MAX_BYTES. */
bool scalar_is_path(struct span s);
/* "host:port" and "[address]:port", as written to the parts; host may still be anything. */
bool scalar_host_port(struct span s, struct span *host, uint16_t *port);

#endif

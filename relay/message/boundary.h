/*
 * boundary.h - the delimiter lines of a multipart body (RFC 2046 section 5.1.1), as strict and as
 * lax readers see them.
 *
 * Pure.  Searches dashes, not lines: base64 has none, so most of what is large is passed at the
 * speed of memchr.
 */
#ifndef MESSAGE_BOUNDARY_H
#define MESSAGE_BOUNDARY_H
#include "relay/base/span.h"

enum {
	BOUNDARY_MAX = 70,        /* RFC 2046 section 5.1.1; longer ones are used, and flagged */
	BOUNDARY_WORD_MAX = 1000, /* of a guessed one */
	/* Close delimiters of one message behind which a header is looked for: each costs some
	 * microseconds, however short its line is. */
	BOUNDARY_LOOKS_MAX = 4000
};

enum delimiter { DELIMITER_NONE, DELIMITER_NEXT, DELIMITER_CLOSE };

/* A line that begins with the boundary: blanks may follow it; anything, for lax readers. */
enum delimiter delimiter_of(struct span line, struct span boundary, bool is_lax);
/* The next line from `at` on that begins with "--"; body.n when there is none. */
size_t boundary_dashes(struct span body, size_t at);
/* The next place from `at` on where "--" and the boundary stand, anywhere in a line; body.n when there is
 * none. */
size_t boundary_anywhere(struct span body, size_t at, struct span boundary);
/* Whether it stands somewhere else than at the start of a line. */
bool boundary_is_astray(struct span body, struct span boundary);
/* What a delimiter line is for readers to whom a close delimiter is one like any other where what stands
 * `behind` it begins like a part, with fields about a body.  *looks counts
 * those looked behind, one call after the other; past BOUNDARY_LOOKS_MAX a close delimiter is taken for one,
 * which the caller has to say. */
enum delimiter boundary_lax(
    struct span line, struct span behind, struct span boundary, size_t *looks);
/* The line that begins at `at`, line end included. */
struct span boundary_line(struct span body, size_t at);

/* Which lines of a body are delimiters: equal for two boundaries that divide it alike. */
struct boundary_map {
	size_t n, lax_n; /* next-part delimiters; those that only lax readers see */
	uint64_t hash;   /* of the places of n */
};

/* *looks: as boundary_lax counts them. */
struct boundary_map boundary_scan(struct span body, struct span boundary, size_t *looks);
/* The next boundary from *at on that a body without a declared one shows: what stands behind "--"
 * in a line before a header field.  Empty when there is none. */
struct span boundary_guess(struct span body, size_t *at);

#endif

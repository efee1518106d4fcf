/*
 * claims.h - what the header section of a part says about its body, in every way that readers take
 * it: where the section ends, and each value of Content-Type, Content-Transfer-Encoding and
 * Content-Disposition that somebody may believe.
 *
 * Pure.  Points into the part and the arena.
 */
#ifndef MESSAGE_CLAIMS_H
#define MESSAGE_CLAIMS_H
#include "relay/message/variants.h"

enum { CLAIMS_MAX = 6, CLAIMS_VIEWS_MAX = 4, CLAIMS_TYPES_MAX = 8 };

/* One way to divide a part into header section and body. */
struct claims_view {
	struct span section, body;
	bool
	    is_late; /* behind empty lines: those who do not read it so are shown all of it as text */
};

struct claims_split {
	struct claims_view views[CLAIMS_VIEWS_MAX]; /* the likeliest first */
	size_t n;
	bool is_bad;  /* lines that are no fields, too many or too long a section */
	bool is_long; /* a limit of header.h: what is behind it was not looked at */
};

/*
 * Without an empty line the first line that is no field begins the body; a section without a single
 * field is body.  Other readings: the body begins at a line that is no field, or behind one of
 * blanks only; the section begins behind empty lines.
 */
void claims_split(struct span whole, struct claims_split *out);
/* Whether a header section at the start of these bytes says anything about a body. */
bool claims_has_any(struct span whole);

/* A field's values, strict readers' first. */
struct claims_field {
	struct span values[CLAIMS_MAX];
	size_t n;
	size_t n_strict; /* of those: fields with a proper name */
};

struct claims {
	struct claims_field type, encoding, disposition;
	struct claims_field description, location; /* names where there is no other */
	bool is_full;                              /* more of one field than CLAIMS_MAX */
};

void claims_read(struct span section, struct claims *out);

/* One reading of Content-Type. */
struct claims_type {
	struct span name;  /* "text/plain", lower case */
	struct span value; /* the field it came from: parameters; may be empty */
};

struct claims_types {
	struct claims_type items[CLAIMS_TYPES_MAX];
	size_t n;
	bool is_bad;  /* a value that names no type */
	bool is_full; /* more than fit */
};

/* At least one: `fallback` when no field names a type. */
void claims_types(
    const struct claims *c, struct span fallback, struct arena *arena, struct claims_types *out);

/* Bits of the transfer encodings that readers may undo. */
enum {
	CLAIMS_PLAIN = 1, /* 7bit, 8bit, binary, nothing */
	CLAIMS_BASE64 = 2,
	CLAIMS_QUOTED = 4,
	CLAIMS_UU = 8,
	CLAIMS_YENC = 16
};

struct claims_encodings {
	unsigned first, all; /* the first believed; all of them */
	bool is_unknown;     /* a name that no standard knows */
};

struct claims_encodings claims_encodings(const struct claims *c);

#endif

/*
 * header.h - the header section of a message (RFC 5322 section 2.2): fields one by one, and the
 * decoded text of a field (unfolding, RFC 2047).
 *
 * Pure.  Everything points into the caller's bytes; nothing is believed to be well-formed.
 */
#ifndef MESSAGE_HEADER_H
#define MESSAGE_HEADER_H
#include "relay/base/buf.h"

enum {
	HEADER_SECTION_MAX = 131072,
	HEADER_FIELDS_MAX = 2000,
	HEADER_DECODED_MAX = 65536,
	HEADER_FIELD_LOOK = 2000 /* bytes in which a line shows whether it is a field */
};

struct header_field {
	struct span name; /* without blanks before the colon */
	struct span
	    value; /* behind the colon, folds and leading blank included, without the last CRLF */
	struct span whole; /* all its bytes, last CRLF included */
	bool is_malformed; /* a line without a colon, or with an impossible name: name is empty */
};

/* Bytes of the header section, without the empty line that ends it; all of it when there is none. */
size_t header_section_length(struct span message);
/* What stands behind that empty line; empty when there is none. */
struct span header_body(struct span message);
/* Next field of a header section (of which `rest` is what is left); false at the end. */
bool header_next(struct span *rest, struct header_field *field);
/* Unfolded, blanks trimmed, RFC 2047 words decoded to UTF-8 (unknown charsets: bytes over 0x7f
 * become U+FFFD).  Appends to `to`, at most HEADER_DECODED_MAX bytes. */
void header_decode(struct span value, struct buf *to);
/* First field of this name, false when there is none. */
bool header_find(struct span section, struct span name, struct header_field *field);

#endif

/*
 * mime.h - the parts of a message (RFC 2045, 2046), parsed from memory under hard limits.
 *
 * Pure; runs in a filter worker only.  Ambiguity is not resolved silently: every anomaly is a flag
 * on the message.
 */
#ifndef MESSAGE_MIME_H
#define MESSAGE_MIME_H
#include "relay/base/mem.h"
#include "relay/message/header.h"

struct mime_limits {
	size_t parts, depth, decoded_bytes; /* MIME_PARTS … when 0 */
};

enum {
	MIME_PARTS = 1000,
	MIME_DEPTH = 32,
	MIME_DECODED = 256 * 1024 * 1024,
	MIME_TEXT = 4 * 1024 * 1024,
	MIME_ARENA_MIN = 8192
};

enum mime_anomaly {
	MIME_TOO_MANY_PARTS = 1,
	MIME_TOO_DEEP = 2,
	MIME_TOO_LARGE = 4,    /* decoded bytes */
	MIME_BAD_ENCODING = 8, /* base64 or quoted-printable with impossible characters */
	MIME_UNKNOWN_ENCODING = 16,
	MIME_DUPLICATE_HEADER =
	    32,                 /* Content-Type or Content-Transfer-Encoding twice in one part */
	MIME_BAD_BOUNDARY = 64, /* multipart without a usable boundary, or never closed */
	MIME_BAD_HEADER = 128,
	MIME_BAD_CHARSET = 256
};

struct mime_part {
	uint32_t parent, depth; /* the message itself is part 0, parent 0, depth 0 */
	struct span type;       /* "text/plain": lower case; the default where none is given */
	struct span charset;    /* lower case, may be empty */
	struct span filename;   /* RFC 2047 and 2231 decoded, UTF-8, may be empty */
	struct span raw;        /* the part's body as transferred, without its header section */
	struct span decoded;    /* transfer encoding undone; equal to raw for 7bit, 8bit, binary */
	struct span text; /* of text parts: decoded, in UTF-8 (invalid: U+FFFD), up to MIME_TEXT */
	bool is_multipart, is_message, is_malformed, is_truncated;
};

struct mime_message {
	struct header_field *headers; /* of the message itself */
	size_t n_headers;
	struct mime_part *parts;
	size_t n_parts;
	unsigned anomalies; /* MIME_ bits */
};

/*
 * Parses `message` into out; NULL limits are the defaults.  All memory comes from `arena`, which must
 * have MIME_ARENA_MIN bytes left; where it ends, parts are left out or cut and MIME_TOO_LARGE says
 * so.  Results point into `message` and `arena`.  Always yields at least part 0.  Parts stand in
 * document order, a message/rfc822 part has the message inside as its one child.
 *
 * Read the way that shows most: delimiters behind a close delimiter still count, a missing boundary
 * is guessed from the body, lines that are no header are skipped if real ones follow.  All of that
 * is flagged.
 */
void mime_parse(struct span message, const struct mime_limits *limits, struct arena *arena,
    struct mime_message *out);

#endif

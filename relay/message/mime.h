/*
 * mime.h - the parts of a message (RFC 2045, 2046), parsed from memory under hard limits.
 *
 * Pure; runs in a filter worker only.  Ambiguity is not resolved silently: every anomaly is a flag
 * on the message.
 */
#ifndef MESSAGE_MIME_H
#define MESSAGE_MIME_H
#include "relay/base/mem.h"
#include "relay/message/claims.h"
#include "relay/message/header.h"

struct mime_limits {
	size_t parts, depth, decoded_bytes, readings; /* MIME_PARTS … when 0 */
};

enum {
	MIME_PARTS = 1000,
	MIME_DEPTH = 32,
	MIME_DECODED = 256 * 1024 * 1024,
	MIME_READINGS = 200, /* further ones of all parts */
	MIME_NAMES = 16,     /* of one part */
	MIME_TEXT = 4 * 1024 * 1024,
	MIME_ARENA_MIN = 8192
};

/* Bytes of multipart bodies looked through, all boundaries and depths together: so many times the
 * message, and some more, so that small messages may be deep. */
enum { MIME_WORK_TIMES = 8, MIME_WORK_MORE = 64 * 1024 * 1024 };

enum mime_anomaly {
	MIME_TOO_MANY_PARTS = 1,
	MIME_TOO_DEEP = 2,
	MIME_TOO_LARGE = 4,    /* decoded bytes, header sections */
	MIME_BAD_ENCODING = 8, /* base64 or quoted-printable with impossible characters */
	MIME_UNKNOWN_ENCODING = 16,
	MIME_DUPLICATE_HEADER =
	    32,                 /* Content-Type or Content-Transfer-Encoding twice in one part */
	MIME_BAD_BOUNDARY = 64, /* multipart without a usable boundary, or never closed */
	MIME_BAD_HEADER = 128,
	MIME_BAD_CHARSET = 256,
	MIME_TOO_MANY_READINGS = 512,
	/* Parts that were read in a further way, with something else in it. */
	MIME_TWO_HEADERS = 1024,    /* the header section ends elsewhere */
	MIME_TWO_TYPES = 2048,      /* another Content-Type */
	MIME_TWO_ENCODINGS = 4096,  /* another Content-Transfer-Encoding */
	MIME_TWO_BOUNDARIES = 8192, /* another boundary that divides the body too */
	MIME_TWO_DECODINGS = 16384, /* broken base64 or quoted-printable */
	MIME_TWO_TEXTS = 32768,     /* another charset */
	MIME_LAX_BOUNDARY = 65536,  /* lines that only begin like a delimiter */
	MIME_INLINE_FILE = 131072,  /* uuencode or yEnc in a text */
	MIME_PARTIAL = 262144,      /* message/partial: the rest is in other messages */
	MIME_GUESSED_TYPE = 524288, /* the Content-Type names no type */
	MIME_UNDIVIDED = 1048576    /* a multipart with content and without a single delimiter */
};

struct mime_part {
	uint32_t parent, depth; /* the message itself is part 0; its readings are at depth 0 too */
	struct span type;       /* "text/plain": lower case; the default where none is given */
	struct span charset;    /* lower case, may be empty */
	struct span filename;   /* RFC 2047 and 2231 decoded, UTF-8, may be empty */
	const struct span *names; /* every name that some reader shows, filename first */
	size_t n_names;
	struct span raw;     /* the part's body as transferred, without its header section */
	struct span decoded; /* transfer encoding undone; equal to raw for 7bit, 8bit, binary */
	struct span text;  /* of text parts: decoded, in UTF-8 (invalid: U+FFFD), up to MIME_TEXT */
	struct span whole; /* header section and body; empty for further readings */
	unsigned encoding; /* CLAIMS_ bit that was undone */
	struct span boundary; /* by which a multipart was divided first */
	bool is_multipart, is_message, is_malformed, is_truncated;
	bool is_reading; /* a further reading of the part before it, or a file inside its text */
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
 * document order, a message/rfc822 part has the message inside as its child.
 *
 * The first reading of a part shows most: delimiters behind a close delimiter still count, a missing
 * boundary is guessed from the body, lines that are no header are skipped if real ones follow.
 * Where other readers would see something else (two Content-Types, two boundaries that both divide
 * the body, broken base64, …), that is a further part beside it, is_reading, with children of its
 * own; what was seen already is not given twice.  All of that is flagged, and what meets a limit is
 * flagged too.
 */
void mime_parse(struct span message, const struct mime_limits *limits, struct arena *arena,
    struct mime_message *out);

/* Anomalies behind which a reader may see what no other does, or what we have not seen. */
bool mime_is_malformed(const struct mime_message *m);
/* Anomalies behind which something was not looked at: a limit. */
bool mime_is_truncated(const struct mime_message *m);
/* Their names, divided by ", "; what does not fit is left out. */
void mime_anomalies(unsigned anomalies, struct buf *to);

#endif

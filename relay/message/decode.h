/*
 * decode.h - the encodings of mail undone: base64 and quoted-printable (RFC 2045 section 6), encoded
 * words (RFC 2047).  Parameters (RFC 2231) are in param.h, charsets in charset.h.
 *
 * Pure but for iconv's descriptors.  Tolerant as mail readers are: what they would show must be
 * seen, so broken input is decoded as far as it goes, and said to be broken.
 */
#ifndef MESSAGE_DECODE_H
#define MESSAGE_DECODE_H
#include "relay/base/buf.h"

/* Once a process, before its sandbox: opens what the charsets need (see charset.h). */
void decode_warm_up(void);

/* Room that decode_base64 needs for n bytes. */
size_t decode_base64_room(size_t n);
/*
 * `to` has decode_base64_room(in.n) bytes.  Returns how many were written.  Bytes outside of the
 * alphabet are skipped; those but blanks and line ends, an odd end and anything behind a '=' set
 * *is_bad (what follows a '=' is decoded on).
 */
size_t decode_base64(struct span in, char *to, bool *is_bad);
/* How readers differ over base64 that is broken. */
enum base64_way {
	BASE64_WITHOUT_PADS, /* '=' passed over like any other garbage */
	BASE64_TO_PAD,       /* ends at the first '=' */
	BASE64_TO_GARBAGE,   /* ends at the first byte that is no digit, blank or pad */
	BASE64_LINES,        /* each line by itself */
	BASE64_GOOD_LINES,   /* lines with garbage passed over as a whole */
	BASE64_URL,          /* '-' and '_' are digits (RFC 4648 section 5) */
	BASE64_WAYS
};

/* Whether a line before the last one has digits that are no whole groups: allowed (RFC 2045 section
 * 6.8), but who decodes line by line sees something else. */
bool decode_base64_is_ragged(struct span in);
/* As decode_base64; `scratch` has in.n bytes. */
size_t decode_base64_as(struct span in, enum base64_way way, char *scratch, char *to);
/* Quoted-printable; `to` has in.n bytes.  A '=' that is no escape stays and sets *is_bad. */
size_t decode_quoted_printable(struct span in, char *to, bool *is_bad);
/* The other way: a '=' that is no escape is dropped.  `to` has in.n bytes. */
size_t decode_quoted_printable_strict(struct span in, char *to);
/*
 * Appends text with RFC 2047 words decoded to UTF-8, CR and LF dropped, other text as UTF-8 with
 * invalid bytes as U+FFFD.  Words are recognised anywhere, neighbours of the same charset are put
 * together before conversion (senders split characters).  Writes until `to` is full.
 */
void decode_words(struct span in, struct buf *to);

#endif

/*
 * strip.h - what stands in a message where a part was taken out: the part's header section without
 * the fields that spoke of its body, and a text that says what was there and why it is gone.
 *
 * Pure and bounded.  The worker tries an edit with it, front makes it for good, so both know nothing
 * but what is given here.  RFC 2045, 2046, 2183.
 */
#ifndef MESSAGE_STRIP_H
#define MESSAGE_STRIP_H
#include "relay/ipc/front_filter.h"

enum { STRIP_REASONS_MAX = 16, STRIP_TEXT_MAX = 65536 };

struct strip_reason {
	struct span filter, outcome, why;
};

struct strip_notice {
	struct span hostname, postmaster; /* ours */
	struct span id;                   /* of the transaction */
	struct span letter;               /* of the original, in quarantine */
	const struct scan_part *part;
	const struct strip_reason *reasons; /* those past STRIP_REASONS_MAX are left out */
	size_t n_reasons;
};

/*
 * Appends the fields of `section` that do not describe a body, as they stand (of what even the most
 * tolerant reader could take for Content-* only Content-ID and Content-Description), then those of
 * the notice; with needs_version MIME-Version where it is missing.  No empty line.  0, or -E_LIMIT
 * when `to` is full.
 */
int strip_section(struct span section, bool needs_version, struct buf *to);

/* Appends the text, in quoted-printable, its lines ended by CRLF: none begins with a dash or could
 * be taken for a delimiter, whatever the names in it are.  0 or -E_LIMIT. */
int strip_text(const struct strip_notice *n, struct buf *to);

/* Appends all of a part: section, empty line, text.  `head` are its bytes before its body. */
int strip_part(struct span head, bool needs_version, const struct strip_notice *n, struct buf *to);

/*
 * Whether a part may be cut out of a message between these bytes: those just before it and just
 * behind it, empty at the ends of the message.  It begins a line, and a line ends where it ends, so
 * no CR can part from its LF.
 */
bool strip_is_whole(struct span before, struct span behind);

#endif

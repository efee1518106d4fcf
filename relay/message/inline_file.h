/*
 * inline_file.h - files that stand in a text without MIME: uuencode (POSIX), its base64 form, and
 * yEnc.  Mail readers show them as attachments.
 *
 * Pure, tolerant: a short line is filled with zeros, a missing end is the end of the text.
 */
#ifndef MESSAGE_INLINE_FILE_H
#define MESSAGE_INLINE_FILE_H
#include "relay/base/span.h"

enum inline_kind { INLINE_UU, INLINE_BASE64, INLINE_YENC };

struct inline_file {
	enum inline_kind kind;
	struct span name; /* as it stands in its first line */
	struct span data; /* its lines, without the first and the last */
};

/* The next file from *at on, which moves behind it; false when there is none. */
bool inline_file_next(struct span text, size_t *at, struct inline_file *file);
/* Writes at most file->data.n + 3 bytes to `to`; returns how many. */
size_t inline_file_decode(const struct inline_file *file, char *to);

#endif

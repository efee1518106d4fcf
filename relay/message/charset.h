/*
 * charset.h - text in any charset of mail, as UTF-8.
 *
 * iconv does the work.  Its descriptors are opened ahead of the sandbox by decode_warm_up, because
 * glibc loads a charset's module from disk at iconv_open; afterwards only what is open can be had.
 * The descriptors belong to the process for ever; one thread uses them.
 */
#ifndef MESSAGE_CHARSET_H
#define MESSAGE_CHARSET_H
#include "relay/base/buf.h"

enum { CHARSET_NAME_MAX = 64 };

/* Opens the descriptors of the common charsets; those this system lacks stay unknown. */
void charset_open_all(void);
/*
 * Appends `bytes` in UTF-8 to `to`, until `to` is full.  An empty name, us-ascii and utf-8 are taken
 * as UTF-8; an unknown charset gives bytes over 0x7f as U+FFFD, as do bytes the charset has not.
 * True when all of it was clean: a known charset and no byte replaced.
 */
bool charset_to_utf8(struct span name, struct span bytes, struct buf *to);
/* Whether the charset can be converted now. */
bool charset_is_known(struct span name);
/* Whether it is UTF-16 in the order that a mark at the beginning says. */
bool charset_needs_mark(struct span name);
/* Whether bytes in it may be taken as they are, once they are valid UTF-8. */
bool charset_is_utf8(struct span name);

#endif

/*
 * base64.h - base64 as mail writes it (RFC 4648 section 4).  Reading it is relay/message/decode.h's.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H
#include "relay/base/buf.h"

/* Appends all of `s` with its padding, as one line.  0, or -E_LIMIT when `to` is full (sticky). */
int base64_add(struct buf *to, struct span s);

#endif

/*
 * base64.h - base64 (RFC 4648 section 4), written and strictly read.  What mail calls base64 is for
 * relay/message/decode.h to read.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H
#include "relay/base/buf.h"

/* Appends all of `s` with its padding, as one line.  0, or -E_LIMIT when `to` is full (sticky). */
int base64_add(struct buf *to, struct span s);

/* Appends the bytes that `text` stands for: whole groups with their padding, no blanks, no bits left
 * over.  0, -E_SYNTAX for anything else (then nothing is added), or -E_LIMIT. */
int base64_decode(struct buf *to, struct span text);

#endif

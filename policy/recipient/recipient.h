/*
 * recipient.h - who exists behind a gateway: an immutable table read from `recipients =
 * "file:PATH"`.
 *
 * One entry a line: an address, "@example.org" for every local part of a domain, or a local part
 * alone for every domain that the table serves.  `#` begins a comment at a word's start; case
 * does not count.
 */
#ifndef RECIPIENT_RECIPIENT_H
#define RECIPIENT_RECIPIENT_H
#include "relay/base/buf.h"
#include "relay/base/err.h"

enum { RECIPIENTS_TEXT_MAX = 64 * 1024 * 1024, RECIPIENT_MAX = 320 /* bytes of one entry */ };

struct recipients;

/* NULL and the first wrong line in `err` as "FILE:LINE: what is wrong; what would be right". */
struct recipients *recipients_parse(struct span text, const char *file, struct err *err);
/* Reads the file at `path`; NULL: err (-E_IO, -E_LIMIT or what recipients_parse says). */
struct recipients *recipients_load(const char *path, struct err *err);
/* Whether the address (without <>) is one of them. */
bool recipients_has(const struct recipients *table, struct span address);
size_t recipients_count(const struct recipients *table);
void recipients_free(struct recipients **table);

#endif

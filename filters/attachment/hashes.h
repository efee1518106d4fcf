/*
 * hashes.h - a list of SHA-256 sums, from a file of one a line in hexadecimal; what follows a sum on its
 * line (a name, a comment) is passed over, as are empty lines and those that begin with '#'.
 */
#ifndef ATTACHMENT_HASHES_H
#define ATTACHMENT_HASHES_H
#include "relay/base/err.h"
#include "relay/base/span.h"

enum { HASH_BYTES = 32, HASHES_FILE_MAX = 256 * 1024 * 1024 };

struct hashes;

/* -E_NOT_FOUND: the file cannot be read; -E_SYNTAX: a line is no sum (err names it). */
int hashes_load(const char *path, struct hashes **out, struct err *err);
/* The same from text; `name` is for errors. */
int hashes_parse(struct span text, const char *name, struct hashes **out, struct err *err);
void hashes_free(struct hashes **h);
size_t hashes_count(const struct hashes *h);
bool hashes_have(const struct hashes *h, const unsigned char sum[HASH_BYTES]);

#endif

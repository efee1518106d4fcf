/*
 * letter.h - a message in quarantine: what its file says of it, and that file's bytes.
 *
 * A file is a head of header fields of our own, then the message exactly as it would have left, so
 * that anything that reads mail can read it.  The first line, whose length never changes, tells the
 * lengths and a CRC-32C of the whole file (taken with eight zeros in its own place):
 *
 *     X-Postern-Quarantine: v=1 head=HHHHHHHH section=HHHHHHHH size=HHHHHHHHHHHHHHHH crc=HHHHHHHH
 *
 * head: bytes before the message; section: bytes of its header section; size: of the message.  The
 * fields behind it stand in one order, one a line; bytes under 0x20, 0x7f and % are written %HH.
 * Pure: no file is touched here.
 */
#ifndef QUARANTINE_LETTER_H
#define QUARANTINE_LETTER_H
#include "relay/base/buf.h"
#include "relay/ipc/front_spool.h"

enum {
	LETTER_ID_MAX = 40,
	LETTER_NAME_MAX = 256, /* flow, gateway */
	LETTER_REASON_MAX = 2048,
	LETTER_SUBJECT_MAX = 2000,
	LETTER_LINE = 93,                  /* bytes of the first line, CRLF included */
	LETTER_HEAD_MAX = 40 * 1024 * 1024 /* COMMIT_RCPTS_MAX recipients at their longest fit */
};

struct letter_rcpt {
	struct span address, gateway;
	unsigned notify;   /* NOTIFY_ bits */
	struct span orcpt; /* as received; empty: not given */
};

struct letter {
	struct span id; /* the transaction's, with -N for a second part of it */
	struct span flow, from, envid;
	int64_t received_ms, stored_ms; /* wall */
	bool is_8bit, is_utf8;
	enum notify_ret ret;
	uint32_t releases; /* how often some of its recipients were released */
	struct span reason, subject;
	struct letter_rcpt *rcpts;
	size_t n_rcpts;
	uint32_t section; /* bytes of the message before its empty line */
	uint64_t size;    /* bytes of the message */
	uint32_t head;    /* bytes of the file before it; letter_get's */
	char *memory;     /* what the spans point into; letter_get's */
};

/* What the first line says. */
struct letter_line {
	uint32_t head, section, crc;
	uint64_t size;
};

/* Whether an id may name a file: capital letters, digits and dashes, 1 to LETTER_ID_MAX. */
bool letter_id_is_fine(struct span id);

/* The id of a message's letter when `before` of its recipients are in quarantine already: the first
 * bears the message's id, a later one ID-N.  Into `to`. */
struct span letter_name(struct span id, size_t before, char to[LETTER_ID_MAX + 1]);

/* Appends the head with a CRC of zeros.  The buf's `failed` tells when it is too long. */
void letter_put(struct buf *to, const struct letter *l);
/* Puts the CRC of the whole file, taken over the zeros, into its place. */
void letter_set_crc(char *head, uint32_t crc);

/* From the first LETTER_LINE bytes: 0 or -E_CORRUPT. */
int letter_line_get(struct span bytes, struct letter_line *out);
/* From the whole head: 0, or -E_CORRUPT and nothing to free.  Free with letter_free. */
int letter_get(struct span head, struct letter *out);
void letter_free(struct letter *l);

/* One line of JSON, its \n included, as `quarantine list` prints it; it goes `keep_ms` after it was
 * stored.  has_detail: with gateways and all else that the file says. */
void letter_show(struct buf *to, const struct letter *l, int64_t keep_ms, bool has_detail);

#endif

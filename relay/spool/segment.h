/*
 * segment.h - one file of the log: its header, what the index knows of it, and what keeps it.
 *
 * A file lives many lives: filled with zeros once, born with a header (number and nonce of this
 * life), filled with records, dead when nothing in it matters, erased, born again.  Messages and
 * notes have segments of their own: the committer thread writes the former, the loop the latter.
 */
#ifndef SPOOL_SEGMENT_H
#define SPOOL_SEGMENT_H
#include "relay/base/list.h"
#include "relay/base/span.h"

enum {
	SEGMENT_HEADER = 4096,  /* bytes before the first record */
	SEGMENT_COPY_AT = 2048, /* of the header's second copy, in a sector of its own */
	SEGMENT_NAME_SIZE = 48
};
#define SEGMENT_NUMBER_MAX UINT32_MAX /* 256 PiB of mail in segments of 64 MiB */

enum segment_kind { SEGMENT_MESSAGES = 1, SEGMENT_NOTES };

/* As on disk: "postspl1", u32 kind, u32 0, u64 number, u64 nonce, u64 first_serial, u32 crc32c. */
struct segment_header {
	enum segment_kind kind;
	uint64_t number;       /* of this life; grows with each birth */
	uint64_t nonce;        /* random, of this life */
	uint64_t first_serial; /* no message born before it has this serial or a later one */
};

/* Fills all SEGMENT_HEADER bytes, both copies. */
void segment_encode(const struct segment_header *h, unsigned char to[SEGMENT_HEADER]);
/* 0; -E_NOT_FOUND: blank, a file without life; -E_CORRUPT: neither copy is whole. */
int segment_decode(const unsigned char from[SEGMENT_HEADER], struct segment_header *out);

enum segment_state {
	SEGMENT_FREE,     /* blank file, waiting to be born */
	SEGMENT_OPEN,     /* the one that records are appended to */
	SEGMENT_CLOSED,   /* nothing is appended any more */
	SEGMENT_DYING,    /* nothing in it matters once the notes of until now are durable */
	SEGMENT_RETIRING, /* with the committer */
	SEGMENT_STUCK     /* could not be retired: left alone until the next start */
};

struct segment {
	struct list node; /* among its spool's */
	struct segment_header header;
	enum segment_state state;
	char name[SEGMENT_NAME_SIZE];
	int fd;                      /* -1: not open at the moment */
	uint64_t size;               /* of the file; UINT64_MAX: of a message of its own */
	uint64_t end;                /* where the next record goes */
	uint64_t gaps;               /* bytes before `end` in no record, known and accepted */
	uint64_t safe;               /* everything before is synced (messages) */
	bool is_own;                 /* holds one large message, is unlinked after it */
	bool is_failed;              /* a write or sync failed: never reused */
	bool is_damaged;             /* has bad records: set aside instead of reused */
	bool is_unreadable;          /* the disk gave errors: left for the next start */
	bool is_compact;             /* looked at for copying, not worth or not able */
	bool is_sealed;              /* its end is written down */
	bool is_dirty;               /* notes: not synced up to last_seq */
	unsigned jobs;               /* batches and copies with the committer that touch it */
	uint64_t n_live, live_bytes; /* messages, or newest notes of live messages */
	struct list live;            /* of struct spool_message, by in_home or in_notes */
	uint64_t *refs;              /* notes: numbers of message segments its marks speak of */
	size_t n_refs, refs_size;
	uint64_t last_seq; /* notes: of the last record written into it */
	uint64_t need_seq; /* dying: notes durable up to here let it go */
};

struct segment *segment_new(const char *name);
void segment_free(struct segment **seg); /* the fd is the spool's to close before */
/* Notes the number of a message segment, once. */
void segment_refer(struct segment *seg, uint64_t number);
uint64_t segment_room(const struct segment *seg); /* bytes left */

/* "00000001.seg"; the number counts files, not lives. */
void segment_name(uint64_t file, char to[SEGMENT_NAME_SIZE]);
bool segment_name_parse(const char *name, uint64_t *file);
/* The name under which a damaged one is kept for the admin: "00000001.seg.damaged". */
void segment_name_aside(const char *name, char to[SEGMENT_NAME_SIZE]);
/* … and that of a part of it: "00000001.seg.4096.damaged". */
void segment_name_part(const char *name, uint64_t offset, char to[SEGMENT_NAME_SIZE]);

#endif

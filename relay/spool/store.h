/*
 * store.h - the inside of a spool: its index and what the files of this folder call of each other.
 * All of it belongs to the loop thread.
 */
#ifndef SPOOL_STORE_H
#define SPOOL_STORE_H
#include "relay/base/list.h"
#include "relay/base/map.h"
#include "relay/base/table.h"
#include "relay/spool/commit.h"
#include "relay/spool/io.h"
#include "relay/spool/record.h"
#include "relay/spool/segment.h"
#include "relay/spool/spool.h"

enum {
	SPOOL_TICK_MS = 1000,
	SPOOL_SEGMENT_MIN = 16384,     /* the smallest segment_bytes, for tests */
	SPOOL_OWN_SHARE = 4,           /* a message over this part of a segment has its own file */
	SPOOL_FREE_KEEP = 4,           /* blank files kept for later lives; more are removed */
	SPOOL_FDS_MAX = 64,            /* closed segments whose files stay open */
	SPOOL_FILES_MIN = 64,          /* inodes that must stay free */
	SPOOL_SLACK = 65536,           /* bytes asked for beside a message's own */
	SPOOL_COMPACT_SEGMENTS = 4,    /* fewer closed segments are not worth copying for */
	SPOOL_COMPACT_SHARE = 4,       /* copied when less than this part of one is live */
	SPOOL_COMPACT_BYTES = 4194304, /* copied in a tick */
	SPOOL_COMPACT_NOTES = 256,     /* notes written anew in a tick */
	SPOOL_CHECKS_MAX = 32 /* large messages whose check goes on at one time; one more is
					* read whole */
};

/* A million of these wait in a bad week: 88 bytes, and no copy of what the record says. */
struct spool_message {
	uint64_t serial;
	struct segment *home;
	struct segment *note_home; /* NULL: no note, or not written yet */
	struct list in_home, in_notes;
	uint32_t at, note_at; /* where the records begin, in units of RECORD_ALIGN */
	uint32_t former;      /* number of the segment it was copied from; 0: none */
	uint32_t note_mark;   /* low bits of its newest note's seq */
	uint64_t body_n : 40, prefix_n : 24;
	uint32_t envelope_n : 24, id_n : 8;
	uint32_t note_n : 24, is_copying : 1, is_verified : 1;
};

/* How far a large message has been read to be verified. */
struct check {
	uint64_t serial; /* 0: nobody's; a message that is gone needs it no more */
	const struct segment *home;
	uint32_t at;        /* as of the message: it may have been copied meanwhile */
	uint64_t done;      /* bytes of prefix and body */
	uint32_t crc, want; /* of those; of all */
};

/* A NOTE, DONE or SEAL that is not synced yet: kept to be written again if that fails. */
struct mark {
	struct list node;
	uint64_t seq;
	enum record_type type;
	uint64_t serial;
	bool is_written;
	size_t n;
	unsigned char payload[];
};

/* Items that may be refused once the marks up to `seq` are durable. */
struct doomed {
	struct list node;
	struct list items;
	uint64_t seq;
	int code; /* -E_… */
};

struct spool {
	const struct spool_io *io;
	int dir;
	struct loop *loop;
	struct spool_events events;
	void *arg;
	uint64_t min_free, segment_bytes;

	struct list segments; /* with a life, by number */
	struct list free;     /* blank */
	size_t n_free, n_fds;
	struct map *by_number;
	struct table by_serial;
	struct check checks[SPOOL_CHECKS_MAX];
	uint64_t next_file, next_number, next_serial;

	struct committer *committer;
	struct watch *watch;
	struct timer *tick, *kick;

	struct segment *active; /* messages are appended to it; NULL: none */
	struct job *open;       /* the last batch pushed for it; NULL: finished */
	struct list pending;    /* items without a place */
	struct list refused;    /* items to be answered with their err at the next turn */
	struct list doomed;
	uint64_t pending_bytes;

	struct segment *notes; /* marks are appended to it; NULL: none */
	struct list marks;     /* not synced, oldest first */
	uint64_t mark_seq, synced_seq,
	    open_seq; /* open_seq: no message is placed before it is durable */
	bool is_syncing, is_sync_wanted;

	struct job *fill;    /* making a file; NULL: not now */
	bool is_fill_failed; /* not tried again before the next tick */
	int fill_code;
	struct spool_space space;
	bool is_disk_bad, is_full, is_closing;
	struct spool_stats stats;
};

/* spool.c: answers and alarms */
void spool_answer(struct spool *s, struct item *i, struct spool_message *m, int code);
void spool_refuse_soon(struct spool *s, struct item *i, int code);
void spool_problem(struct spool *s, bool *state, bool is_on, const char *name, const char *what,
    const char *do_this);
void spool_collect(struct spool *s); /* handles finished jobs */

/* plan.c: places for messages, and what becomes of batches */
void plan_run(struct spool *s);
/* On a disk with room for few segments the rest of one that holds nothing live may be all there is:
 * it is recycled then. */
void plan_give_back(struct spool *s);
void plan_kick(struct spool *s); /* plan_run at the end of this turn */
void plan_batch_done(struct spool *s, struct job *j);
void plan_release(struct spool *s); /* refuses what is doomed, once its seal is durable */

/* notes.c: the log of marks */
void notes_put(struct spool *s, struct spool_message *m, struct span note);
void notes_done(struct spool *s, uint64_t serial, const struct record_homes *homes);
void notes_seal(struct spool *s, const struct segment *seg);
void notes_write(struct spool *s); /* what waits for a segment */
void notes_sync(struct spool *s);  /* asks the committer, at once */
void notes_sync_done(struct spool *s, struct job *j);

/* tidy.c: segments come and go */
struct segment *tidy_take_free(struct spool *s, enum segment_kind kind); /* NULL: none now */
void tidy_fill(struct spool *s); /* makes a blank file when one is wanted */
bool tidy_may_fill(const struct spool *s);
void tidy_fill_done(struct spool *s, struct job *j);
void tidy_consider(struct spool *s, struct segment *seg); /* whether it may die */
void tidy_dying(struct spool *s);                         /* after a sync of marks */
void tidy_retired(struct spool *s, struct job *j);
void tidy_unborn(struct spool *s, struct segment *seg); /* back to blank: nothing was written */
struct segment *tidy_new_own(struct spool *s);
int tidy_fd(struct spool *s, struct segment *seg); /* open, or a negative errno */
void tidy_close_fd(struct spool *s, struct segment *seg);
void tidy_space(struct spool *s);            /* asks the file system how much is free */
uint64_t tidy_usable(const struct spool *s); /* bytes above min_free */

/* compact.c: long-lived messages and notes move on, so that their segments can be recycled */
void compact_run(struct spool *s);

/* recall.c */
/* n bytes of a segment, into an empty buf; false: the disk does not give them. */
bool recall_bytes(struct spool *s, struct segment *seg, uint64_t offset, size_t n, struct buf *to);

/* message.c */
struct record_message message_parts(const struct spool_message *m); /* without the body's CRC */
void message_set_parts(struct spool_message *m, const struct record_message *parts);
uint64_t message_offset(const struct spool_message *m);
uint64_t message_record_size(const struct spool_message *m);
uint64_t message_note_offset(const struct spool_message *m);
void message_enter(struct spool *s, struct spool_message *m, struct segment *home, uint64_t offset);
void message_leave(struct spool_message *m); /* its home */
void message_set_note(struct spool_message *m, struct segment *home, uint64_t offset, size_t n);
void message_drop_note(struct spool_message *m);

#endif

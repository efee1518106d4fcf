/*
 * spool.h - durable storage of accepted messages: append-only segments with group commit.
 *
 * The spool keeps bytes and knows nothing of SMTP, recipients or time-outs: a message is an id, an
 * envelope (opaque bytes of the queue's), and a body.  Notes about a message follow it in the log.
 * A message that spool_put has reported durable is there after kill -9 and after power loss, until
 * spool_forget.  docs/spool-states.md states the invariants.
 *
 * One loop thread uses this; the committer thread inside never touches anything of the caller's.
 */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H
#include "relay/base/buf.h"
#include "relay/base/err.h"
#include "relay/base/loop.h"

enum {
	SPOOL_SEGMENT_BYTES = 64 * 1024 * 1024,
	SPOOL_ID_MAX = 40,
	SPOOL_ENVELOPE_MAX = 8 * 1024 * 1024,
	SPOOL_PREFIX_MAX = 8 * 1024 * 1024,
	SPOOL_NOTE_MAX = 8 * 1024 * 1024,
	SPOOL_VERIFY_BYTES = 2 * 1024 * 1024
};
#define SPOOL_BODY_MAX ((1ull << 40) - 1)

struct spool;
struct spool_message; /* one live message in the log; the spool's, valid until spool_forget */

struct spool_events {
	/* The message of this `cookie` is durable (err == NULL) or was not kept (err says why; it
	 * will never come back, and `m` is NULL then). */
	void (*on_committed)(
	    void *arg, uint64_t cookie, struct spool_message *m, const struct err *err);
	/* During spool_open: a live message found on disk, with the newest of its notes (empty: none).
	 * Its prefix and body have not been looked at: spool_verify does before they are sent. */
	void (*on_recovered)(void *arg, struct spool_message *m, struct span id,
	    struct span envelope, struct span note);
	/* Something an admin must know: name NULL-terminated words for `status`; do_this NULL: over. */
	void (*on_problem)(void *arg, const char *name, const char *what, const char *do_this);
};

struct spool_options {
	const char *dir;           /* made if its parent is there; 0700 */
	uint64_t min_free;         /* bytes that must stay free on the file system */
	uint64_t segment_bytes;    /* 0: SPOOL_SEGMENT_BYTES; smaller ones for tests */
	const struct spool_io *io; /* NULL: the system's; tests inject faults */
};

/* Recovers, then starts the committer. NULL with err when the folder cannot be used. */
struct spool *spool_open(const struct spool_options *options, struct loop *loop,
    const struct spool_events *events, void *arg, struct err *err);
void spool_close(struct spool **s); /* waits for the batch in flight */

/*
 * Queues a message for the next batch and returns at once; on_committed answers.  The body is
 * `body` (copied), or with `body_fd` >= 0 the bytes of that sealed memfd from `body_skip` on, up to
 * `body_size` (the fd is taken and closed).
 */
void spool_put(struct spool *s, uint64_t cookie, struct span id, struct span envelope,
    struct span prefix, struct span body, int body_fd, uint64_t body_skip, uint64_t body_size);
/* Whether a message of this size may be asked for now; false: answer 452 early. */
bool spool_has_room(const struct spool *s, uint64_t size);

/* Replaces the note of a message (state of recipients, attempts). In the page cache when this
 * returns (kill -9 keeps it); synced with the next batch or within a second. */
void spool_note(struct spool *s, struct spool_message *m, struct span note);
/* The message is settled: it will not be recovered. Same durability as a note. */
void spool_forget(struct spool *s, struct spool_message **m);

/* Its number: the same after every start, and no other message's as long as one that was put later is
 * there.  So a message may name another that it replaces. */
uint64_t spool_message_serial(const struct spool_message *m);
uint64_t spool_message_size(const struct spool_message *m);   /* prefix and body, bytes */
uint32_t spool_message_prefix(const struct spool_message *m); /* bytes of it that are the prefix */
/* Reads `n` bytes at `offset` of prefix+body: from memory or with pread. 0 or -E_IO/-E_CORRUPT. */
int spool_read(struct spool *s, const struct spool_message *m, uint64_t offset, void *to, size_t n);
/* Checks the stored CRCs of the whole message once: 0, -E_IO, or -E_CORRUPT, which must keep it from being
 * sent; -E_AGAIN: SPOOL_VERIFY_BYTES of a large one were read, the next call (in another turn) goes on. */
int spool_verify(struct spool *s, const struct spool_message *m);

/* What was put and noted about a message: `head` and `note` take the bytes, `id` and `envelope` point
 * into head.  0, -E_IO or -E_CORRUPT. */
int spool_recall(struct spool *s, const struct spool_message *m, struct buf *head, struct span *id,
    struct span *envelope, struct buf *note);
/* Whether every note so far is where spool_recall finds it: false while the disk refuses them. */
bool spool_is_noted(const struct spool *s);

struct spool_stats {
	uint64_t messages, bytes, segments, syncs, committed, set_aside;
};
struct spool_stats spool_stats(const struct spool *s);

#endif

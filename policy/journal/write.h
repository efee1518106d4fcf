/*
 * write.h - the journal's files: JSON lines in a folder, appended, synced, rotated.
 *
 * journal.jsonl is the newest, journal.jsonl.1 the one before, and so on.  The writer has the
 * folder open and touches nothing by a path, so that Landlock on the folder is enough.  An event
 * is never waited for: what a full disk keeps us from writing is kept up to a bound, then counted
 * as lost, and the count stands in the journal once there is room again.
 */
#ifndef JOURNAL_WRITE_H
#define JOURNAL_WRITE_H
#include "relay/base/err.h"
#include "relay/base/loop.h"
#include "relay/ipc/journal.h"

#define JOURNAL_FILE "journal.jsonl"

enum {
	JOURNAL_FILE_BYTES = 100 * 1024 * 1024,
	JOURNAL_FILES = 10, /* the newest included */
	JOURNAL_WAITING_MAX = 16 * 1024 * 1024,
	JOURNAL_SYNC_MS = 1000, /* at most one fdatasync in this time */
	JOURNAL_RETRY_MS = 1000 /* after a failed write */
};

struct journal_stats {
	uint64_t events, refused /* not one JSON line */, lost /* no room on disk */;
	uint64_t bytes; /* of the newest file */
	bool is_failing;
};

struct journal;

/* Opens or creates the newest file in `dir_fd`, which stays the caller's; a line torn by a crash is
 * ended.  `file_bytes` is JOURNAL_FILE_BYTES but in tests.  NULL and err when it cannot. */
struct journal *journal_open(struct loop *loop, int dir_fd, uint64_t file_bytes, struct err *err);
void journal_close(struct journal **j); /* writes and syncs what waits */

/* Takes one event for the end of this turn: 0, -E_SYNTAX (not one line of UTF-8 that begins and
 * ends as an object), -E_LIMIT (longer than JOURNAL_EVENT_MAX), -E_FULL (lost). */
int journal_add(struct journal *j, struct span event);
void journal_flush(struct journal *j); /* done at the end of each turn by itself */
struct journal_stats journal_stats(const struct journal *j);

#endif

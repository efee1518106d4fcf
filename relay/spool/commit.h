/*
 * commit.h - the committer thread: does jobs in order, one at a time, and signals an eventfd.
 *
 * It owns nothing but a job while the job is with it, and never looks through `seg` and `m`: the
 * loop plans where each byte goes, the committer writes it.  After a batch that failed once a byte
 * of it may have been written it is halted: later batches wait until the loop takes them back,
 * because they were planned behind bytes that are not there.
 */
#ifndef SPOOL_COMMIT_H
#define SPOOL_COMMIT_H
#include "relay/base/list.h"
#include "relay/spool/io.h"
#include "relay/spool/segment.h"

enum { JOB_SYNCS_MAX = 4, COMMIT_CHUNK = 256 * 1024, COMMIT_FILL_STEP = 4 * 1024 * 1024 };

/* One record on its way into a segment: `head`, then `n` bytes of `fd` from `from` on. */
struct item {
	struct list node;
	uint64_t cookie, serial;
	struct spool_message *m; /* the loop's; NULL: a copy of a record that is in the log */
	unsigned char *head; /* encoded header (its CRCs are set here) and payload, padded to 8 */
	size_t head_n;       /* bytes of it, padding included */
	size_t covered_n;    /* bytes of the record that the header's CRC covers, header included */
	size_t body_n;       /* bytes in `head` behind those: of prefix and body */
	int fd;              /* -1: all of it is in `head`; a memfd, or for a copy the source */
	uint64_t from, n;
	uint64_t length;        /* of the payload */
	uint64_t offset;        /* in the segment */
	struct segment *source; /* of a copy; the loop's */
	int err;                /* set here: this record alone could not be read: -E_CORRUPT */
};

void item_free(struct item **i); /* closes a memfd, not a copy's source */

enum job_kind {
	JOB_BATCH, /* writes items into a segment and syncs it; is_create: makes its file first */
	JOB_FILL, /* makes a file of zeros, a step at a time: come again until `filled` is `size` */
	JOB_RETIRE,
	JOB_SYNC /* syncs the files of `fds` */
};

enum retire_how { RETIRE_ERASE, RETIRE_UNLINK, RETIRE_SET_ASIDE };

struct job {
	struct list node;
	enum job_kind kind;
	struct segment *seg;
	int fd; /* -1 before is_create or the first step of a fill has opened it */
	char name[SEGMENT_NAME_SIZE];
	int failed; /* 0 or a negative errno */
	/* JOB_BATCH */
	struct list items;
	uint64_t start; /* offset of the first item */
	bool is_birth, is_create, is_touched;
	struct segment_header header; /* written when is_birth */
	/* JOB_FILL */
	uint64_t filled, size;
	/* JOB_RETIRE */
	enum retire_how how;
	/* JOB_SYNC */
	int fds[JOB_SYNCS_MAX];
	int n_fds;
	uint64_t seq; /* the loop's: what is durable when it succeeds */
};

struct job *job_new(enum job_kind kind, struct segment *seg);
void job_free(struct job **j); /* with the items still in it */

struct committer;

struct committer *commit_start(const struct spool_io *io, int dir);
int commit_fd(const struct committer *c); /* readable when jobs are done */
void commit_push(struct committer *c, struct job *j);
/* Moves `items` to the end of a batch that was pushed; false: it has been begun already. */
bool commit_extend(struct committer *c, struct job *j, struct list *items);
/* Appends the finished jobs to `out`, in order. */
void commit_finished(struct committer *c, struct list *out);
/* After a failed batch: appends the batches not begun to `out` and lets new ones pass. */
void commit_take_back(struct committer *c, struct list *out);
/* Blocks until everything pushed is done but batches that a halt holds back. */
void commit_wait(struct committer *c);
uint64_t commit_syncs(struct committer *c); /* syncs of files so far */
void commit_stop(struct committer **c);     /* after commit_wait; frees what is left */

/* What the thread does for one job; for tests and commit.c. */
void job_run(struct job *j, const struct spool_io *io, int dir, uint64_t *n_syncs);

#endif

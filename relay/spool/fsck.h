/*
 * fsck.h - looks through a spool folder while no relay runs on it: every file, every record, bodies
 * too.  Says what is wrong and what a start would recover; with `is_repair` sets damage aside, so that
 * the next start is clean and every good message stays.
 *
 * Repair copies a bad record's bytes to NNNNNNNN.seg.OFFSET.damaged, syncs that, and then writes a
 * header over its place that says it holds nothing; a file that makes no sense is renamed to
 * NNNNNNNN.seg.damaged.  Nothing else is written.
 */
#ifndef SPOOL_FSCK_H
#define SPOOL_FSCK_H
#include "relay/base/err.h"
#include "relay/base/span.h"
#include "relay/spool/io.h"

enum fsck_kind {
	/* damage, which repair sets aside */
	FSCK_FILE_UNKNOWN,     /* its header is none of ours */
	FSCK_FILE_TWICE,       /* another file has its number */
	FSCK_MARKS_UNREADABLE, /* the disk does not give a file of marks: a start refuses */
	FSCK_NO_RECORD,        /* bytes that should be records and are none */
	FSCK_BODY_BAD,         /* a message whose prefix or body is not what was written */
	/* damage that repair leaves: the disk may give it another day */
	FSCK_UNREADABLE,
	/* worth knowing */
	FSCK_TORN,    /* what a crash left of messages that were never answered, or of marks */
	FSCK_COPIES,  /* one message in two places: the newer counts */
	FSCK_NOTHING, /* a mark of a message that is not there though its file is */
	FSCK_ASIDE    /* set aside earlier */
};

struct fsck_finding {
	enum fsck_kind kind;
	bool is_damage;
	const char *file;
	uint64_t offset, length; /* in the file; 0, 0: all of it */
	struct span id;          /* of the message, where one is known */
	const char *text;        /* a line about it, the file's name in it */
};

struct fsck_summary {
	uint64_t files, records;
	uint64_t messages, bytes, notes; /* that a start would recover, bodies whole */
	uint64_t settled;                /* messages on disk that are settled */
	uint64_t damaged, set_aside;     /* findings that are damage; those of them repaired */
};

/*
 * `io` NULL: the system's.  Calls on_finding for each finding.  0, or with err: -E_NOT_FOUND no such
 * folder; -E_IO a relay runs on it, the folder cannot be read, or a repair could not be written.
 */
int fsck_run(const struct spool_io *io, const char *dir, bool is_repair,
    void (*on_finding)(void *arg, const struct fsck_finding *finding), void *arg,
    struct fsck_summary *summary, struct err *err);

#endif

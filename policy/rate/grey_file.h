/*
 * grey_file.h - the greylist's entries in one file, "greylist" in the journal's folder: appended as
 * they change, written anew as a whole now and then.
 *
 * Never synced but when it is written anew, which is atomic: what a crash takes away are the last
 * changes, and a mail that has to wait once more.  A torn end is cut off when it is opened; garbage
 * within is a key that nobody has.  The owner has the folder open; nothing is touched by a path.
 */
#ifndef RATE_GREY_FILE_H
#define RATE_GREY_FILE_H
#include "policy/rate/greylist.h"
#include "relay/base/err.h"

enum {
	GREY_FILE_ENTRIES_MAX = 4 * (GREYLIST_WAITING_MAX + GREYLIST_KNOWN_MAX),
	GREY_FILE_MAX = GREY_FILE_ENTRIES_MAX * GREYLIST_ENTRY + 64
};

struct grey_file;

/* Makes it when it is not there, begins it anew when it is of another version. NULL and err when
 * the disk fails. */
struct grey_file *grey_file_open(int dir_fd, struct err *err);
void grey_file_close(struct grey_file **f); /* NULL is fine */
/* All entries behind each other. 0 or -E_IO. */
int grey_file_read(struct grey_file *f, struct buf *entries, struct err *err);
/* Whole entries only: -E_SYNTAX. -E_FULL: GREY_FILE_MAX. -E_IO. Then nothing was added. */
int grey_file_add(struct grey_file *f, struct span entries, struct err *err);
int grey_file_replace(struct grey_file *f, struct span entries, struct err *err);

#endif

/*
 * shelf.h - the files of the quarantine: state_dir/quarantine/NN/ID.eml, NN two hexadecimal digits
 * of a hash of the id, so that no folder grows beyond reason.
 *
 * A file is written under ID.tmp, synced, renamed, and its folder is synced: under ID.eml stands
 * the whole message or nothing.  Files that are written at the same time share their syncs.  A second message of an id takes the place of the first, which is
 * what a repeated attempt after a crash wants.
 *
 * Every call blocks: it is for the helper thread of quarantine.h and for programs that may wait.
 * All file calls go through spool_io, so that tests fail them and take the power away.
 */
#ifndef QUARANTINE_SHELF_H
#define QUARANTINE_SHELF_H
#include "relay/quarantine/letter.h"
#include "relay/spool/io.h"

enum {
	SHELF_FOLDERS = 256,
	SHELF_PATH_MAX = 4096,
	SHELF_NAME_SIZE = LETTER_ID_MAX + 8, /* "ID.eml" */
	SHELF_CHUNK = 256 * 1024,
	SHELF_SHARE_MIN = 8, /* so many drafts share their syncs; fewer have their own */
	SHELF_GROUP_MAX = 64 /* drafts that share their syncs; each has a descriptor */
};

struct shelf {
	const struct spool_io *io;
	const char *dir;
	uint64_t min_free; /* bytes that must stay free on the file system */
	size_t share_min;  /* 0: SHELF_SHARE_MIN; fewer for tests */
	int root;          /* the folder, locked against a second one; -1: not open */
	int (*open_folder)(const struct shelf *s, const char *path);
};

/* Makes the folder (its parent is there) and all below it.  0, -E_FULL or -E_IO. */
int shelf_open(struct shelf *s);
/* To read only, beside whoever else has it; nothing is made. */
void shelf_open_reader(struct shelf *s, const char *dir);
void shelf_close(struct shelf *s);

/* A file that is being written. */
struct draft {
	char name[LETTER_ID_MAX + 1]; /* the id */
	int fd;                       /* -1: none */
	struct buf head;
	uint64_t size, at; /* of the message; bytes of it so far */
	uint32_t crc;      /* of what stands in the file so far */
};

/* Pure: 0, or -E_LIMIT and nothing to free.  draft_free when it does not come to shelf_begin. */
int draft_prepare(struct draft *d, const struct letter *l);
void draft_free(struct draft *d);
/* Begins the file.  Whatever fails from here on returns -E_FULL or -E_IO; then, as when it is given
 * up, shelf_abandon. */
int shelf_begin(const struct shelf *s, struct draft *d);
int shelf_add(const struct shelf *s, struct draft *d, const void *bytes, size_t n);
int shelf_finish(const struct shelf *s, struct draft *d); /* durable when 0; the draft is over */
/* As shelf_finish, in two: it is whole, then up to SHELF_GROUP_MAX of such are durable, with two syncs of the
 * file system if they are many.  results: of each one what shelf_finish would have returned. */
int shelf_fill(const struct shelf *s, struct draft *d);
void shelf_settle(const struct shelf *s, struct draft *const *drafts, size_t n, int *results);
void shelf_abandon(const struct shelf *s, struct draft *d);

/* A letter whose bytes have been compared with its CRC. */
struct taken {
	struct letter letter;
	struct buf section; /* the message's header section, without the empty line */
	int fd;             /* the file, open to be read; the owner closes it */
};

/* 0, -E_NOT_FOUND, -E_CORRUPT or -E_IO; nothing to free then. */
int shelf_take(const struct shelf *s, struct span id, struct taken *t);
void shelf_taken_free(const struct shelf *s, struct taken *t);
/* The letter in place of the one under its id, with the same message. */
int shelf_rewrite(const struct shelf *s, const struct taken *t, const struct letter *l);
/* The name is gone, is_durable: for good.  0, -E_NOT_FOUND or -E_IO. */
int shelf_remove(const struct shelf *s, struct span id, bool is_durable);
/* Whether there is a letter under the name: one whose removal has failed may be gone all the same. */
bool shelf_has(const struct shelf *s, struct span id);

/* What the file of this id says of it; its message is not looked at.  0, -E_NOT_FOUND, -E_CORRUPT
 * or -E_IO. */
int shelf_read(const struct shelf *s, struct span id, struct letter *l);
/* Bytes of the message; as many as are there, or a negative E_ code. */
ssize_t shelf_read_at(
    const struct shelf *s, const struct taken *t, uint64_t offset, void *to, size_t n);

/* The ids of one folder (0 to SHELF_FOLDERS - 1).  clears: what was left of broken attempts goes.
 * 0 or -E_IO. */
int shelf_names(const struct shelf *s, unsigned folder, bool clears,
    void (*on_id)(void *arg, struct span id), void *arg);

#endif

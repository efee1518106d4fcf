/*
 * read.h - reads the journal's files, oldest line first, by a filter; with the relay or without.
 *
 * A reader opens all files at its start, newest first, and skips one it already has: a rotation
 * meanwhile neither hides nor repeats a line.  It reads in slices so that a loop can go on.
 */
#ifndef JOURNAL_READ_H
#define JOURNAL_READ_H
#include "policy/journal/filter.h"

enum { JOURNAL_SLICE = 256 * 1024 /* bytes read in one step */ };

struct journal_reader;

/* Before a sandbox closes: jansson would read /dev/urandom for its first object. */
void journal_read_prepare(void);

/* `dir_fd` is needed during the call only.  An empty folder is an empty journal.  NULL and err
 * when a file cannot be opened.  The filter and what it points to must outlive the reader. */
struct journal_reader *journal_reader_new(
    int dir_fd, const struct journal_filter *filter, struct err *err);
void journal_reader_free(struct journal_reader **r);

/* Reads one slice and calls `on_line` for each matching line (without its newline; valid during the
 * call).  1: there is more; 0: the end for now (lines written later are found by another step, those
 * behind a rotation by journal_reader_refresh); -E_IO. */
int journal_reader_step(struct journal_reader *r, void (*on_line)(void *arg, struct span line),
    void *arg, struct err *err);

/* At the end for now: opens the files that a rotation has begun since, for the next steps to go on
 * with.  1: there are some; 0: none; -E_IO. */
int journal_reader_refresh(struct journal_reader *r, int dir_fd, struct err *err);

/* All of it at once, for the command line: 0 or -E_IO. */
int journal_read(int dir_fd, const struct journal_filter *filter,
    void (*on_line)(void *arg, struct span line), void *arg, struct err *err);

#endif

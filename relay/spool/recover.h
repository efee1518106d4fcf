/*
 * recover.h - rebuilds the index from the files of the folder.  docs/spool-states.md has the rules.
 */
#ifndef SPOOL_RECOVER_H
#define SPOOL_RECOVER_H
#include "relay/base/err.h"

struct spool;

/* Before the committer starts. -E_IO with err: the folder or a file of notes cannot be read. */
int recover_run(struct spool *s, struct err *err);
/* Then: nothing of it is in the page cache alone. -E_IO with err. */
int recover_make_durable(struct spool *s, struct err *err);
/* Calls on_recovered for every live message, in the order of the log, and writes down where the
 * segments of the last run end.  With the committer running. */
void recover_announce(struct spool *s);

#endif

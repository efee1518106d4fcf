/* inside.h - what the files of the policy store share: its database. */
#ifndef STORE_INSIDE_H
#define STORE_INSIDE_H
#include "policy/store/store.h"

#include <sqlite3.h>

struct store {
	sqlite3 *db; /* NULL: read-only and there is none, so it is empty */
	bool may_write;
};

/* err gets what SQLite says of the last call; its code, negative. */
int store_fail(struct store *s, struct err *err, const char *what);
/* Statements without results. 0 or an error. */
int store_run(struct store *s, const char *sql, struct err *err);
/* The one integer of a query; -1 when it cannot be had. */
int64_t store_ask(struct store *s, const char *sql);
/* Whether there is such a table: a store that only an older program has written may lack it. */
bool store_has_table(struct store *s, const char *name);
/* A transaction of a writer; with rc < 0 its end takes everything back, and is rc. */
int store_begin(struct store *s, struct err *err);
int store_end(struct store *s, int rc, struct err *err);

/* ids.c: numbers the rules of `text`, which replaces `now` of version `before`, and keeps that for
 * `version`.  Inside the transaction. */
int store_number(struct store *s, uint64_t before, struct span now, uint64_t version,
    struct span text, struct err *err);
/* The first number that no rule has, or had. 0 or -E_IO. */
int store_next_id(struct store *s, uint32_t *next, struct err *err);

#endif

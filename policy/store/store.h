/*
 * store.h - the policy store: every version of the policy text, with author, time and comment, in
 * SQLite at STATE_DIR/policy.db.
 *
 * One process writes (whoever imports); any may read.  A version is never changed or removed.
 * The store knows nothing of rules: whoever imports has had the text parsed.  Version 0 is the
 * shipped default, which an empty store stands for without holding it.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H
#include "relay/base/buf.h"
#include "relay/base/err.h"

#define STORE_HITS_MAX ((1LL << 53) - 1) /* of a rule; exact for every reader of JSON */

enum {
	STORE_TEXT_MAX = 64 * 1024 * 1024, /* bytes of one policy, as POLICY_TEXT_MAX */
	STORE_WORD_MAX = 1000,             /* bytes of author and comment */
	STORE_WAIT_MS = 5000,              /* for another writer to finish */
	STORE_HITS_WAIT_MS = 20            /* the same, for who tries again: an event loop */
};

struct store;

struct store_version {
	uint64_t version;
	int64_t wall_ms;
	struct span author, comment;
	size_t size; /* bytes of its text */
};

/* `dir` is state_dir.  With may_write the database is made when it is not there; without, a
 * missing one reads as empty.  NULL: err (E_IO, E_CORRUPT). */
struct store *store_open(const char *dir, bool may_write, struct err *err);
/* The same, but waits for nobody longer than STORE_HITS_WAIT_MS: E_IO then. */
struct store *store_open_now(const char *dir, bool may_write, struct err *err);
/* May write, too, but waits for nobody longer than STORE_HITS_WAIT_MS and does not sync: for
 * store_add_hits by who has other things to do. */
struct store *store_open_hits(const char *dir, struct err *err);
/* The newest text, or the default and version 0.  `text` is cleared first; its max bounds it.
 * 0 or -E_IO, -E_LIMIT. */
int store_current(struct store *s, struct buf *text, uint64_t *version, struct err *err);
/* The text of one version; -E_NOT_FOUND. 0 is the default. */
int store_text(struct store *s, uint64_t version, struct buf *text, struct err *err);
/*
 * Makes the text the newest version, in one transaction that is on disk when this returns.  A text
 * equal to the newest (of an empty store: to the default) makes none: *is_new is false and *version
 * the one that stands.  0, or -E_DENIED (read-only), -E_LIMIT, -E_IO; then nothing is changed.
 */
int store_import(struct store *s, struct span text, struct span author, struct span comment,
    uint64_t *version, bool *is_new, struct err *err);
/* The same, but only while `base` is still the newest version (0: the default): -E_AGAIN when
 * somebody else has changed the policy since. */
int store_import_on(struct store *s, uint64_t base, struct span text, struct span author,
    struct span comment, uint64_t *version, bool *is_new, struct err *err);
/*
 * A version on trial: unless somebody confirms it, it goes back to the text of `back_to` at
 * `until_ms`.  It is on trial only while it is the newest: whoever changes the policy after it has
 * seen that he still can.
 */
struct store_trial {
	uint64_t version, back_to;
	int64_t until_ms; /* wall */
};

/* As store_import (base NULL) or store_import_on, but what is new is on trial until then.  Made from
 * a version that is on trial itself, it goes back to where that one would. */
int store_import_trial(struct store *s, const uint64_t *base, struct span text, struct span author,
    struct span comment, int64_t until_ms, uint64_t *version, bool *is_new, struct err *err);
/* The version that is on trial; -E_NOT_FOUND: none is. */
int store_trial(struct store *s, struct store_trial *t, struct err *err);
/* The trial is over, the version stays. *t is what it was; -E_NOT_FOUND. */
int store_confirm(struct store *s, struct store_trial *t, struct err *err);
/* When the trial's time has come: makes the text it goes back to the newest version, by author
 * "postern". *t is what it was, *version the new one.  -E_NOT_FOUND: none is on trial, -E_AGAIN: its
 * time has not come. */
int store_go_back(
    struct store *s, int64_t now_ms, struct store_trial *t, uint64_t *version, struct err *err);
/*
 * Every rule has an id, four bytes (wire.h) of a list in the order of the text.  A line that stood in
 * the policy before keeps its id; but when the whole text of an older version comes back, its
 * rules have those that they had there.  No other rule ever has one.
 *
 * The ids of a version, whose text is given; version 0 is the default. 0 or -E_IO, -E_CORRUPT.
 */
int store_ids(
    struct store *s, uint64_t version, struct span text, struct buf *ids, struct err *err);
/* The ids that the rules of a text would have if it were imported now. 0, or as store_ids. */
int store_foresee_ids(struct store *s, struct span text, struct buf *ids, struct err *err);
/* The rules with these ids have come in with that version. */
struct store_origin {
	uint32_t first_id, next_id; /* next_id: the first that has not */
	uint64_t version;
	int64_t wall_ms;
	struct span author;
};
/* Oldest first; the spans live during the call only. 0 or -E_IO. */
int store_origins(struct store *s, void (*on_origin)(void *arg, const struct store_origin *o),
    void *arg, struct err *err);

/* How often a rule has matched, and when last (wall). */
struct store_hit {
	uint32_t rule;
	uint64_t hits;
	int64_t last_ms;
};
/* Adds to what is there, in one transaction; from store_open_hits not synced: the last ones may be lost
 * with the power.  A front counts, which may be lost to an attacker: numbers that no rule ever had are
 * passed over, counts stop at STORE_HITS_MAX, and times at now.  0, or -E_DENIED, -E_IO; then nothing is
 * changed. */
int store_add_hits(struct store *s, const struct store_hit *hits, size_t n, struct err *err);
/* By their ids; of rules that are gone, too. 0 or -E_IO. */
int store_hits(struct store *s, void (*on_hit)(void *arg, const struct store_hit *h), void *arg,
    struct err *err);
/* Newest first; the spans live during the call only. 0 or -E_IO. */
int store_history(struct store *s, void (*on_version)(void *arg, const struct store_version *v),
    void *arg, struct err *err);
void store_close(struct store **s);

#endif

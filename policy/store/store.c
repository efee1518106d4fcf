#include "policy/store/inside.h"
#include "policy/default/default_policy.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_MAX_BYTES = 4096, SCHEMA = 1, TABLES = 4 };

static const char setup[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
/* A few hits that a power loss takes away are not worth a sync. */
static const char setup_hits[] = "PRAGMA synchronous = NORMAL; PRAGMA journal_mode = WAL;";
static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS versions (version INTEGER PRIMARY KEY AUTOINCREMENT,"
    " wall_ms INTEGER NOT NULL, author TEXT NOT NULL, comment TEXT NOT NULL, text BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS trials (version INTEGER NOT NULL, back_to INTEGER NOT NULL,"
    " until_ms INTEGER NOT NULL);" /* one row at most; unknown to older programs, which is fine */
    "CREATE TABLE IF NOT EXISTS rule_ids (version INTEGER PRIMARY KEY, first_id INTEGER NOT NULL,"
    " next_id INTEGER NOT NULL, ids BLOB NOT NULL);" /* ids from first_id on are its own rules' */
    "CREATE TABLE IF NOT EXISTS hits (rule INTEGER PRIMARY KEY, hits INTEGER NOT NULL,"
    " last_ms INTEGER NOT NULL);"
    "PRAGMA user_version = 1;"
    "COMMIT;";

int
store_fail(struct store *s, struct err *err, const char *what)
{
	int rc = sqlite3_errcode(s->db);
	bool is_corrupt = rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB;

	return err_set(
	    err, is_corrupt ? E_CORRUPT : E_IO, "policy.db: %s: %s", what, sqlite3_errmsg(s->db));
}

int
store_run(struct store *s, const char *sql, struct err *err)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK
		   ? 0
		   : store_fail(s, err, "write");
}

int64_t
store_ask(struct store *s, const char *sql)
{
	sqlite3_stmt *q = NULL;
	int64_t number = -1;

	if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) == SQLITE_OK &&
	    sqlite3_step(q) == SQLITE_ROW)
		number = sqlite3_column_int64(q, 0);
	(void)sqlite3_finalize(q); /* tells the step's error again */
	return number;
}

bool
store_has_table(struct store *s, const char *name)
{
	char sql[80];

	(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM sqlite_master WHERE name = '%s'",
	    name); /* ours, and short */
	return store_ask(s, sql) > 0;
}

/* Makes what is not there; what is there is not written, which would wait for other writers. */
static int
make_tables(struct store *s, int64_t found, struct err *err)
{
	static const char count[] = "SELECT count(*) FROM sqlite_master WHERE name IN"
				    " ('versions', 'trials', 'rule_ids', 'hits')";

	return found == SCHEMA && store_ask(s, count) == TABLES ? 0 : store_run(s, schema, err);
}

static int
prepare(struct store *s, bool is_for_hits, int wait_ms, struct err *err)
{
	int64_t found;

	/* Both fail on a wrong handle only.  A checkpoint at the close would sync. */
	(void)sqlite3_busy_timeout(s->db, wait_ms);
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, is_for_hits, NULL);
	found = store_ask(s, "PRAGMA user_version");
	if (found > SCHEMA)
		return err_set(err, E_UNSUPPORTED,
		    "policy.db was written by a newer Postern (schema %lld)", (long long)found);
	if (found < 0)
		return store_fail(s, err, "read");
	if (s->may_write)
		return store_run(s, is_for_hits ? setup_hits : setup, err) < 0 ||
			       make_tables(s, found, err) < 0
			   ? -err->code
			   : 0;
	if (found == 0) { /* made, but no table yet: another process is at it */
		(void)sqlite3_close_v2(s->db); /* nothing is open on it */
		s->db = NULL;
	}
	return 0;
}

/* It belongs to whom state_dir belongs, also when root makes it. */
static void
give_to_owner(const char *dir, const char *path)
{
	struct stat folder, file;

	if (geteuid() != 0 || stat(dir, &folder) < 0 || stat(path, &file) < 0 ||
	    file.st_uid == folder.st_uid)
		return;
	if (chown(path, folder.st_uid, folder.st_gid) < 0)
		return; /* root still writes it; who cannot is told so when he tries */
}

static struct store *
open_store(const char *dir, bool may_write, bool is_for_hits, int wait_ms, struct err *err)
{
	int flags = may_write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
	struct store *s = mem_alloc(sizeof(*s));
	char path[PATH_MAX_BYTES];
	struct err own = {0};

	err = err != NULL ? err : &own;
	s->may_write = may_write;
	if ((size_t)snprintf(path, sizeof(path), "%s/policy.db", dir) >= sizeof(path)) {
		(void)err_set(err, E_LIMIT, "%s: too long a path", dir); /* NULL says it */
		store_close(&s);
		return NULL;
	}
	if (!may_write && access(path, F_OK) < 0 && errno == ENOENT)
		return s;
	if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK) {
		(void)err_set(err, E_IO, "%s: %s", path, sqlite3_errmsg(s->db));
		store_close(&s);
	} else if (prepare(s, is_for_hits, wait_ms, err) < 0) {
		store_close(&s);
	} else if (may_write) {
		give_to_owner(dir, path);
	}
	return s;
}

struct store *
store_open(const char *dir, bool may_write, struct err *err)
{
	return open_store(dir, may_write, false, STORE_WAIT_MS, err);
}

struct store *
store_open_now(const char *dir, bool may_write, struct err *err)
{
	return open_store(dir, may_write, false, STORE_HITS_WAIT_MS, err);
}

struct store *
store_open_hits(const char *dir, struct err *err)
{
	return open_store(dir, true, true, STORE_HITS_WAIT_MS, err);
}

static int
take_default(struct buf *text, struct err *err)
{
	if (buf_add_str(text, default_policy) < 0)
		return err_set(err, E_LIMIT, "policy: more than %zu bytes", text->max);
	return 0;
}

/* Version and text of the row that `q` stands on. */
static int
take_row(sqlite3_stmt *q, struct buf *text, uint64_t *version, struct err *err)
{
	const void *bytes = sqlite3_column_blob(q, 1);
	int n = sqlite3_column_bytes(q, 1);

	*version = (uint64_t)sqlite3_column_int64(q, 0);
	if (buf_add(text, bytes, (size_t)n) < 0)
		return err_set(err, E_LIMIT, "policy version %llu: more than %zu bytes",
		    (unsigned long long)*version, text->max);
	return 0;
}

/* The row that `sql` finds; -E_NOT_FOUND: none. `wanted` is bound when it is not 0. */
static int
take_one(struct store *s, const char *sql, uint64_t wanted, struct buf *text, uint64_t *version,
    struct err *err)
{
	sqlite3_stmt *q = NULL;
	int rc;

	if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
		return store_fail(s, err, "read");
	if (wanted != 0)
		(void)sqlite3_bind_int64(q, 1, (int64_t)wanted); /* the index exists */
	switch (sqlite3_step(q)) {
	case SQLITE_ROW:
		rc = take_row(q, text, version, err);
		break;
	case SQLITE_DONE:
		rc = -E_NOT_FOUND;
		break;
	default:
		rc = store_fail(s, err, "read");
		break;
	}
	(void)sqlite3_finalize(q); /* tells the step's error again */
	return rc;
}

int
store_current(struct store *s, struct buf *text, uint64_t *version, struct err *err)
{
	static const char newest[] =
	    "SELECT version, text FROM versions ORDER BY version DESC LIMIT 1";
	int rc = -E_NOT_FOUND;

	buf_clear(text);
	*version = 0;
	if (s->db != NULL)
		rc = take_one(s, newest, 0, text, version, err);
	return rc == -E_NOT_FOUND ? take_default(text, err) : rc;
}

int
store_text(struct store *s, uint64_t version, struct buf *text, struct err *err)
{
	static const char one[] = "SELECT version, text FROM versions WHERE version = ?1";
	int rc = -E_NOT_FOUND;

	buf_clear(text);
	if (version == 0)
		return take_default(text, err);
	if (s->db != NULL && version <= INT64_MAX)
		rc = take_one(s, one, version, text, &version, err);
	if (rc == -E_NOT_FOUND)
		return err_set(err, E_NOT_FOUND, "the policy has no version %llu",
		    (unsigned long long)version);
	return rc;
}

static int
insert(struct store *s, struct span text, struct span author, struct span comment, struct err *err)
{
	sqlite3_stmt *q = NULL;
	bool is_done;

	if (sqlite3_prepare_v2(s->db,
		"INSERT INTO versions (wall_ms, author, comment, text) VALUES (?1, ?2, ?3, ?4)", -1,
		&q, NULL) != SQLITE_OK)
		return store_fail(s, err, "write");
	is_done = sqlite3_bind_int64(q, 1, clock_wall_ms()) == SQLITE_OK &&
		  sqlite3_bind_text(q, 2, author.n > 0 ? author.p : "", (int)author.n,
		      SQLITE_STATIC) == SQLITE_OK &&
		  sqlite3_bind_text(q, 3, comment.n > 0 ? comment.p : "", (int)comment.n,
		      SQLITE_STATIC) == SQLITE_OK &&
		  sqlite3_bind_blob(q, 4, text.n > 0 ? text.p : "", (int)text.n, SQLITE_STATIC) ==
		      SQLITE_OK &&
		  sqlite3_step(q) == SQLITE_DONE;
	if (!is_done)
		(void)store_fail(s, err, "write"); /* before finalize changes the message */
	(void)sqlite3_finalize(q);                 /* tells the step's error again */
	return is_done ? 0 : -err->code;
}

/* --- trials ---------------------------------------------------------------------------------------- */

int
store_trial(struct store *s, struct store_trial *t, struct err *err)
{
	static const char sql[] = "SELECT version, back_to, until_ms FROM trials"
				  " WHERE version = (SELECT max(version) FROM versions) LIMIT 1";
	sqlite3_stmt *q = NULL;
	int rc = -E_NOT_FOUND;

	/* A store that was only ever read by this program may have no such table. */
	if (s->db != NULL && store_has_table(s, "trials")) {
		if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
			return store_fail(s, err, "read");
		switch (sqlite3_step(q)) {
		case SQLITE_ROW:
			*t = (struct store_trial){(uint64_t)sqlite3_column_int64(q, 0),
			    (uint64_t)sqlite3_column_int64(q, 1), sqlite3_column_int64(q, 2)};
			rc = 0;
			break;
		case SQLITE_DONE:
			break;
		default: /* which is not to say that there is none */
			rc = store_fail(s, err, "read");
			break;
		}
		(void)sqlite3_finalize(q); /* tells the step's error again */
	}
	return rc == -E_NOT_FOUND
		   ? err_set(err, E_NOT_FOUND, "no version of the policy is on trial")
		   : rc;
}

static int
set_trial(struct store *s, const struct store_trial *t, struct err *err)
{
	sqlite3_stmt *q = NULL;
	bool is_done;

	if (store_run(s, "DELETE FROM trials", err) < 0)
		return -err->code;
	if (t == NULL)
		return 0;
	if (sqlite3_prepare_v2(s->db,
		"INSERT INTO trials (version, back_to, until_ms) VALUES (?1, ?2, ?3)", -1, &q,
		NULL) != SQLITE_OK)
		return store_fail(s, err, "write");
	is_done = sqlite3_bind_int64(q, 1, (int64_t)t->version) == SQLITE_OK &&
		  sqlite3_bind_int64(q, 2, (int64_t)t->back_to) == SQLITE_OK &&
		  sqlite3_bind_int64(q, 3, t->until_ms) == SQLITE_OK &&
		  sqlite3_step(q) == SQLITE_DONE;
	if (!is_done)
		(void)store_fail(s, err, "write"); /* before finalize changes the message */
	(void)sqlite3_finalize(q);                 /* tells the step's error again */
	return is_done ? 0 : -err->code;
}

/* What is asked of an import. */
struct order {
	const uint64_t *base; /* NULL: whatever is there is replaced */
	struct span text, author, comment;
	int64_t trial_until_ms; /* 0: it is there to stay */
};

/* The new version is in; says whether it is on trial. */
static int
put_on_trial(struct store *s, const struct order *o, const struct store_trial *before,
    uint64_t replaced, uint64_t version, struct err *err)
{
	struct store_trial t = {.version = version,
	    .back_to = before->version > 0 ? before->back_to : replaced,
	    .until_ms = o->trial_until_ms};

	return set_trial(s, o->trial_until_ms > 0 ? &t : NULL, err);
}

/* --- imports --------------------------------------------------------------------------------------- */

/* Inside the transaction. */
static int
import_locked(
    struct store *s, const struct order *o, uint64_t *version, bool *is_new, struct err *err)
{
	struct store_trial before = {0};
	struct buf now = BUF_INIT(STORE_TEXT_MAX);
	int rc = store_current(s, &now, version, err);
	bool is_equal = rc == 0 && span_eq(buf_span(&now), o->text);
	uint64_t replaced = *version;

	*is_new = false;
	if (rc == 0 && o->base != NULL && *version != *o->base)
		rc = err_set(err, E_AGAIN, "somebody else has changed the policy meanwhile");
	if (rc == 0 && !is_equal) {
		(void)store_trial(s, &before, NULL); /* none: all zeros */
		rc = insert(s, o->text, o->author, o->comment, err);
		*is_new = rc == 0;
	}
	if (*is_new) {
		*version = (uint64_t)sqlite3_last_insert_rowid(s->db);
		rc = store_number(s, replaced, buf_span(&now), *version, o->text, err);
	}
	buf_free(&now);
	return rc == 0 && *is_new ? put_on_trial(s, o, &before, replaced, *version, err) : rc;
}

int
store_begin(struct store *s, struct err *err)
{
	if (!s->may_write)
		return err_set(err, E_DENIED, "policy.db is open for reading only");
	return store_run(s, "BEGIN IMMEDIATE", err);
}

/* On disk when this returns, or nothing has changed. */
int
store_end(struct store *s, int rc, struct err *err)
{
	if (rc == 0)
		rc = store_run(s, "COMMIT", err);
	if (rc < 0)
		(void)sqlite3_exec(
		    s->db, "ROLLBACK", NULL, NULL, NULL); /* the first error counts */
	return rc;
}

static int
import(struct store *s, const struct order *o, uint64_t *version, bool *is_new, struct err *err)
{
	struct err own = {0};
	int rc;

	err = err != NULL ? err : &own;
	*is_new = false;
	if (o->text.n > STORE_TEXT_MAX || o->author.n > STORE_WORD_MAX ||
	    o->comment.n > STORE_WORD_MAX)
		return err_set(err, E_LIMIT, "a policy is at most %d bytes, author and comment %d",
		    STORE_TEXT_MAX, STORE_WORD_MAX);
	rc = store_begin(s, err);
	if (rc < 0)
		return rc;
	rc = store_end(s, import_locked(s, o, version, is_new, err), err);
	if (rc < 0)
		*is_new = false;
	return rc;
}

int
store_import(struct store *s, struct span text, struct span author, struct span comment,
    uint64_t *version, bool *is_new, struct err *err)
{
	struct order o = {.text = text, .author = author, .comment = comment};

	return import(s, &o, version, is_new, err);
}

int
store_import_on(struct store *s, uint64_t base, struct span text, struct span author,
    struct span comment, uint64_t *version, bool *is_new, struct err *err)
{
	struct order o = {.base = &base, .text = text, .author = author, .comment = comment};

	return import(s, &o, version, is_new, err);
}

int
store_import_trial(struct store *s, const uint64_t *base, struct span text, struct span author,
    struct span comment, int64_t until_ms, uint64_t *version, bool *is_new, struct err *err)
{
	struct order o = {base, text, author, comment, until_ms};

	return import(s, &o, version, is_new, err);
}

int
store_confirm(struct store *s, struct store_trial *t, struct err *err)
{
	struct err own = {0};
	int rc;

	err = err != NULL ? err : &own;
	rc = store_begin(s, err);
	if (rc < 0)
		return rc;
	rc = store_trial(s, t, err);
	return store_end(s, rc < 0 ? rc : set_trial(s, NULL, err), err);
}

/* Inside the transaction. */
static int
go_back_locked(
    struct store *s, int64_t now_ms, struct store_trial *t, uint64_t *version, struct err *err)
{
	struct buf text = BUF_INIT(STORE_TEXT_MAX);
	struct order o = {.author = SPAN("postern")};
	char comment[80];
	bool is_new;
	int rc = store_trial(s, t, err);

	if (rc == 0 && now_ms < t->until_ms)
		rc = err_set(
		    err, E_AGAIN, "version %llu is on trial", (unsigned long long)t->version);
	if (rc == 0)
		rc = store_text(s, t->back_to, &text, err);
	if (rc == 0) {
		(void)snprintf(comment, sizeof(comment),
		    "back to version %llu: version %llu was not confirmed",
		    (unsigned long long)t->back_to, (unsigned long long)t->version); /* fits */
		o.comment = span_str(comment);
		o.text = buf_span(&text);
		rc = import_locked(s, &o, version, &is_new, err);
	}
	if (rc == 0 && !is_new) /* the texts are equal: nothing to go back from */
		rc = set_trial(s, NULL, err);
	buf_free(&text);
	return rc;
}

int
store_go_back(
    struct store *s, int64_t now_ms, struct store_trial *t, uint64_t *version, struct err *err)
{
	struct err own = {0};
	int rc;

	err = err != NULL ? err : &own;
	rc = store_begin(s, err);
	return rc < 0 ? rc : store_end(s, go_back_locked(s, now_ms, t, version, err), err);
}

static struct span
column(sqlite3_stmt *q, int i)
{
	const unsigned char *text = sqlite3_column_text(q, i);

	return span_of(text, (size_t)sqlite3_column_bytes(q, i));
}

int
store_history(struct store *s, void (*on_version)(void *arg, const struct store_version *v),
    void *arg, struct err *err)
{
	sqlite3_stmt *q = NULL;
	int step;

	if (s->db == NULL)
		return 0;
	if (sqlite3_prepare_v2(s->db,
		"SELECT version, wall_ms, author, comment, length(text) FROM versions "
		"ORDER BY version DESC",
		-1, &q, NULL) != SQLITE_OK)
		return store_fail(s, err, "read");
	while ((step = sqlite3_step(q)) == SQLITE_ROW) {
		struct store_version v = {.version = (uint64_t)sqlite3_column_int64(q, 0),
		    .wall_ms = sqlite3_column_int64(q, 1),
		    .author = column(q, 2),
		    .comment = column(q, 3),
		    .size = (size_t)sqlite3_column_int64(q, 4)};

		on_version(arg, &v);
	}
	if (step != SQLITE_DONE)
		(void)store_fail(s, err, "read"); /* returned below */
	(void)sqlite3_finalize(q);                /* tells the step's error again */
	return step == SQLITE_DONE ? 0 : -E_IO;
}

void
store_close(struct store **s)
{
	if (*s == NULL)
		return;
	(void)sqlite3_close_v2((*s)->db); /* NULL is fine; every statement is finalized */
	mem_free(*s);
	*s = NULL;
}

#include "policy/store/store.h"
#include "policy/default/default_policy.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

enum { PATH_MAX_BYTES = 4096, SCHEMA = 1 };

struct store {
	sqlite3 *db; /* NULL: read-only and there is none, so it is empty */
	bool may_write;
};

static const char setup[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS versions (version INTEGER PRIMARY KEY AUTOINCREMENT,"
    " wall_ms INTEGER NOT NULL, author TEXT NOT NULL, comment TEXT NOT NULL, text BLOB NOT NULL);"
    "PRAGMA user_version = 1;"
    "COMMIT;";

static int
fail(struct store *s, struct err *err, const char *what)
{
	int rc = sqlite3_errcode(s->db);
	bool is_corrupt = rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB;

	return err_set(
	    err, is_corrupt ? E_CORRUPT : E_IO, "policy.db: %s: %s", what, sqlite3_errmsg(s->db));
}

static int
run(struct store *s, const char *sql, struct err *err)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(s, err, "write");
}

/* The one integer of a query; -1 when it cannot be had. */
static int64_t
ask_number(struct store *s, const char *sql)
{
	sqlite3_stmt *q = NULL;
	int64_t number = -1;

	if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) == SQLITE_OK &&
	    sqlite3_step(q) == SQLITE_ROW)
		number = sqlite3_column_int64(q, 0);
	(void)sqlite3_finalize(q); /* tells the step's error again */
	return number;
}

static int
prepare(struct store *s, struct err *err)
{
	int64_t found;

	(void)sqlite3_busy_timeout(s->db, STORE_WAIT_MS); /* fails on a wrong handle only */
	found = ask_number(s, "PRAGMA user_version");
	if (found > SCHEMA)
		return err_set(err, E_UNSUPPORTED,
		    "policy.db was written by a newer Postern (schema %lld)", (long long)found);
	if (found < 0)
		return fail(s, err, "read");
	if (s->may_write)
		return run(s, setup, err) < 0 || run(s, schema, err) < 0 ? -err->code : 0;
	if (found == 0) { /* made, but no table yet: another process is at it */
		(void)sqlite3_close_v2(s->db); /* nothing is open on it */
		s->db = NULL;
	}
	return 0;
}

struct store *
store_open(const char *dir, bool may_write, struct err *err)
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
	} else if (prepare(s, err) < 0) {
		store_close(&s);
	}
	return s;
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
		return fail(s, err, "read");
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
		rc = fail(s, err, "read");
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
		return fail(s, err, "write");
	is_done = sqlite3_bind_int64(q, 1, clock_wall_ms()) == SQLITE_OK &&
		  sqlite3_bind_text(q, 2, author.n > 0 ? author.p : "", (int)author.n,
		      SQLITE_STATIC) == SQLITE_OK &&
		  sqlite3_bind_text(q, 3, comment.n > 0 ? comment.p : "", (int)comment.n,
		      SQLITE_STATIC) == SQLITE_OK &&
		  sqlite3_bind_blob(q, 4, text.n > 0 ? text.p : "", (int)text.n, SQLITE_STATIC) ==
		      SQLITE_OK &&
		  sqlite3_step(q) == SQLITE_DONE;
	if (!is_done)
		(void)fail(s, err, "write"); /* before finalize changes the message */
	(void)sqlite3_finalize(q);           /* tells the step's error again */
	return is_done ? 0 : -err->code;
}

/* Inside the transaction. */
static int
import_locked(struct store *s, const uint64_t *base, struct span text, struct span author,
    struct span comment, uint64_t *version, bool *is_new, struct err *err)
{
	struct buf now = BUF_INIT(STORE_TEXT_MAX);
	int rc = store_current(s, &now, version, err);
	bool is_equal = rc == 0 && span_eq(buf_span(&now), text);

	buf_free(&now);
	if (rc == 0 && base != NULL && *version != *base)
		return err_set(err, E_AGAIN, "somebody else has changed the policy meanwhile");
	if (rc < 0 || is_equal)
		return rc;
	rc = insert(s, text, author, comment, err);
	if (rc < 0)
		return rc;
	*version = (uint64_t)sqlite3_last_insert_rowid(s->db);
	*is_new = true;
	return 0;
}

static int
import(struct store *s, const uint64_t *base, struct span text, struct span author,
    struct span comment, uint64_t *version, bool *is_new, struct err *err)
{
	struct err own = {0};
	int rc;

	err = err != NULL ? err : &own;
	*is_new = false;
	if (!s->may_write)
		return err_set(err, E_DENIED, "policy.db is open for reading only");
	if (text.n > STORE_TEXT_MAX || author.n > STORE_WORD_MAX || comment.n > STORE_WORD_MAX)
		return err_set(err, E_LIMIT, "a policy is at most %d bytes, author and comment %d",
		    STORE_TEXT_MAX, STORE_WORD_MAX);
	if (run(s, "BEGIN IMMEDIATE", err) < 0)
		return -err->code;
	rc = import_locked(s, base, text, author, comment, version, is_new, err);
	if (rc == 0)
		rc = run(s, "COMMIT", err);
	if (rc < 0) {
		*is_new = false;
		(void)sqlite3_exec(
		    s->db, "ROLLBACK", NULL, NULL, NULL); /* the first error counts */
	}
	return rc;
}

int
store_import(struct store *s, struct span text, struct span author, struct span comment,
    uint64_t *version, bool *is_new, struct err *err)
{
	return import(s, NULL, text, author, comment, version, is_new, err);
}

int
store_import_on(struct store *s, uint64_t base, struct span text, struct span author,
    struct span comment, uint64_t *version, bool *is_new, struct err *err)
{
	return import(s, &base, text, author, comment, version, is_new, err);
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
		return fail(s, err, "read");
	while ((step = sqlite3_step(q)) == SQLITE_ROW) {
		struct store_version v = {.version = (uint64_t)sqlite3_column_int64(q, 0),
		    .wall_ms = sqlite3_column_int64(q, 1),
		    .author = column(q, 2),
		    .comment = column(q, 3),
		    .size = (size_t)sqlite3_column_int64(q, 4)};

		on_version(arg, &v);
	}
	if (step != SQLITE_DONE)
		(void)fail(s, err, "read"); /* returned below */
	(void)sqlite3_finalize(q);          /* tells the step's error again */
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

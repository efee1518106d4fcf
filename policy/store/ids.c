/* ids.c - the ids of a version's rules, and who has brought each of them in. */
#include "policy/default/default_policy.h"
#include "policy/store/inside.h"
#include "policy/store/numbering.h"
#include "relay/base/wire.h"

enum { IDS_MAX = STORE_TEXT_MAX }; /* four bytes for a line, which has two at least */

/* The list kept for a version, empty when there is none; *next: the first number not given yet. */
static int
read_ids(struct store *s, uint64_t version, struct buf *ids, uint32_t *next, struct err *err)
{
	sqlite3_stmt *q = NULL;
	int rc = 0, step;

	if (s->db == NULL || !store_has_table(s, "rule_ids"))
		return 0;
	if (sqlite3_prepare_v2(s->db, "SELECT next_id, ids FROM rule_ids WHERE version = ?1", -1,
		&q, NULL) != SQLITE_OK)
		return store_fail(s, err, "read");
	(void)sqlite3_bind_int64(q, 1, (int64_t)version); /* the index exists */
	step = sqlite3_step(q);
	if (step == SQLITE_ROW) {
		const void *bytes = sqlite3_column_blob(q, 1);

		*next = (uint32_t)sqlite3_column_int64(q, 0);
		if (buf_add(ids, bytes, (size_t)sqlite3_column_bytes(q, 1)) < 0)
			rc = err_set(err, E_CORRUPT, "policy.db: too many rules");
	} else if (step != SQLITE_DONE) {
		rc = store_fail(s, err, "read");
	}
	(void)sqlite3_finalize(q); /* tells the step's error again */
	return rc;
}

/* Of a version without a list: 1, 2, 3, … */
static void
count_ids(struct span text, struct buf *ids)
{
	size_t n = numbering_count(text);

	for (size_t i = 1; i <= n; i++)
		put_u32(ids, (uint32_t)i); /* a text is bounded, and so is n */
}

int
store_ids(struct store *s, uint64_t version, struct span text, struct buf *ids, struct err *err)
{
	uint32_t next;
	int rc;

	buf_clear(ids);
	ids->max = IDS_MAX;
	rc = read_ids(s, version, ids, &next, err);
	if (rc == 0 && ids->n != numbering_count(text) * 4) {
		buf_clear(ids);
		count_ids(text, ids);
	}
	return rc;
}

/* The newest older version with this very text; 0: none. */
static uint64_t
find_twin(struct store *s, uint64_t before, struct span text)
{
	sqlite3_stmt *q = NULL;
	uint64_t version = 0;

	/* The length is known without reading the text. */
	if (sqlite3_prepare_v2(s->db,
		"SELECT version FROM versions WHERE length(text) = ?1 AND text = ?2"
		" AND version <= ?3 ORDER BY version DESC LIMIT 1",
		-1, &q, NULL) != SQLITE_OK)
		return 0;
	(void)sqlite3_bind_int64(q, 1, (int64_t)text.n); /* the indexes exist */
	(void)sqlite3_bind_int64(q, 3, (int64_t)before);
	if (sqlite3_bind_blob(q, 2, text.n > 0 ? text.p : "", (int)text.n, SQLITE_STATIC) ==
		SQLITE_OK &&
	    sqlite3_step(q) == SQLITE_ROW)
		version = (uint64_t)sqlite3_column_int64(q, 0);
	(void)sqlite3_finalize(q); /* without a twin its rules are new */
	return version;
}

static int
write_ids(struct store *s, uint64_t version, uint32_t first, uint32_t next, const struct buf *ids,
    struct err *err)
{
	sqlite3_stmt *q = NULL;
	bool is_done;

	if (sqlite3_prepare_v2(s->db,
		"INSERT INTO rule_ids (version, first_id, next_id, ids) VALUES (?1, ?2, ?3, ?4)",
		-1, &q, NULL) != SQLITE_OK)
		return store_fail(s, err, "write");
	is_done = sqlite3_bind_int64(q, 1, (int64_t)version) == SQLITE_OK &&
		  sqlite3_bind_int64(q, 2, first) == SQLITE_OK &&
		  sqlite3_bind_int64(q, 3, next) == SQLITE_OK &&
		  sqlite3_bind_blob(q, 4, ids->n > 0 ? ids->p : "", (int)ids->n, SQLITE_STATIC) ==
		      SQLITE_OK &&
		  sqlite3_step(q) == SQLITE_DONE;
	if (!is_done)
		(void)store_fail(s, err, "write"); /* before finalize changes the message */
	(void)sqlite3_finalize(q);                 /* tells the step's error again */
	return is_done ? 0 : -err->code;
}

/* Whether `text` was in force before, and its ids of then.  The default has no row: none stand for its
 * 1, 2, 3, …, unless an older program has given these to others.  0 or an error. */
static int
find_again(struct store *s, uint64_t before, struct span text, bool *is_back, struct buf *ids,
    struct err *err)
{
	uint64_t twin = s->db != NULL ? find_twin(s, before, text) : 0;
	uint32_t ignored;
	int rc = twin != 0 ? read_ids(s, twin, ids, &ignored, err) : 0;

	*is_back = ids->n > 0;
	if (twin == 0 && before > 0 && span_eq(text, span_str(default_policy)))
		*is_back = store_ask(s, "SELECT first_id FROM rule_ids WHERE version = 1") >
			   (int64_t)numbering_count(text);
	return rc;
}

/* The ids that `text` has when it replaces `now` of version `before`; *first: of those that are new. */
static int
assign(struct store *s, uint64_t before, struct span now, struct span text, struct buf *ids,
    uint32_t *first, uint32_t *next, struct err *err)
{
	struct buf old = BUF_INIT(IDS_MAX), twin = BUF_INIT(IDS_MAX);
	struct numbered known[2] = {{.text = now}, {.text = text}};
	bool is_back = false;
	int rc;

	*next = 0;
	rc = read_ids(s, before, &old, next, err);
	if (rc == 0)
		rc = find_again(s, before, text, &is_back, &twin, err);
	known[0].ids = buf_span(&old);
	known[1].ids = buf_span(&twin);
	if (*next == 0) /* of an older program, or the default: 1, 2, 3, … are given */
		*next = (uint32_t)numbering_count(now) + 1;
	*first = *next;
	if (rc == 0 && numbering_assign(text, known, is_back ? 2 : 1, next, ids) < 0)
		rc = err_set(err, E_LIMIT, "policy.db: there are no more numbers for rules");
	buf_free(&old);
	buf_free(&twin);
	return rc;
}

int
store_next_id(struct store *s, uint32_t *next, struct err *err)
{
	int64_t found = store_ask(s, "SELECT next_id FROM rule_ids ORDER BY version DESC LIMIT 1");
	struct buf now = BUF_INIT(STORE_TEXT_MAX);
	uint64_t version;
	int rc = found > 0 ? 0 : store_current(s, &now, &version, err);

	*next = found > 0 ? (uint32_t)found : (uint32_t)numbering_count(buf_span(&now)) + 1;
	buf_free(&now);
	return rc;
}

int
store_number(struct store *s, uint64_t before, struct span now, uint64_t version, struct span text,
    struct err *err)
{
	struct buf ids = BUF_INIT(IDS_MAX);
	uint32_t first, next;
	int rc = assign(s, before, now, text, &ids, &first, &next, err);

	if (rc == 0)
		rc = write_ids(s, version, first, next, &ids, err);
	buf_free(&ids);
	return rc;
}

int
store_foresee_ids(struct store *s, struct span text, struct buf *ids, struct err *err)
{
	struct buf now = BUF_INIT(STORE_TEXT_MAX);
	uint64_t version;
	uint32_t first, next;
	int rc = store_current(s, &now, &version, err);

	buf_clear(ids);
	ids->max = IDS_MAX;
	if (rc == 0)
		rc = assign(s, version, buf_span(&now), text, ids, &first, &next, err);
	buf_free(&now);
	return rc;
}

int
store_origins(struct store *s, void (*on_origin)(void *arg, const struct store_origin *o),
    void *arg, struct err *err)
{
	sqlite3_stmt *q = NULL;
	int step;

	if (s->db == NULL || !store_has_table(s, "rule_ids"))
		return 0;
	if (sqlite3_prepare_v2(s->db,
		"SELECT r.first_id, r.next_id, v.version, v.wall_ms, v.author FROM rule_ids r"
		" JOIN versions v ON v.version = r.version WHERE r.first_id < r.next_id"
		" ORDER BY r.version",
		-1, &q, NULL) != SQLITE_OK)
		return store_fail(s, err, "read");
	while ((step = sqlite3_step(q)) == SQLITE_ROW) {
		const unsigned char *author = sqlite3_column_text(q, 4);
		struct store_origin o = {.first_id = (uint32_t)sqlite3_column_int64(q, 0),
		    .next_id = (uint32_t)sqlite3_column_int64(q, 1),
		    .version = (uint64_t)sqlite3_column_int64(q, 2),
		    .wall_ms = sqlite3_column_int64(q, 3),
		    .author = span_of(author, (size_t)sqlite3_column_bytes(q, 4))};

		on_origin(arg, &o);
	}
	if (step != SQLITE_DONE)
		(void)store_fail(s, err, "read"); /* returned below */
	(void)sqlite3_finalize(q);                /* tells the step's error again */
	return step == SQLITE_DONE ? 0 : -E_IO;
}

/* hits.c - how often each rule has matched, by its id. */
#include "policy/store/inside.h"
#include "relay/base/clock.h"

static int
add_one(struct store *s, sqlite3_stmt *q, const struct store_hit *h, struct err *err)
{
	uint64_t hits = h->hits < STORE_HITS_MAX ? h->hits : STORE_HITS_MAX;
	int64_t now_ms = clock_wall_ms();
	bool is_done =
	    sqlite3_bind_int64(q, 1, h->rule) == SQLITE_OK &&
	    sqlite3_bind_int64(q, 2, (int64_t)hits) == SQLITE_OK &&
	    sqlite3_bind_int64(q, 3, h->last_ms < now_ms ? h->last_ms : now_ms) == SQLITE_OK &&
	    sqlite3_bind_int64(q, 4, STORE_HITS_MAX) == SQLITE_OK && sqlite3_step(q) == SQLITE_DONE;

	if (!is_done)
		(void)store_fail(s, err, "write"); /* before reset changes the message */
	(void)sqlite3_reset(q);                    /* tells the step's error again */
	return is_done ? 0 : -err->code;
}

int
store_add_hits(struct store *s, const struct store_hit *hits, size_t n, struct err *err)
{
	static const char sql[] =
	    "INSERT INTO hits (rule, hits, last_ms) VALUES (?1, ?2, ?3) ON CONFLICT (rule) DO "
	    "UPDATE"
	    " SET hits = min(hits + excluded.hits, ?4), last_ms = max(last_ms, excluded.last_ms)";
	sqlite3_stmt *q = NULL;
	struct err own = {0};
	uint32_t next = 0;
	int rc;

	err = err != NULL ? err : &own;
	rc = store_begin(s, err);
	if (rc < 0)
		return rc;
	rc = store_next_id(s, &next, err);
	if (rc == 0 && sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
		rc = store_fail(s, err, "write");
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (hits[i].rule > 0 && hits[i].rule < next)
			rc = add_one(s, q, &hits[i], err);
	(void)sqlite3_finalize(q); /* tells the step's error again */
	return store_end(s, rc, err);
}

int
store_hits(struct store *s, void (*on_hit)(void *arg, const struct store_hit *h), void *arg,
    struct err *err)
{
	sqlite3_stmt *q = NULL;
	int step;

	if (s->db == NULL || !store_has_table(s, "hits"))
		return 0;
	if (sqlite3_prepare_v2(s->db, "SELECT rule, hits, last_ms FROM hits ORDER BY rule", -1, &q,
		NULL) != SQLITE_OK)
		return store_fail(s, err, "read");
	while ((step = sqlite3_step(q)) == SQLITE_ROW) {
		struct store_hit h = {(uint32_t)sqlite3_column_int64(q, 0),
		    (uint64_t)sqlite3_column_int64(q, 1), sqlite3_column_int64(q, 2)};

		on_hit(arg, &h);
	}
	if (step != SQLITE_DONE)
		(void)store_fail(s, err, "read"); /* returned below */
	(void)sqlite3_finalize(q);                /* tells the step's error again */
	return step == SQLITE_DONE ? 0 : -E_IO;
}

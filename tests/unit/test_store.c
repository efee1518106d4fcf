/* The policy store: versions, equal texts, reading without writing. */
#include "policy/default/default_policy.h"
#include "policy/rules/rules.h"
#include "policy/store/store.h"
#include "relay/base/clock.h"
#include "relay/base/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fixture {
	char dir[40];
	struct store *store;
	struct buf text;
};

static int
setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.dir = "/tmp/postern-store-XXXXXX", .text = BUF_INIT(STORE_TEXT_MAX)};
	if (mkdtemp(f.dir) == NULL)
		return -1;
	f.store = store_open(f.dir, true, NULL);
	*state = &f;
	return f.store == NULL;
}

static void
remove_file(const char *dir, const char *name)
{
	char path[80];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	(void)unlink(path);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	clock_fake(0, -1);
	store_close(&f->store);
	buf_free(&f->text);
	remove_file(f->dir, "policy.db");
	remove_file(f->dir, "policy.db-wal");
	remove_file(f->dir, "policy.db-shm");
	return rmdir(f->dir);
}

static uint64_t
import(struct fixture *f, const char *text, bool should_be_new)
{
	uint64_t version = 0;
	bool is_new = false;
	struct err err = {0};

	if (store_import(
		f->store, span_str(text), SPAN("anna"), SPAN("why"), &version, &is_new, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(is_new, should_be_new);
	return version;
}

static uint64_t
import_trial(struct fixture *f, const char *text, int64_t until_ms)
{
	struct err err = {0};
	uint64_t version;
	bool is_new;

	if (store_import_trial(f->store, NULL, span_str(text), SPAN("me"), SPAN(""), until_ms,
		&version, &is_new, &err) < 0)
		fail_msg("%s", err.text);
	return version;
}

static uint64_t
current(struct fixture *f, const char *should_be)
{
	uint64_t version = 99;

	assert_int_equal(store_current(f->store, &f->text, &version, NULL), 0);
	assert_true(span_eq(buf_span(&f->text), span_str(should_be)));
	return version;
}

static void
test_empty_is_default(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(current(f, default_policy), 0);
	assert_int_equal(import(f, default_policy, false), 0);
	assert_int_equal(store_text(f->store, 0, &f->text, NULL), 0);
	assert_true(span_eq(buf_span(&f->text), span_str(default_policy)));
}

static void
test_versions(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(import(f, "# one\n", true), 1);
	assert_int_equal(import(f, "# one\n", false), 1);
	assert_int_equal(import(f, "# two\n", true), 2);
	assert_int_equal(import(f, "", true), 3);
	assert_int_equal(current(f, ""), 3);
	assert_int_equal(import(f, "# one\n", true), 4); /* a rollback is a version of its own */
	assert_int_equal(current(f, "# one\n"), 4);
	assert_int_equal(store_text(f->store, 2, &f->text, NULL), 0);
	assert_true(span_eq(buf_span(&f->text), SPAN("# two\n")));
	assert_int_equal(store_text(f->store, 5, &f->text, NULL), -E_NOT_FOUND);
	assert_int_equal(store_text(f->store, UINT64_MAX, &f->text, NULL), -E_NOT_FOUND);
}

static void
on_version(void *arg, const struct store_version *v)
{
	struct buf *seen = arg;

	assert_int_equal(
	    buf_addf(seen, "%llu %lld %.*s %.*s %zu\n", (unsigned long long)v->version,
		(long long)v->wall_ms, SPAN_ARG(v->author), SPAN_ARG(v->comment), v->size),
	    0);
}

static void
test_history(void **state)
{
	struct fixture *f = *state;
	struct buf seen = BUF_INIT(4096);

	assert_int_equal(store_history(f->store, on_version, &seen, NULL), 0);
	assert_int_equal(seen.n, 0);
	clock_fake(1, 1000);
	import(f, "# one\n", true);
	clock_fake(1, 2000);
	import(f, "# zwölf\n", true);
	assert_int_equal(store_history(f->store, on_version, &seen, NULL), 0);
	assert_true(span_eq(buf_span(&seen), SPAN("2 2000 anna why 9\n1 1000 anna why 6\n")));
	buf_free(&seen);
}

/* --- ids of rules ------------------------------------------------------------------------------ */

static void
assert_ids(struct fixture *f, uint64_t version, const char *wanted)
{
	struct buf ids = BUF_INIT(0), text = BUF_INIT(4096);
	struct wire w;

	assert_int_equal(store_text(f->store, version, &f->text, NULL), 0);
	assert_int_equal(store_ids(f->store, version, buf_span(&f->text), &ids, NULL), 0);
	w = wire_over(buf_span(&ids));
	while (w.rest.n > 0)
		assert_int_equal(buf_addf(&text, "%u ", get_u32(&w)), 0);
	if (!span_eq(buf_span(&text), span_str(wanted)))
		fail_msg("version %llu: %.*s", (unsigned long long)version, (int)text.n, text.p);
	buf_free(&ids);
	buf_free(&text);
}

static void
test_ids(void **state)
{
	struct fixture *f = *state;
	struct buf ids = BUF_INIT(0);

	assert_ids(f, 0, "1 2 3 "); /* the default, whose numbers nobody else has */
	import(f, "a\nb\n", true);
	assert_ids(f, 1, "4 5 ");
	import(f, "c\n# why\nb\na\n", true);
	assert_ids(f, 2, "6 5 4 ");
	import(f, "c\n", true);
	assert_ids(f, 3, "6 ");
	import(f, "c\na\n", true); /* gone and come again: another rule */
	assert_ids(f, 4, "6 7 ");
	assert_int_equal(store_foresee_ids(f->store, SPAN("d\nc\n"), &ids, NULL), 0);
	assert_int_equal(ids.n, 8);
	assert_memory_equal(ids.p, "\10\0\0\0\6\0\0\0", 8);
	import(f, "a\nb\n", true); /* back to version 1 as a whole: with its ids, but a's of now */
	assert_ids(f, 5, "7 5 ");
	import(f, "e\n", true);
	assert_ids(f, 6, "8 ");
	assert_ids(f, 2, "6 5 4 ");
	buf_free(&ids);
}

/* The version that comes back has its ids; a rule that stands in the newest keeps the one it has. */
static void
test_ids_of_a_rollback(void **state)
{
	struct fixture *f = *state;
	struct store_trial t;
	uint64_t version;

	import(f, "t1\n", true);
	assert_ids(f, 1, "4 ");
	import(f, "t2\n", true);
	import(f, "t2\nt1\n", true);
	assert_ids(f, 3, "5 6 ");
	import(f, "t1\n", true);
	assert_ids(f, 4, "6 ");
	import(f, "t2\n", true); /* in force last with 5 */
	assert_ids(f, 5, "5 ");
	import(f, default_policy, true); /* of which there is no row */
	assert_ids(f, 6, "1 2 3 ");
	(void)import_trial(f, "t3\n", 5000);
	assert_int_equal(store_go_back(f->store, 5000, &t, &version, NULL), 0);
	assert_ids(f, version, "1 2 3 ");
}

static void
test_ids_of_the_default(void **state)
{
	struct fixture *f = *state;
	struct buf text = BUF_INIT(8192);

	assert_int_equal(buf_addf(&text, "mine\n%s", default_policy), 0);
	assert_int_equal(buf_add_char(&text, '\0'), 0);
	import(f, text.p, true);
	assert_ids(f, 1, "4 1 2 3 ");
	buf_free(&text);
}

static void
on_origin(void *arg, const struct store_origin *o)
{
	assert_int_equal(
	    buf_addf(arg, "%u-%u v%llu %lld %.*s\n", o->first_id, o->next_id,
		(unsigned long long)o->version, (long long)o->wall_ms, SPAN_ARG(o->author)),
	    0);
}

static void
test_origins(void **state)
{
	struct fixture *f = *state;
	struct buf seen = BUF_INIT(4096);

	clock_fake(1, 1000);
	import(f, "a\nb\n", true);
	import(f, "b\n", true);
	clock_fake(1, 2000);
	import(f, "b\nc\nd\n", true);
	assert_int_equal(store_origins(f->store, on_origin, &seen, NULL), 0);
	assert_true(span_eq(buf_span(&seen), SPAN("4-6 v1 1000 anna\n6-8 v3 2000 anna\n")));
	buf_free(&seen);
}

/* As an older program has left it: versions without ids. */
static void
test_ids_of_an_older_store(void **state)
{
	struct fixture *f = *state;
	char path[80];
	sqlite3 *db;

	import(f, "a\nb\n", true);
	store_close(&f->store);
	(void)snprintf(path, sizeof(path), "%s/policy.db", f->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(db, "DROP TABLE rule_ids; DROP TABLE hits", NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(db);
	f->store = store_open(f->dir, false, NULL);
	assert_ids(f, 1, "1 2 ");
	assert_int_equal(store_origins(f->store, on_origin, NULL, NULL), 0);
	store_close(&f->store);
	f->store = store_open(f->dir, true, NULL);
	import(f, "b\nc\n", true);
	assert_ids(f, 2, "2 3 ");
	import(f, default_policy, true); /* its numbers are others' here */
	assert_ids(f, 3, "4 5 6 ");
}

static void
test_bytes_are_kept(void **state)
{
	struct fixture *f = *state;
	struct span odd = SPAN("a\0b\r\n\xff");
	uint64_t version;
	bool is_new;

	assert_int_equal(
	    store_import(f->store, odd, SPAN(""), SPAN(""), &version, &is_new, NULL), 0);
	assert_int_equal(store_current(f->store, &f->text, &version, NULL), 0);
	assert_true(span_eq(buf_span(&f->text), odd));
}

static void
test_reopen_and_readers(void **state)
{
	struct fixture *f = *state;
	struct store *reader;
	uint64_t version;
	bool is_new;

	import(f, "# one\n", true);
	reader = store_open(f->dir, false, NULL);
	assert_non_null(reader);
	import(f, "# two\n", true);
	assert_int_equal(store_current(reader, &f->text, &version, NULL), 0);
	assert_int_equal(version, 2);
	assert_int_equal(
	    store_import(reader, SPAN("x"), SPAN(""), SPAN(""), &version, &is_new, NULL),
	    -E_DENIED);
	store_close(&reader);
	store_close(&f->store);
	f->store = store_open(f->dir, true, NULL);
	assert_non_null(f->store);
	assert_int_equal(current(f, "# two\n"), 2);
}

/* The second of two writers that wait for each other's transaction sees the first's text. */
static void
test_two_writers(void **state)
{
	struct fixture *f = *state;
	struct store *other = store_open(f->dir, true, NULL), *first = f->store;

	assert_non_null(other);
	import(f, "# one\n", true);
	f->store = other;
	assert_int_equal(import(f, "# one\n", false), 1);
	assert_int_equal(import(f, "# two\n", true), 2);
	f->store = first;
	assert_int_equal(current(f, "# two\n"), 2);
	store_close(&other);
}

static void
test_reading_nothing(void **state)
{
	char dir[] = "/tmp/postern-store-XXXXXX";
	struct buf text = BUF_INIT(STORE_TEXT_MAX);
	uint64_t version = 9;
	struct store *s;

	(void)state;
	assert_non_null(mkdtemp(dir));
	s = store_open(dir, false, NULL);
	assert_non_null(s);
	assert_int_equal(store_current(s, &text, &version, NULL), 0);
	assert_int_equal(version, 0);
	assert_true(span_eq(buf_span(&text), span_str(default_policy)));
	assert_int_equal(store_history(s, on_version, &text, NULL), 0);
	assert_int_equal(store_text(s, 1, &text, NULL), -E_NOT_FOUND);
	store_close(&s);
	buf_free(&text);
	assert_int_equal(rmdir(dir), 0); /* reading made nothing */
}

static void
check_trial(struct fixture *f, uint64_t version, uint64_t back_to, int64_t until_ms)
{
	struct store_trial t = {0};

	assert_int_equal(store_trial(f->store, &t, NULL), version > 0 ? 0 : -E_NOT_FOUND);
	assert_int_equal(t.version, version);
	assert_int_equal(t.back_to, back_to);
	assert_int_equal(t.until_ms, until_ms);
}

static void
check_text(struct fixture *f, uint64_t wanted, const char *text)
{
	uint64_t version;

	assert_int_equal(store_current(f->store, &f->text, &version, NULL), 0);
	assert_int_equal(version, wanted);
	assert_true(span_eq(buf_span(&f->text), span_str(text)));
}

static void
test_trial_goes_back(void **state)
{
	struct fixture *f = *state;
	struct store_trial t;
	uint64_t version;

	check_trial(f, 0, 0, 0);
	assert_int_equal(store_go_back(f->store, 0, &t, &version, NULL), -E_NOT_FOUND);
	(void)import(f, "# one\n", true);
	assert_int_equal(import_trial(f, "# two\n", 5000), 2);
	check_trial(f, 2, 1, 5000);
	assert_int_equal(store_go_back(f->store, 4999, &t, &version, NULL), -E_AGAIN);
	check_text(f, 2, "# two\n");
	assert_int_equal(store_go_back(f->store, 5000, &t, &version, NULL), 0);
	assert_int_equal(t.version, 2);
	assert_int_equal(version, 3);
	check_text(f, 3, "# one\n");
	check_trial(f, 0, 0, 0);
	assert_int_equal(store_go_back(f->store, 9999, &t, &version, NULL), -E_NOT_FOUND);
}

/* Who runs a loop does not wait for another writer as a command does, and hears of it. */
static void
test_trial_beside_a_writer(void **state)
{
	struct fixture *f = *state;
	struct store_trial t;
	uint64_t version;
	struct store *s;
	sqlite3 *other;
	char path[80];

	(void)import(f, "# one\n", true);
	assert_int_equal(import_trial(f, "# two\n", 5000), 2);
	(void)snprintf(path, sizeof(path), "%s/policy.db", f->dir); /* fits */
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	s = store_open_now(f->dir, true, NULL);
	assert_non_null(s);
	assert_int_equal(store_trial(s, &t, NULL), 0); /* readers wait for nobody */
	assert_int_equal(store_go_back(s, 9999, &t, &version, NULL), -E_IO);
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(store_go_back(s, 9999, &t, &version, NULL), 0);
	store_close(&s);
	assert_int_equal(sqlite3_close(other), SQLITE_OK);
	check_text(f, 3, "# one\n");
}

static void
test_trial_is_confirmed(void **state)
{
	struct fixture *f = *state;
	struct store_trial t;
	uint64_t version;

	(void)import(f, "# one\n", true);
	(void)import_trial(f, "# two\n", 5000);
	assert_int_equal(store_confirm(f->store, &t, NULL), 0);
	assert_int_equal(t.version, 2);
	assert_int_equal(store_confirm(f->store, &t, NULL), -E_NOT_FOUND);
	assert_int_equal(store_go_back(f->store, 9999, &t, &version, NULL), -E_NOT_FOUND);
	check_text(f, 2, "# two\n");
}

/* A trial on top of a trial goes back to before both; any other change ends it. */
static void
test_trial_and_other_changes(void **state)
{
	struct fixture *f = *state;
	struct store_trial t;
	uint64_t version;

	(void)import_trial(f, "# one\n", 5000);
	check_trial(f, 1, 0, 5000);
	(void)import_trial(f, "# two\n", 6000);
	check_trial(f, 2, 0, 6000);
	(void)import(f, "# two\n", false); /* equal: no change */
	check_trial(f, 2, 0, 6000);
	(void)import(f, "# three\n", true);
	check_trial(f, 0, 0, 0);
	(void)import_trial(f, "# four\n", 7000);
	check_trial(f, 4, 3, 7000);
	(void)import_trial(f, "# four\n", 8000); /* equal: the first stands */
	check_trial(f, 4, 3, 7000);
	assert_int_equal(store_go_back(f->store, 7000, &t, &version, NULL), 0);
	check_text(f, 5, "# three\n");
}

/* Of the shipped default there is no row to copy, but a text. */
static void
test_trial_goes_back_to_default(void **state)
{
	struct fixture *f = *state;
	struct store_trial t;
	uint64_t version;

	(void)import_trial(f, "# one\n", 5000);
	assert_int_equal(store_go_back(f->store, 5000, &t, &version, NULL), 0);
	check_text(f, 2, default_policy);
	assert_ids(f, 2, "1 2 3 ");
}

static void
test_not_a_database(void **state)
{
	char dir[] = "/tmp/postern-store-XXXXXX", path[64];
	struct err err = {0};
	char junk[4096];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/policy.db", dir);
	memset(junk, 'x', sizeof(junk));
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
	assert_int_equal(close(fd), 0);
	assert_null(store_open(dir, true, &err));
	assert_int_equal(err.code, E_CORRUPT);
	assert_null(store_open(dir, false, &err));
	assert_null(store_open("/nowhere/at/all", true, &err));
	assert_int_equal(err.code, E_IO);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void
test_limits(void **state)
{
	struct fixture *f = *state;
	struct buf word = BUF_INIT(4096);
	uint64_t version;
	bool is_new;

	while (word.n < STORE_WORD_MAX)
		assert_int_equal(buf_add_char(&word, 'w'), 0);
	assert_int_equal(store_import(f->store, SPAN("1"), buf_span(&word), buf_span(&word),
			     &version, &is_new, NULL),
	    0);
	assert_int_equal(buf_add_char(&word, 'w'), 0);
	assert_int_equal(
	    store_import(f->store, SPAN("2"), buf_span(&word), SPAN(""), &version, &is_new, NULL),
	    -E_LIMIT);
	assert_false(is_new);
	assert_int_equal(current(f, "1"), 1);
	buf_free(&word);
}

static void
test_default_parses(void **state)
{
	struct policy_errors errors;
	struct snapshot *s =
	    snapshot_parse(span_str(default_policy), "default", NULL, NULL, &errors);

	(void)state;
	if (s == NULL)
		fail_msg("%.*s", SPAN_ARG(buf_span(&errors.lines)));
	assert_int_equal(snapshot_list_count(s), 0); /* asks nobody's DNS list by itself */
	snapshot_release(&s);
	buf_free(&errors.lines);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_empty_is_default, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_history, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_ids_of_a_rollback, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_ids_of_the_default, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_origins, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_ids_of_an_older_store, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bytes_are_kept, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_reopen_and_readers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_two_writers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
	    cmocka_unit_test(test_reading_nothing),
	    cmocka_unit_test_setup_teardown(test_trial_goes_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_trial_beside_a_writer, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_trial_is_confirmed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_trial_and_other_changes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_trial_goes_back_to_default, setup, teardown),
	    cmocka_unit_test(test_not_a_database),
	    cmocka_unit_test(test_default_parses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_stamp.c - a changed folder is seen. */
#include "filters/worker/stamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void
put(const char *folder, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void
drop(const char *folder, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(unlink(path), 0);
}

static void
changes(void **state)
{
	char folder[] = "/tmp/postern-stamp-XXXXXX";
	uint64_t empty, one, two;

	(void)state;
	assert_non_null(mkdtemp(folder));
	empty = stamp_folder(folder);
	assert_int_not_equal(empty, 0);
	put(folder, "a.ndb", "x");
	one = stamp_folder(folder);
	assert_true(one != empty && one == stamp_folder(folder));
	put(folder, ".hidden", "x");
	assert_true(one == stamp_folder(folder));
	put(folder, "b.ndb", "x");
	two = stamp_folder(folder);
	assert_true(two != one);
	put(folder, "b.ndb", "longer");
	assert_true(two != stamp_folder(folder));
	drop(folder, "b.ndb");
	assert_true(one == stamp_folder(folder));
	drop(folder, ".hidden");
	drop(folder, "a.ndb");
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(stamp_folder(folder), 0);
}

static void
one_file(void **state)
{
	char folder[] = "/tmp/postern-stamp-XXXXXX", path[128];
	uint64_t one;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/sums", folder);
	assert_int_equal(stamp_file(path), 0);
	put(folder, "sums", "x");
	one = stamp_file(path);
	assert_true(one != 0 && one == stamp_file(path));
	put(folder, "other", "x");
	assert_int_equal(rename(path, path), 0);
	assert_true(one == stamp_file(path));
	put(folder, "sums", "longer");
	assert_true(one != stamp_file(path));
	one = stamp_file(path);
	/* Another of the same size, put in its place. */
	put(folder, "sums.new", "LONGER");
	drop(folder, "sums");
	(void)snprintf(path, sizeof(path), "%s/sums.new", folder);
	assert_true(one != stamp_file(path));
	drop(folder, "sums.new");
	drop(folder, "other");
	assert_int_equal(stamp_file(folder), 0);
	assert_int_equal(rmdir(folder), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(changes), cmocka_unit_test(one_file)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

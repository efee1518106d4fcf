/* Memory that several processes map: who may write, whose size it is, what is cleared. */
#include "relay/ipc/shared.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIZE = 8192 };

static void
test_what_one_writes_others_read(void **state)
{
	struct shared_fds fds;
	char *writer;
	const char *reader;

	(void)state;
	assert_int_equal(shared_make("test", SIZE, &fds), 0);
	assert_null(shared_map(dup(fds.read), SIZE, true)); /* it cannot be written by that one */
	writer = shared_map(dup(fds.write), SIZE, true);
	reader = shared_map(dup(fds.read), SIZE, false);
	assert_non_null(writer);
	assert_non_null(reader);
	assert_int_equal(reader[SIZE - 1], 0);
	writer[SIZE - 1] = 'x';
	assert_int_equal(reader[SIZE - 1], 'x');
	shared_clear(&fds, SIZE);
	assert_int_equal(reader[SIZE - 1], 0);
	assert_int_equal(writer[SIZE - 1], 0);
	writer[0] = 'y';
	shared_close(&fds);
	assert_int_equal(fds.write, -1);
	assert_int_equal(fds.read, -1);
	assert_int_equal(reader[0], 'y'); /* what is mapped stays */
	shared_unmap((void *)(uintptr_t)reader, SIZE);
	shared_unmap(writer, SIZE);
	shared_unmap(NULL, SIZE);
}

/* Whoever has it can neither take pages away under the others nor make them writable. */
static void
test_size_is_sealed(void **state)
{
	struct shared_fds fds;

	(void)state;
	assert_int_equal(shared_make("test", SIZE, &fds), 0);
	assert_int_equal(ftruncate(fds.write, 0), -1);
	assert_int_equal(ftruncate(fds.write, SIZE * 2), -1);
	assert_int_equal(fcntl(fds.write, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(fcntl(fds.read, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(write(fds.read, "x", 1), -1);
	shared_close(&fds);
}

static void
test_what_is_not_such_memory(void **state)
{
	struct shared_fds fds;
	int unsealed = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), ends[2];

	(void)state;
	assert_int_equal(ftruncate(unsealed, SIZE), 0);
	assert_null(shared_map(unsealed, SIZE, false));
	assert_int_equal(pipe(ends), 0);
	assert_null(shared_map(ends[0], SIZE, false));
	(void)close(ends[1]);
	assert_null(shared_map(-1, SIZE, false));
	assert_int_equal(shared_make("test", SIZE, &fds), 0);
	assert_null(shared_map(dup(fds.read), SIZE / 2, false));
	assert_null(shared_map(dup(fds.read), SIZE * 2, false));
	shared_close(&fds);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_one_writes_others_read),
	    cmocka_unit_test(test_size_is_sealed),
	    cmocka_unit_test(test_what_is_not_such_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

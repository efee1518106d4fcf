/* The file of drained servers: what is kept, what is left out, and disks that say no. */
#include "relay/deliver/drained.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_SIZE = 256 };

static char dir[PATH_SIZE], file[PATH_SIZE + 32];
static struct conf_server servers[3];
static struct conf_gateway confs[2];
static struct gateway *gateways[2];
static struct err err;

static void
make_gateways(void)
{
	for (int i = 0; i < 2; i++) {
		gateway_free(&gateways[i]);
		gateways[i] = gateway_new(&confs[i], 0);
	}
}

static int
set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/postern-drained-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/drained", dir);
	servers[0] = (struct conf_server){.text = "10.0.0.1:25", .port = 25};
	servers[1] = (struct conf_server){.text = "10.0.0.2:25", .port = 25};
	assert_true(ip_parse(SPAN("10.0.0.1"), &servers[0].ip));
	assert_true(ip_parse(SPAN("10.0.0.2"), &servers[1].ip));
	servers[2] = (struct conf_server){
	    .text = "mx.example:25", .host = "mx.example", .port = 25, .is_name = true};
	confs[0] = (struct conf_gateway){.name = "main office", .servers = servers, .n_servers = 2};
	confs[1] = (struct conf_gateway){.name = "other", .servers = servers + 1, .n_servers = 2};
	make_gateways();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		gateway_free(&gateways[i]);
	(void)unlink(file);
	(void)snprintf(file, sizeof(file), "%s/drained.new", dir);
	(void)unlink(file);
	return rmdir(dir);
}

static void
write_text(const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
}

static void
must_load(void)
{
	assert_int_equal(drained_load(dir, gateways, 2, 0, &err), 0);
}

static void
test_there_and_back(void **state)
{
	(void)state;
	must_load(); /* no file */
	assert_int_equal(gateways[0]->n_drained + gateways[1]->n_drained, 0);
	assert_true(gateway_drain(gateways[0], SPAN("10.0.0.1:25"), 0));
	assert_true(gateway_drain(gateways[1], SPAN("mx.example:25"), 0));
	assert_true(gateway_drain(gateways[1], SPAN("10.0.0.2:25"), 0));
	assert_int_equal(drained_save(dir, gateways, 2, &err), 0);
	make_gateways();
	must_load();
	assert_int_equal(gateways[0]->n_drained, 1);
	assert_true(gateways[0]->targets[0].is_drained);
	assert_false(gateways[0]->targets[1].is_drained); /* a server of both, drained in one */
	assert_int_equal(gateways[1]->n_drained, 2);
	assert_true(gateways[1]->targets[0].is_drained);
	gateway_undrain(gateways[0], SPAN("10.0.0.1:25"), 0);
	assert_int_equal(drained_save(dir, gateways, 2, &err), 0);
	make_gateways();
	must_load();
	assert_int_equal(gateways[0]->n_drained, 0);
}

static void
test_what_is_left_out(void **state)
{
	const struct {
		const char *text;
		size_t n, n_other;
	} cases[] = {
	    {"", 0, 0},
	    {"\n\n", 0, 0},
	    {"10.0.0.1:25 main office\n", 1, 0},
	    {"10.0.0.1:25 main office", 1, 0}, /* without its newline */
	    {"10.9.9.9:25 main office\n10.0.0.1:25 main office\n", 1, 0},
	    {"10.0.0.1:25 gone\n", 0, 0},
	    {"10.0.0.1:25\n", 0, 0},
	    {" main office\n", 0, 0},
	    {"10.1.2.3:25 other\n", 0, 1}, /* perhaps an address of mx.example */
	    {"\001\377\n10.0.0.1:25 main office\r\n", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make_gateways();
		write_text(cases[i].text);
		must_load();
		assert_int_equal(gateways[0]->n_drained, cases[i].n);
		assert_int_equal(gateways[1]->n_drained, cases[i].n_other);
	}
}

static void
test_too_long(void **state)
{
	FILE *f = fopen(file, "w");

	(void)state;
	assert_non_null(f);
	for (int i = 0; i <= DRAINED_FILE_MAX / 16; i++)
		(void)fputs("10.0.0.1:25 gone", f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(drained_load(dir, gateways, 2, 0, &err), -E_LIMIT);
}

static void
test_no_folder(void **state)
{
	(void)state;
	assert_int_equal(drained_load("/nowhere/at/all", gateways, 2, 0, &err), -E_IO);
	assert_int_equal(drained_save("/nowhere/at/all", gateways, 2, &err), -E_IO);
	assert_int_equal(mkdir(file, 0700), 0); /* a folder in its place */
	assert_int_equal(drained_load(dir, gateways, 2, 0, &err), -E_IO);
	assert_int_equal(drained_save(dir, gateways, 2, &err), -E_IO);
	assert_int_equal(rmdir(file), 0);
}

/* A full disk: the old file stays as it was. */
static void
test_disk_full(void **state)
{
	struct rlimit old, none = {0, 0};

	(void)state;
	assert_true(gateway_drain(gateways[0], SPAN("10.0.0.1:25"), 0));
	assert_int_equal(drained_save(dir, gateways, 2, &err), 0);
	assert_true(gateway_drain(gateways[0], SPAN("10.0.0.2:25"), 0));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none.rlim_max = old.rlim_max;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(drained_save(dir, gateways, 2, &err), -E_IO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	make_gateways();
	must_load();
	assert_int_equal(gateways[0]->n_drained, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_there_and_back),
	    TEST(test_what_is_left_out),
	    TEST(test_too_long),
	    TEST(test_no_folder),
	    TEST(test_disk_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

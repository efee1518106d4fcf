/* Whose load has ended a filter role, what is barred for it, and what a new configuration is refused for. */
#include "relay/process/loads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>

static struct conf_filter filters[] = {{.name = "one", .load_ms = 60000},
    {.name = "two", .load_ms = 1500}, {.name = "three", .load_ms = 900000}};
static const struct config config = {.filters = filters, .n_filters = 3};

/* What a process says of the filters in their order, a letter each: F(ine), N(ot now), B(roken). */
static void
tell(struct loads *l, const char *results)
{
	struct buf b = BUF_INIT(LOADS_BYTES_MAX);

	for (uint32_t i = 0; results[i] != '\0'; i++)
		load_state_put(&b, &(struct load_state){i,
				       results[i] == 'F'   ? LOAD_FINE
				       : results[i] == 'N' ? LOAD_NOT_NOW
							   : LOAD_BROKEN,
				       results[i] == 'F' ? SPAN("") : SPAN("so it is")});
	loads_take(l, &config, buf_span(&b));
	buf_free(&b);
}

static void
test_ends(void **state)
{
	static const struct {
		uint64_t id;
		int status;
		bool is_late;
		const char *why; /* NULL: no load's doing */
	} rows[] = {
	    {1, W_EXITCODE(0, SIGSEGV), false,
		"filter one: its load crashed (signal 11: Segmentation fault)"},
	    {1, W_EXITCODE(0, SIGKILL), true, "filter one: its load took over 60 s"},
	    {2, W_EXITCODE(0, SIGKILL), true, "filter two: its load took over 1500 ms"},
	    {3, W_EXITCODE(7, 0), false,
		"filter three: its load ended the process (exit status 7)"},
	    {0, W_EXITCODE(0, SIGSEGV), false, NULL},
	    {4, W_EXITCODE(0, SIGSEGV), false, NULL}, /* there is no such filter */
	    {UINT64_MAX, W_EXITCODE(0, SIGSEGV), false, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct loads l = {0};
		struct err err = {0};
		bool is_load;

		(void)loads_loading(&l, &config, rows[i].id); /* the limit is another test's */
		l.is_late = rows[i].is_late;
		is_load = loads_died(&l, &config, rows[i].status, &err);
		if (is_load != (rows[i].why != NULL) ||
		    (is_load && strcmp(err.text, rows[i].why) != 0))
			fail_msg("row %zu: %d %s", i, is_load, err.text);
		assert_int_equal(l.barred.n > 0, is_load);
		loads_forget(&l);
	}
}

static void
test_limits(void **state)
{
	struct loads l = {0};

	(void)state;
	assert_int_equal(loads_loading(&l, &config, 1), 60000);
	assert_string_equal(loads_now(&l, &config), "one");
	assert_int_equal(loads_loading(&l, &config, 3), 900000);
	assert_int_equal(loads_loading(&l, &config, 0), 0);
	assert_null(loads_now(&l, &config));
	assert_int_equal(loads_loading(&l, &config, 4), 0);
	assert_null(loads_now(&l, &config));
}

/* Each once: a process that goes on dying of the same one has another reason. */
static void
test_barred(void **state)
{
	struct loads l = {0};
	struct err err = {0};
	struct wire w;
	struct load_state s;

	(void)state;
	(void)loads_loading(&l, &config, 2);
	assert_true(loads_died(&l, &config, W_EXITCODE(0, SIGABRT), &err));
	loads_begin(&l);
	assert_null(loads_now(&l, &config));
	(void)loads_loading(&l, &config, 1);
	assert_true(loads_died(&l, &config, W_EXITCODE(0, SIGABRT), &err));
	loads_begin(&l);
	(void)loads_loading(&l, &config, 2);
	assert_false(loads_died(&l, &config, W_EXITCODE(0, SIGABRT), &err));
	w = wire_over(buf_span(&l.barred));
	s = load_state_get(&w);
	assert_int_equal(s.filter, 1);
	assert_int_equal(s.result, LOAD_BROKEN);
	assert_true(span_eq(s.why, SPAN("its load crashed (signal 6: Aborted); have it corrected, "
					"then run postern reload")));
	assert_int_equal(load_state_get(&w).filter, 0);
	assert_int_equal(wire_end(&w), 0);
	loads_forget(&l);
	assert_int_equal(l.barred.n, 0);
}

static void
test_compared(void **state)
{
	static const struct {
		const char *before, *now; /* NULL: nobody has told anything */
		const char *refused, *lacking;
	} rows[] = {
	    {"FFF", "FFF", "", ""},
	    {"FFF", "FBF", "filter two: so it is\n", ""},
	    {"FFF", "FNF", "", "filter two: so it is\n"},
	    {"FNF", "FBF", "", "filter two: so it is\n"},
	    {"FBF", "FBB", "filter three: so it is\n", "filter two: so it is\n"},
	    {"F", "FB", "filter two: so it is\n", ""}, /* a new one */
	    {NULL, "FBF", "", "filter two: so it is\n"},
	    {"FFF", NULL, "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct loads before = {0}, now = {0};
		struct buf refused = BUF_INIT(1000), lacking = BUF_INIT(1000);

		if (rows[i].before != NULL)
			tell(&before, rows[i].before);
		if (rows[i].now != NULL)
			tell(&now, rows[i].now);
		loads_compare(&now, &before, &refused, &lacking);
		if (!span_eq(buf_span(&refused), span_str(rows[i].refused)) ||
		    !span_eq(buf_span(&lacking), span_str(rows[i].lacking)))
			fail_msg("row %zu: refused \"%.*s\", lacking \"%.*s\"", i,
			    SPAN_ARG(buf_span(&refused)), SPAN_ARG(buf_span(&lacking)));
		buf_free(&refused);
		buf_free(&lacking);
		loads_forget(&before);
		loads_forget(&now);
	}
}

static void
test_barred_beside(void **state)
{
	struct loads serves = {0}, other = {0};

	(void)state;
	assert_false(loads_lacks_barred(&serves, &other, &config)); /* of no load */
	(void)loads_loading(&other, &config, 2);
	assert_true(loads_lacks_barred(&serves, &other, &config));
	tell(&serves, "FNF");
	assert_true(loads_lacks_barred(&serves, &other, &config));
	tell(&serves, "FFF");
	assert_false(loads_lacks_barred(&serves, &other, &config));
	loads_forget(&serves);
	loads_forget(&other);
}

/* Cut anywhere, or naming what is not there: what could be read before that stays. */
static void
test_nonsense(void **state)
{
	struct buf b = BUF_INIT(1000);
	struct loads l = {0};
	char why[LOAD_WHY_MAX + 100];

	(void)state;
	memset(why, 'x', sizeof(why));
	load_state_put(&b, &(struct load_state){2, LOAD_BROKEN, span_of(why, sizeof(why))});
	for (size_t n = 0; n < b.n; n++) {
		loads_take(&l, &config, span_take(buf_span(&b), n));
		assert_int_equal(l.n, 0);
	}
	loads_take(&l, &config, buf_span(&b));
	assert_int_equal(l.n, 1);
	assert_true(loads_lacks(&l, "three"));
	buf_clear(&b);
	load_state_put(&b, &(struct load_state){3, LOAD_FINE, SPAN("")});
	loads_take(&l, &config, buf_span(&b));
	assert_int_equal(l.n, 0);
	for (int i = 0; i < 5; i++)
		load_state_put(&b, &(struct load_state){0, LOAD_FINE, SPAN("")});
	loads_take(&l, &config, span_skip(buf_span(&b), b.n / 6));
	assert_int_equal(l.n, 3);
	buf_free(&b);
	loads_forget(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ends),
	    cmocka_unit_test(test_limits), cmocka_unit_test(test_barred),
	    cmocka_unit_test(test_compared), cmocka_unit_test(test_barred_beside),
	    cmocka_unit_test(test_nonsense)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

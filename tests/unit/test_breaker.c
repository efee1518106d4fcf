/* Circuit breakers: closed, open, tried, on a clock of ours. */
#include "relay/front/breaker.h"
#include "relay/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { PAUSE_MS = 5000, WALL_MS = 1 };

static const struct conf_filter one = {.name = "one", .max_failures = 3, .pause_ms = PAUSE_MS};
static const struct conf_filter two = {.name = "two", .max_failures = 1, .pause_ms = PAUSE_MS};
static const struct conf_flow flow = {
    .name = "f", .filters = {{.filter = &one}, {.filter = &two}}, .n_filters = 2};
static const struct conf_flow other = {.name = "g", .filters = {{.filter = &one}}, .n_filters = 1};

static unsigned n_opened, n_closed;

static void
on_change(void *arg, const struct conf_filter *filter, bool is_over)
{
	(void)arg;
	(void)filter;
	if (is_over)
		n_closed++;
	else
		n_opened++;
}

/* Steps of a script: f and w are the first filter's failure and success, F and W the second's; u is
 * an undecided trial; a digit is what breakers_ask must bar (0 to 3), followed by what is tried;
 * p passes the pause, m a millisecond less. */
static void
play(struct breakers *b, const char *script, int64_t *now_ms)
{
	uint32_t tries = 0;

	for (const char *c = script; *c != '\0'; c++) {
		switch (*c) {
		case 'f':
			breakers_failed(b, &one);
			break;
		case 'w':
			breakers_worked(b, &one);
			break;
		case 'F':
			breakers_failed(b, &two);
			break;
		case 'W':
			breakers_worked(b, &two);
			break;
		case 'u':
			breakers_undecided(b, &flow, tries);
			break;
		case 'p':
		case 'm':
			*now_ms += *c == 'p' ? PAUSE_MS : PAUSE_MS - 1;
			clock_fake(*now_ms, WALL_MS);
			break;
		default:
			if (breakers_ask(b, &flow, &tries) != (uint32_t)(c[0] - '0') ||
			    tries != (uint32_t)(c[1] - '0'))
				fail_msg("%s: at %s", script, c);
			c++;
		}
	}
}

static void
test_scripts(void **state)
{
	static const struct {
		const char *script;
		unsigned opened, closed;
	} rows[] = {
	    {"00ff00", 0, 0},        /* not yet */
	    {"ffwff00", 0, 0},       /* not in a row */
	    {"fff10", 1, 0},         /* the third */
	    {"ffffff10", 1, 0},      /* told once */
	    {"fffm10", 1, 0},        /* the pause is not over */
	    {"fffp0110", 1, 0},      /* one tries, the next does not */
	    {"fffp01w00ff00", 1, 1}, /* it works: as if nothing had been */
	    {"fffp01fm10", 1, 0},    /* it does not: another pause */
	    {"fffp01fp01w00", 1, 1}, /* which ends too */
	    {"fffp01u0110", 1, 0},   /* the trial came to nothing: the next one tries */
	    {"fffw00", 1, 1},        /* a message that was with it has come through */
	    {"F20p02W00", 1, 1},     /* one failure is enough for the second */
	    {"fffF30p03wW00", 2, 2}, /* both */
	    {"fffp01Fup03", 2, 0},   /* undecided, and the other opens meanwhile */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct breakers *b = breakers_new();
		int64_t now_ms = 1000;

		n_opened = n_closed = 0;
		clock_fake(now_ms, WALL_MS);
		breakers_set_events(b, &(struct breakers_events){.on_change = on_change});
		play(b, rows[i].script, &now_ms);
		if (n_opened != rows[i].opened || n_closed != rows[i].closed)
			fail_msg("%s: opened %u, closed %u", rows[i].script, n_opened, n_closed);
		breakers_free(&b);
	}
	clock_fake(0, -1);
}

/* One breaker a filter, whatever the flow. */
static void
test_other_flow(void **state)
{
	struct breakers *b = breakers_new();
	uint32_t tries;

	(void)state;
	clock_fake(1000, WALL_MS);
	for (int i = 0; i < 3; i++)
		breakers_failed(b, &one);
	assert_int_equal(breakers_ask(b, &other, &tries), 1);
	clock_fake(1000 + PAUSE_MS, WALL_MS);
	assert_int_equal(breakers_ask(b, &other, &tries), 0);
	assert_int_equal(tries, 1);
	assert_int_equal(breakers_ask(b, &flow, &tries), 1);
	assert_int_equal(tries, 0);
	clock_fake(0, -1);
	breakers_free(&b);
}

static const struct conf_filter *told[4];
static size_t n_told;

static void
on_works(void *arg, const struct conf_filter *filter)
{
	(void)arg;
	told[n_told++] = filter;
}

/* Whoever waits for a filter hears once that it has worked, whether its breaker was open or not. */
static void
test_watched(void **state)
{
	struct breakers *b = breakers_new();

	(void)state;
	n_told = 0;
	breakers_set_events(b, &(struct breakers_events){.on_works = on_works});
	breakers_worked(b, &one);
	assert_int_equal(n_told, 0); /* nobody waits */
	breakers_watch(b, &one);
	breakers_watch(b, &one);
	breakers_worked(b, &two);
	breakers_failed(b, &one);
	assert_int_equal(n_told, 0);
	breakers_worked(b, &one);
	breakers_worked(b, &one);
	assert_int_equal(n_told, 1);
	assert_ptr_equal(told[0], &one);
	breakers_watch(b, &two);
	breakers_failed(b, &two); /* opens */
	breakers_worked(b, &two);
	assert_int_equal(n_told, 2);
	assert_ptr_equal(told[1], &two);
	breakers_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_scripts),
	    cmocka_unit_test(test_other_flow), cmocka_unit_test(test_watched)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

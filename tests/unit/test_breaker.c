/* Circuit breakers: closed, doubted, open, and what trials say. */
#include "relay/front/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct conf_filter one = {.name = "one", .max_failures = 3};
static const struct conf_filter two = {.name = "two", .max_failures = 1};
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

/* Steps of a script: f and w are the first filter's failure and success, F and W the second's; a
 * failure before "!" must ask for a trial.  +, - and ? are how a trial of the first ended,
 * with "p" behind where another one must follow its pause; a digit is what breakers_ask must bar. */
static void
play(struct breakers *b, const char *script)
{
	for (const char *c = script; *c != '\0'; c++) {
		bool must_try = c[1] == '!', must_pause = c[1] == 'p', is_fine = true;

		switch (*c) {
		case 'f':
			is_fine = breakers_failed(b, &one) == must_try;
			break;
		case 'w':
			breakers_worked(b, &one);
			break;
		case 'F':
			is_fine = breakers_failed(b, &two) == must_try;
			break;
		case 'W':
			breakers_worked(b, &two);
			break;
		case '+':
			is_fine = breakers_tried(b, &one, TRIAL_WORKED) == must_pause;
			break;
		case '-':
			is_fine = breakers_tried(b, &one, TRIAL_FAILED) == must_pause;
			break;
		case '?':
			is_fine = breakers_tried(b, &one, TRIAL_UNKNOWN) == must_pause;
			break;
		case '!':
		case 'p':
			break; /* of the step before */
		default:
			is_fine = breakers_ask(b, &flow) == (uint32_t)(c[0] - '0');
		}
		if (!is_fine)
			fail_msg("%s: at %s", script, c);
	}
}

static void
test_scripts(void **state)
{
	static const struct {
		const char *script;
		unsigned opened, closed;
	} rows[] = {
	    {"0ff0", 0, 0},            /* not yet */
	    {"ffwff0", 0, 0},          /* not in a row */
	    {"fff!0", 0, 0},           /* the third: doubted, and asked as before */
	    {"fff!fff0", 0, 0},        /* one trial */
	    {"fff!-p1", 1, 0},         /* broken */
	    {"fff!-pfff1", 1, 0},      /* told once; what was with it says nothing new */
	    {"fff!-p-p-p1", 1, 0},     /* it stays broken, pause after pause */
	    {"fff!-p?p1", 1, 0},       /* nor is it well for want of a worker */
	    {"fff!-p-p+0ff0f!", 1, 1}, /* well: as if nothing had been */
	    {"fff!-pw0", 1, 1},        /* a message that was with it has come through */
	    {"fff!-pw-0", 1, 1},       /* which says more than a trial that began before */
	    {"fff!+0", 0, 0},          /* the messages were at fault */
	    {"fff!+ff0f!+0", 0, 0},    /* however many of them: nobody else's mail suffers */
	    {"fff!w0ff-0f!", 0, 0},    /* mail came through meanwhile */
	    {"fff!w+0", 0, 0},
	    {"fff!?0ff0f!", 0, 0}, /* the trial came to nothing: the next as many */
	    {"F!0f0", 0, 0},       /* one failure is enough for the second */
	    {"F!fff!-p1W1", 1, 0}, /* one is broken, the other not */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct breakers *b = breakers_new();

		n_opened = n_closed = 0;
		breakers_set_events(b, &(struct breakers_events){.on_change = on_change});
		play(b, rows[i].script);
		if (n_opened != rows[i].opened || n_closed != rows[i].closed)
			fail_msg("%s: opened %u, closed %u", rows[i].script, n_opened, n_closed);
		breakers_free(&b);
	}
}

/* One breaker a filter, whatever the flow. */
static void
test_other_flow(void **state)
{
	struct breakers *b = breakers_new();

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(breakers_failed(b, &one), i == 2);
	assert_true(breakers_tried(b, &one, TRIAL_FAILED));
	assert_int_equal(breakers_ask(b, &other), 1);
	assert_int_equal(breakers_ask(b, &flow), 1);
	assert_false(breakers_tried(b, &one, TRIAL_WORKED));
	assert_int_equal(breakers_ask(b, &other), 0);
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
	assert_false(breakers_failed(b, &one));
	assert_int_equal(n_told, 0);
	breakers_worked(b, &one);
	breakers_worked(b, &one);
	assert_int_equal(n_told, 1);
	assert_ptr_equal(told[0], &one);
	breakers_watch(b, &two);
	assert_true(breakers_failed(b, &two));
	assert_true(breakers_tried(b, &two, TRIAL_FAILED));
	assert_int_equal(n_told, 1);
	assert_false(breakers_tried(b, &two, TRIAL_WORKED)); /* a trial is enough */
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

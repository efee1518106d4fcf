/* What is kept of a verdict is the verdict. */
#include "policy/decide/kept.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct verdict
verdict_with(size_t tags, size_t observed, size_t text, size_t why)
{
	struct verdict v = {.action = ACTION_REJECT,
	    .stage = STAGE_RCPT,
	    .rule = 7,
	    .by = SPAN("policy"),
	    .code = 550,
	    .enhanced = "5.7.1",
	    .score_milli = -1500,
	    .strips = {1, 0, 0, UINT64_C(1) << 63},
	    .n_tags = tags,
	    .n_observed = observed};

	for (size_t i = 0; i < tags; i++)
		v.tags[i] = (struct verdict_tag){
		    .name = SPAN("tag"), .why = SPAN("because"), .score_milli = (int32_t)i};
	for (size_t i = 0; i < observed; i++)
		v.observed[i] = (uint32_t)(1000 + i);
	memset(v.text, 't', text);
	memset(v.why, 'w', why);
	return v;
}

static void
test_round_trip(void **state)
{
	static const struct {
		size_t tags, observed, text, why;
	} rows[] = {
	    {0, 0, 0, 0},
	    {1, 0, 20, 0},
	    {0, 1, 0, 20},
	    {3, 2, 17, 9},
	    {VERDICT_TAGS_MAX, VERDICT_OBSERVED_MAX, VERDICT_REPLY_MAX - 1, VERDICT_WHY_MAX - 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct verdict v = verdict_with(
				   rows[i].tags, rows[i].observed, rows[i].text, rows[i].why),
			       again;
		struct kept_verdict *k = kept_new(&v);

		again = kept_verdict(k);
		assert_memory_equal(&again, &v, sizeof(v));
		assert_int_equal(kept_action(k), ACTION_REJECT);
		assert_true(kept_bytes(k) < sizeof(v) + 64);
		mem_free(k);
	}
}

static void
test_nothing(void **state)
{
	struct verdict none = {0}, again = kept_verdict(NULL);

	(void)state;
	assert_memory_equal(&again, &none, sizeof(none));
	assert_int_equal(kept_action(NULL), ACTION_PASS);
	assert_int_equal(kept_bytes(NULL), 0);
}

/* A thousand bots that are refused later cost little. */
static void
test_small(void **state)
{
	struct verdict v = verdict_with(2, 0, 60, 40);
	struct kept_verdict *k = kept_new(&v);

	(void)state;
	assert_true(kept_bytes(k) < 512);
	mem_free(k);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_nothing),
	    cmocka_unit_test(test_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

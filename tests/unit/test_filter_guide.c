/* The example of docs/filter-guide.md compiles, loads and works. */
#include "tests/unit/filter_fixture.h"

/* clang-format off: as it stands in the guide */
static const struct pnf_host *host;
static const struct pnf_outcome outcomes[] = {{"large", "tag", "over 1 MiB"}, {0}};
static const struct pnf_option options[] = {{0}};
static const struct pnf_about size_about = {.name = "size",
    .version = "1",
    .summary = "tells large mail",
    .outcomes = outcomes,
    .options = options};
static int
size_load(const struct pnf_host *h, const struct pnf_config *c, void **self, char *why, size_t n)
{
	(void)c, (void)self, (void)why, (void)n;
	host = h;
	return PNF_LOADED;
}
static void
size_eom(void *self, struct pnf_msg *m, struct pnf_span raw)
{
	(void)self;
	if (raw.n > 1048576)
		(void)host->outcome(m, "large", (struct pnf_span){"over 1 MiB", 10});
}
static PNF_FILTER(size_filter, .about = &size_about, .load = size_load, .eom = size_eom);
/* clang-format on */

static const struct pnf_filter *
plugins(const struct pnf_about *about)
{
	return about == &size_about ? &size_filter : NULL;
}

static void
test_example(void **state)
{
	static const struct pnf_about *const abouts[] = {&size_about, NULL};
	struct fixture *f = fixture_new("\"large\"",
	    "filter \"large\" { plugin = \"size\" large = \"reject\" deadline = 5s }", abouts,
	    plugins);
	char *mail = mem_alloc(1048577);

	(void)state;
	assert_int_equal(chain_load(f->chain, &f->err), 0);
	memset(mail, 'a', 1048577);
	assert_int_equal(fixture_scan(f, span_of(mail, 1048576), NULL)->n_outcomes, 0);
	assert_int_equal(
	    fixture_outcome(f, fixture_scan(f, span_of(mail, 1048577), NULL), "large"), 0);
	mem_free(mail);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_example)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Canaries that the resolver denies, against a scripted lookup role. */
#include "relay/front/canary_watch.h"
#include "tests/unit/fake_lookup.h"

enum { TIMEOUT_MS = 5000, REPORTS_MAX = 8 };

static struct {
	char name[300];
	bool is_over;
} reports[REPORTS_MAX];
static size_t n_reports;

/* What lives as long as its process: kept, so that a leak checker still sees it. */
static void *kept[8];
static size_t n_kept;

static void
on_report(void *arg, const char *name, const char *what, const char *do_this)
{
	(void)arg;
	assert_true(n_reports < REPORTS_MAX);
	assert_non_null(strstr(what, "the resolver"));
	(void)span_copy(
	    span_str(name), reports[n_reports].name, sizeof(reports[0].name)); /* short names */
	reports[n_reports++].is_over = do_this == NULL;
}

static struct canary_watch *
begin(struct fake_lookup *f)
{
	static const struct fake_record nothing[] = {{NULL, NULL, 0}};
	struct canary_watch *w;

	fake_open(f);
	f->records = nothing;
	n_reports = 0;
	w = canary_watch_new(f->loop, f->dns, TIMEOUT_MS, on_report, NULL);
	kept[n_kept++] = f->dns;
	kept[n_kept++] = w;
	return w;
}

static void
expect(size_t i, const char *name, bool is_over)
{
	assert_int_equal(n_reports, i + 1);
	assert_string_equal(reports[i].name, name);
	assert_int_equal(reports[i].is_over, is_over);
}

/* Flows with different canaries: one is denied, the other is not, again and again. */
static void
test_each_has_its_own_alarm(void **state)
{
	struct fake_lookup *f = mem_alloc(sizeof(*f));
	struct canary_watch *w = begin(f);

	(void)state;
	canary_watch_note(w, CANARY_ALIVE, SPAN("com"));
	assert_int_equal(n_reports, 0);
	canary_watch_note(w, CANARY_DENIED, SPAN("gone.example"));
	expect(0, "sender-canary gone.example", false);
	for (int i = 0; i < 3; i++) {
		canary_watch_note(w, CANARY_ALIVE, SPAN("com"));
		canary_watch_note(w, CANARY_DENIED, SPAN("Gone.example"));
		canary_watch_note(w, CANARY_SILENT, SPAN("gone.example"));
		canary_watch_note(w, CANARY_UNASKED, SPAN("gone.example"));
	}
	assert_int_equal(n_reports, 1);
	canary_watch_note(w, CANARY_DENIED, SPAN("com"));
	expect(1, "sender-canary com", false);
	canary_watch_note(w, CANARY_ALIVE, SPAN("gone.example"));
	expect(2, "sender-canary gone.example", true);
	canary_watch_note(w, CANARY_ALIVE, SPAN("com"));
	expect(3, "sender-canary com", true);
	fake_pass(f, CANARY_AGAIN_MS); /* nothing is asked any more */
	fake_serve(f);
	assert_int_equal(f->n_asked, 0);
	fake_close(f);
	mem_free(f);
}

static void
test_it_ends_by_itself(void **state)
{
	static const struct fake_record denied[] = {{NULL, NULL, 0}},
					silent[] = {{"MX com", "!", 0}, {NULL, NULL, 0}},
					alive[] = {{"MX com", "", 0}, {NULL, NULL, 0}};
	static const struct fake_record *const answers[] = {denied, silent, denied, alive};
	struct fake_lookup *f = mem_alloc(sizeof(*f));
	struct canary_watch *w = begin(f);

	(void)state;
	canary_watch_note(w, CANARY_DENIED, SPAN("com"));
	for (size_t i = 0; i < 4; i++) {
		f->records = answers[i];
		fake_pass(f, CANARY_AGAIN_MS - 1);
		fake_serve(f);
		assert_int_equal(f->n_asked, i);
		assert_int_equal(n_reports, 1);
		fake_pass(f, 1);
		fake_serve(f);
		assert_int_equal(f->n_asked, i + 1);
		assert_string_equal(f->asked[i], "MX com");
		assert_true(f->was_fresh[i]);
	}
	expect(1, "sender-canary com", true);
	fake_pass(f, CANARY_AGAIN_MS);
	fake_serve(f);
	assert_int_equal(f->n_asked, 4);
	fake_close(f);
	mem_free(f);
}

/* It is heard of otherwise while the question is under way. */
static void
test_it_ends_while_it_is_asked_for(void **state)
{
	static const struct fake_record denied[] = {{NULL, NULL, 0}};
	struct fake_lookup *f = mem_alloc(sizeof(*f));
	struct canary_watch *w = begin(f);

	(void)state;
	f->records = denied;
	canary_watch_note(w, CANARY_DENIED, SPAN("com"));
	fake_pass(f, CANARY_AGAIN_MS);
	canary_watch_note(w, CANARY_ALIVE, SPAN("com"));
	expect(1, "sender-canary com", true);
	fake_serve(f);
	assert_int_equal(n_reports, 2);
	fake_close(f);
	mem_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_has_its_own_alarm),
	    cmocka_unit_test(test_it_ends_by_itself),
	    cmocka_unit_test(test_it_ends_while_it_is_asked_for)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

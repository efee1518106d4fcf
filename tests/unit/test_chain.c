/* The chain with filters made here: order, rights, bounds, skips, and the policy's predicates. */
#include "tests/unit/filter_fixture.h"
#include "filters/chain/abouts.h"
#include "filters/chain/builtins.h"
#include "policy/rules/effort.h"

static const struct pnf_host *host;      /* as the filters got it */
static char calls[4096];                 /* which hooks ran, one word each */
static void (*on_eom)(struct pnf_msg *); /* what a test wants a filter to do */

static void
say(const char *word, struct span text)
{
	size_t n = strlen(calls);

	(void)snprintf(calls + n, sizeof(calls) - n, "%s:%.*s ", word, SPAN_ARG(text));
}

static struct span
from_pnf(struct pnf_span s)
{
	return span_of(s.p, s.n);
}

static struct pnf_span
to_pnf(const char *s)
{
	return (struct pnf_span){s, strlen(s)};
}

static int
fake_load(const struct pnf_host *h, const struct pnf_config *c, void **self, char *why, size_t n)
{
	const char *mode = h->option_text(c, "mode");

	host = h;
	*self = (void *)(uintptr_t)mode;
	if (mode != NULL && strcmp(mode, "later") == 0) {
		(void)snprintf(why, n, "not yet; wait");
		return PNF_NOT_NOW;
	}
	if (mode != NULL && strcmp(mode, "broken") == 0) {
		(void)snprintf(why, n, "mode is wrong; say another");
		return PNF_BROKEN;
	}
	return PNF_LOADED;
}

static void
fake_connect(void *self, struct pnf_msg *m, const struct pnf_client *c)
{
	(void)m;
	say("connect", self != NULL ? span_str(self) : from_pnf(c->ip));
}

static void
fake_mail(void *self, struct pnf_msg *m, struct pnf_span from)
{
	(void)self;
	(void)m;
	say("mail", from_pnf(from));
}

static void
fake_rcpt(void *self, struct pnf_msg *m, struct pnf_span to)
{
	(void)self;
	(void)m;
	say("rcpt", from_pnf(to));
}

static void
fake_header(void *self, struct pnf_msg *m, const struct pnf_header *h)
{
	(void)self;
	(void)m;
	say("header", from_pnf(h->decoded));
}

static void
fake_eoh(void *self, struct pnf_msg *m)
{
	(void)self;
	(void)m;
	say("eoh", SPAN(""));
}

static void
fake_part(void *self, struct pnf_msg *m, const struct pnf_part *p)
{
	(void)self;
	(void)m;
	say("part", from_pnf(p->text));
}

static void
fake_eom(void *self, struct pnf_msg *m, struct pnf_span raw)
{
	(void)self;
	(void)raw;
	say("eom", SPAN(""));
	if (on_eom != NULL)
		on_eom(m);
}

static void
fake_done(void *self, struct pnf_msg *m)
{
	(void)self;
	(void)m;
	say("done", SPAN(""));
}

static const struct pnf_outcome fake_outcomes[] = {
    {"seen", "tag", "seen"}, {"malformed", "tag", "bad"}, {.name = NULL}};
static const struct pnf_option fake_options[] = {
    {"mode", PNF_OPTION_TEXT, NULL, "how it behaves"}, {.name = NULL}};
static const struct pnf_about looks_about = {.name = "looks",
    .version = "1",
    .summary = "looks",
    .needs = PNF_NEEDS_PARTS | PNF_NEEDS_DECODED | PNF_NEEDS_TMPDIR,
    .may = PNF_MAY_TAG | PNF_MAY_SCORE,
    .outcomes = fake_outcomes,
    .options = fake_options};
static const struct pnf_about edits_about = {.name = "edits",
    .version = "1",
    .summary = "edits",
    .needs = PNF_NEEDS_PARTS,
    .may = PNF_MAY_EDIT_HEADERS | PNF_MAY_TAG,
    .outcomes = fake_outcomes,
    .options = fake_options};
static const struct pnf_about alien_about = {.name = "alien",
    .version = "1",
    .summary = "of another ABI",
    .outcomes = fake_outcomes,
    .options = fake_options};
static const struct pnf_about *const abouts[] = {&looks_about, &edits_about, &alien_about, NULL};

#define FAKE_HOOKS                                                                        \
	.load = fake_load, .connect = fake_connect, .mail = fake_mail, .rcpt = fake_rcpt, \
	.header = fake_header, .eoh = fake_eoh, .part = fake_part, .eom = fake_eom,       \
	.done = fake_done

static PNF_FILTER(looks, .about = &looks_about, FAKE_HOOKS);
static PNF_FILTER(edits, .about = &edits_about, FAKE_HOOKS);
static const struct pnf_filter alien = {
    .abi_major = PNF_ABI_MAJOR + 1, .size = sizeof(alien), .about = &alien_about};

static const struct pnf_filter *
plugins(const struct pnf_about *about)
{
	if (about == &looks_about)
		return &looks;
	return about == &edits_about ? &edits : &alien;
}

static struct fixture *
new_loaded(const char *list, const char *sections)
{
	struct fixture *f = fixture_new(list, sections, abouts, plugins);

	assert_int_equal(chain_load(f->chain, &f->err), 0);
	return f;
}

static int
setup(void **state)
{
	calls[0] = '\0';
	on_eom = NULL;
	*state = NULL;
	return 0;
}

static const struct span mail = {"Subject: =?utf-8?q?h=C3=B6?=\r\nA: b\r\n\r\nbody", 43};

static void
test_hooks_in_order(void **state)
{
	struct fixture *f = new_loaded("\"looks\"", "");

	(void)state;
	assert_int_equal(fixture_scan(f, mail, NULL)->n_outcomes, 0);
	assert_string_equal(calls,
	    "connect:192.0.2.1 mail:x@y.example rcpt:a@example.org rcpt:b@example.org "
	    "header:h\xc3\xb6 header:b eoh: part:body eom: done: ");
	fixture_free(f);
}

static void
test_filter_by_filter(void **state)
{
	struct fixture *f =
	    new_loaded("\"one\", \"two\"", "filter \"one\" { plugin = \"looks\" mode = \"1st\" }\n"
					   "filter \"two\" { plugin = \"looks\" mode = \"2nd\" }");
	const char *first, *second;

	(void)state;
	(void)fixture_scan(f, mail, NULL);
	first = strstr(calls, "done");
	second = strstr(calls, "connect:2nd");
	assert_true(strncmp(calls, "connect:1st", 11) == 0);
	assert_true(first != NULL && second != NULL && first < second);
	fixture_free(f);
}

static void
report_seen(struct pnf_msg *m)
{
	assert_int_equal(host->outcome(m, "seen", to_pnf("a\r\nb\x01\xff")), 0);
	assert_int_equal(host->outcome(m, "seen", to_pnf("again")), 0);
	assert_int_equal(host->tag(m, "ok-tag", 1500, to_pnf("why")), 0);
	assert_int_equal(host->tag(m, "not ok", 0, to_pnf("")), -1);
	assert_int_equal(host->tag(m, "", 0, to_pnf("")), -1);
	assert_true(host->ms_left(m) > 0);
	assert_non_null(host->tmpdir(m));
}

static void
test_outcomes_and_tags(void **state)
{
	struct fixture *f = new_loaded("\"looks\"", "");
	const struct scan_result *r;

	(void)state;
	on_eom = report_seen;
	r = fixture_scan(f, mail, NULL);
	assert_int_equal(r->n_outcomes, 1);
	assert_int_equal(r->outcomes[0].outcome, 0);
	assert_true(span_eq(r->outcomes[0].why, SPAN("a??b??")));
	assert_int_equal(r->n_tags, 1);
	assert_int_equal(r->tags[0].score_milli, 1500);
	assert_false(chain_was_rough(f->run));
	fixture_free(f);
}

static void
report_malformed(struct pnf_msg *m)
{
	assert_int_equal(host->outcome(m, "malformed", to_pnf("")), 0);
}

static void
report_failure(struct pnf_msg *m)
{
	assert_int_equal(host->outcome(m, "failure", to_pnf("cannot")), 0);
}

static void
test_rough_messages(void **state)
{
	struct fixture *f = new_loaded("\"looks\"", "");

	(void)state;
	on_eom = report_malformed;
	(void)fixture_scan(f, mail, NULL);
	assert_true(chain_was_rough(f->run));
	on_eom = report_failure;
	assert_int_equal(fixture_scan(f, mail, NULL)->outcomes[0].outcome, -1);
	assert_true(chain_was_rough(f->run));
	fixture_free(f);
}

static void
edit(struct pnf_msg *m)
{
	(void)host->header_add(m, to_pnf("X-A"), to_pnf(" v"), 1);
	(void)host->header_change(m, 1, to_pnf(" w\r\n x"), 0);
	(void)host->header_remove(m, 0, 0);
	assert_int_equal(host->header_change(m, 2, to_pnf("no such field"), 0), -1);
	assert_int_equal(host->header_add(m, to_pnf("X A"), to_pnf("v"), 0), -1);
	assert_int_equal(host->header_add(m, to_pnf(""), to_pnf("v"), 0), -1);
	assert_int_equal(host->header_add(m, to_pnf("X"), to_pnf("a\r\nEvil: b"), 0), -1);
	assert_int_equal(host->header_add(m, to_pnf("X"), to_pnf("a\nb"), 0), -1);
	assert_int_equal(host->header_add(m, to_pnf("X"), to_pnf("a\r"), 0), -1);
	assert_int_equal(host->header_add(m, to_pnf("X"), (struct pnf_span){"a\0b", 3}, 0), -1);
}

static void
test_edits_need_the_right(void **state)
{
	struct fixture *f = new_loaded("\"edits\", \"looks\"", "");
	const struct scan_result *r;

	(void)state;
	on_eom = edit;
	r = fixture_scan(f, mail, NULL);
	assert_int_equal(r->n_edits, 3); /* all by the first: the second may not */
	for (size_t i = 0; i < r->n_edits; i++)
		assert_int_equal(r->edits[i].filter, 0);
	assert_true(r->edits[0].only_tagged);
	assert_true(span_eq(r->edits[1].value, SPAN(" w\r\n x")));
	assert_int_equal(r->edits[2].kind, EDIT_REMOVE);
	fixture_free(f);
}

static void
ask_too_much(struct pnf_msg *m)
{
	static char text[SCAN_EDIT_MAX];
	struct pnf_span huge = {text, sizeof(text)}, most = {text, sizeof(text) - 1};
	int n = 0;

	memset(text, 'a', sizeof(text));
	assert_int_equal(host->header_add(m, to_pnf("X"), huge, 0), -1);
	while (host->header_add(m, to_pnf("X"), most, 0) == 0)
		n++;
	assert_int_equal(n, SCAN_EDITS_BYTES / SCAN_EDIT_MAX);
	for (n = 0; host->tag(m, "t", 0, to_pnf("")) == 0; n++)
		;
	assert_int_equal(n, SCAN_TAGS_MAX);
	for (n = 0; host->note_set(m, "k", to_pnf("v")) == 0; n++)
		;
	assert_int_equal(n, CHAIN_NOTES_MAX);
	assert_null(host->alloc(m, SIZE_MAX));
	assert_null(host->alloc(m, CHAIN_FILTER_MEMORY + 1));
	while (host->alloc(m, 65536) != NULL)
		;
	while (host->alloc(m, 1) != NULL)
		;
	/* Without memory the outcome still stands, only its text is gone. */
	assert_int_equal(host->outcome(m, "seen", to_pnf("text")), 0);
}

static void
test_bounds(void **state)
{
	struct fixture *f = new_loaded("\"edits\"", "");
	struct buf packet = BUF_INIT(1 << 20);
	struct scan_result *back = mem_alloc(sizeof(*back));
	const struct scan_result *r;

	(void)state;
	on_eom = ask_too_much;
	r = fixture_scan(f, mail, NULL);
	assert_int_equal(r->n_outcomes, 1);
	scan_result_put(&packet, r);
	assert_int_equal(scan_result_get(buf_span(&packet), &f->config->flows[0], back), 0);
	buf_free(&packet);
	mem_free(back);
	fixture_free(f);
}

static void
keep_note(struct pnf_msg *m)
{
	struct pnf_span got = {NULL, 0};

	if (host->note_get(m, "k", &got) < 0) {
		assert_int_equal(host->note_set(m, "k", to_pnf("first")), 0);
		return;
	}
	say("note", from_pnf(got));
}

static void
test_notes_reach_later_filters(void **state)
{
	struct fixture *f = new_loaded("\"looks\", \"edits\"", "");

	(void)state;
	on_eom = keep_note;
	(void)fixture_scan(f, mail, NULL);
	assert_non_null(strstr(calls, "note:first"));
	fixture_free(f);
}

static void
test_skipped_is_a_failure(void **state)
{
	const struct scan_request r = {.skip = 1};
	struct fixture *f = new_loaded("\"looks\", \"edits\"", "");
	const struct scan_result *result;

	(void)state;
	assert_int_equal(chain_scan(f->chain, &r, mail, NULL, NULL, NULL, &f->run), 0);
	result = chain_result(f->run);
	assert_int_equal(result->n_outcomes, 1);
	assert_int_equal(result->outcomes[0].filter, 0);
	assert_int_equal(result->outcomes[0].outcome, -1);
	assert_non_null(strstr(calls, "connect"));
	assert_null(strstr(strstr(calls, "done") + 1, "connect"));
	fixture_free(f);
}

static void
test_not_loaded_is_a_failure(void **state)
{
	struct fixture *f = fixture_new(
	    "\"looks\", \"edits\"", "filter \"looks\" { mode = \"later\" }", abouts, plugins);
	const struct scan_result *r;

	(void)state;
	assert_int_equal(chain_load(f->chain, &f->err), -E_AGAIN);
	r = fixture_scan(f, mail, NULL);
	assert_int_equal(r->n_outcomes, 1);
	assert_int_equal(r->outcomes[0].outcome, -1);
	assert_true(span_eq(r->outcomes[0].why, SPAN("not yet; wait")));
	fixture_free(f);
}

static void
report_undeclared(struct pnf_msg *m)
{
	assert_int_equal(host->outcome(m, "sene", to_pnf("a slip of the pen")), -1);
	assert_int_equal(host->outcome(m, "sene", to_pnf("again")), -1);
}

/* What a filter has found and cannot say does not look as if it had found nothing. */
static void
test_undeclared_outcome_is_a_failure(void **state)
{
	struct fixture *f = new_loaded("\"looks\"", "");
	const struct scan_result *r;

	(void)state;
	on_eom = report_undeclared;
	r = fixture_scan(f, mail, NULL);
	assert_int_equal(r->n_outcomes, 1);
	assert_int_equal(r->outcomes[0].outcome, -1);
	assert_true(chain_was_rough(f->run));
	fixture_free(f);
}

static void
test_broken_settings_and_other_abi(void **state)
{
	struct fixture *f =
	    fixture_new("\"looks\"", "filter \"looks\" { mode = \"broken\" }", abouts, plugins);

	(void)state;
	assert_int_equal(chain_load(f->chain, &f->err), -E_CONFIG);
	assert_string_equal(f->err.text, "filter looks: mode is wrong; say another");
	/* Again: what the first attempt has made is freed, and the message meets a failure. */
	assert_int_equal(chain_load(f->chain, &f->err), -E_CONFIG);
	assert_int_equal(fixture_scan(f, mail, NULL)->outcomes[0].outcome, -1);
	fixture_free(f);
	/* It stops nobody else. */
	f = fixture_new(
	    "\"looks\", \"edits\"", "filter \"looks\" { mode = \"broken\" }", abouts, plugins);
	assert_int_equal(chain_load(f->chain, &f->err), -E_CONFIG);
	assert_false(f->chain->filters[0].is_loaded);
	assert_true(f->chain->filters[1].is_loaded);
	fixture_free(f);
	f = fixture_new("\"alien\"", "", abouts, plugins);
	assert_int_equal(chain_load(f->chain, &f->err), -E_CONFIG);
	fixture_free(f);
}

static void
test_unknown_flow(void **state)
{
	const struct scan_request r = {.flow = 1};
	struct fixture *f = new_loaded("\"looks\"", "");

	(void)state;
	assert_int_equal(chain_scan(f->chain, &r, mail, NULL, NULL, NULL, &f->run), -E_NOT_FOUND);
	fixture_free(f);
}

static void
test_predicates(void **state)
{
	static const char policy[] = "tag a subject /h\xc3\xb6/\n"
				     "tag b subject /^$/\n"
				     "tag c header X-Y /two/i\n"
				     "tag d header X-Z /./\n"
				     "tag e body /needle/\n";
	static const struct {
		const char *mail, *truths; /* one digit each */
	} rows[] = {
	    {"Subject: =?utf-8?q?h=C3=B6?=\r\nX-Y: one\r\nx-y: TWO\r\n\r\nhay needle\r\n", "10101"},
	    {"X-Z: 1\r\n\r\nhay\r\n", "01010"},
	    {"Subject: x\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	     "bmVlZGxl\r\n",
		"00001"},
	    {"Subject: x\r\nContent-Type: application/x\r\n\r\nneedle\r\n", "00001"},
	    {"Subject: needle\r\nContent-Type: application/x\r\n\r\nhay\r\n", "00000"},
	};
	struct policy_errors errors = {.lines = BUF_INIT(4096)};
	struct snapshot *s = snapshot_parse(span_str(policy), "p", NULL, NULL, &errors);
	struct fixture *f = new_loaded("\"looks\"", "");

	(void)state;
	if (s == NULL)
		fail_msg("%.*s", (int)errors.lines.n, errors.lines.p);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct scan_result *r = fixture_scan(f, span_str(rows[i].mail), s);

		assert_int_equal(r->truths.n, 5);
		for (size_t k = 0; k < 5; k++)
			if (r->truths.p[k] != rows[i].truths[k] - '0')
				fail_msg("row %zu, predicate %zu: %d", i, k, r->truths.p[k]);
	}
	snapshot_release(&s);
	buf_free(&errors.lines);
	fixture_free(f);
}

/* All regexes of a policy share what may be done over one message; what is no regex costs none of it. */
static void
test_effort_of_predicates(void **state)
{
	static const char policy[] =
	    "tag a body /^x/\ntag b body /needle/\ntag c body /[a-z]+\\d/\n"
	    "tag d body /needle/\ntag e subject hay\ntag f subject /hay/\n";
	struct policy_errors errors = {.lines = BUF_INIT(4096)};
	struct snapshot *s = snapshot_parse(span_str(policy), "p", NULL, NULL, &errors);
	struct fixture *f = new_loaded("\"looks\"", "");
	static char long_mail[9000] = "Subject: hay\r\n\r\nneedle";
	size_t n = strlen(long_mail);

	(void)state;
	if (s == NULL)
		fail_msg("%.*s", (int)errors.lines.n, errors.lines.p);
	memset(long_mail + n, 'a', sizeof(long_mail) - n);
	f->chain->effort = 2000000;
	for (int i = 0; i < 2; i++) { /* the second message has as much as the first */
		const struct scan_result *r =
		    fixture_scan(f, span_of(long_mail, sizeof(long_mail)), s);

		assert_memory_equal(r->truths.p, "\x00\x01\x04\x04\x01\x04", 6);
	}
	f->chain->effort = EFFORT_MESSAGE;
	assert_memory_equal(fixture_scan(f, span_of(long_mail, sizeof(long_mail)), s)->truths.p,
	    "\x00\x01\x00\x01\x01\x01", 6);
	snapshot_release(&s);
	buf_free(&errors.lines);
	fixture_free(f);
}

static void
test_builtins_match_their_abouts(void **state)
{
	const struct pnf_about *const *all = filters_abouts();

	(void)state;
	for (; *all != NULL; all++) {
		assert_non_null(filters_builtin(*all));
		assert_true(strcmp(filters_builtin(*all)->about->name, (*all)->name) == 0);
	}
	assert_null(filters_builtin(&looks_about));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_hooks_in_order, setup),
	    cmocka_unit_test_setup(test_filter_by_filter, setup),
	    cmocka_unit_test_setup(test_outcomes_and_tags, setup),
	    cmocka_unit_test_setup(test_rough_messages, setup),
	    cmocka_unit_test_setup(test_edits_need_the_right, setup),
	    cmocka_unit_test_setup(test_bounds, setup),
	    cmocka_unit_test_setup(test_notes_reach_later_filters, setup),
	    cmocka_unit_test_setup(test_skipped_is_a_failure, setup),
	    cmocka_unit_test_setup(test_not_loaded_is_a_failure, setup),
	    cmocka_unit_test_setup(test_undeclared_outcome_is_a_failure, setup),
	    cmocka_unit_test_setup(test_broken_settings_and_other_abi, setup),
	    cmocka_unit_test_setup(test_unknown_flow, setup),
	    cmocka_unit_test_setup(test_predicates, setup),
	    cmocka_unit_test_setup(test_effort_of_predicates, setup),
	    cmocka_unit_test_setup(test_builtins_match_their_abouts, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

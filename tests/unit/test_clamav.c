/* The antivirus filter over a small database made here.  The interposed calls are part of
 * what is tested, so they are linked into this program as into the filter role. */
#include "filters/worker/interpose.c"
#include "filters/worker/interpose_number.c"

#include "tests/unit/filter_fixture.h"
#include "filters/antivirus/canary.h"
#include "filters/antivirus/clean.h"
#include "filters/antivirus/engine.h"
#include "filters/chain/abouts.h"
#include "filters/chain/builtins.h"
#include "relay/base/base64.h"
#include "relay/message/decode.h"

#include <signal.h>
#include <sys/resource.h>

struct state {
	struct fixture *f;
	char database[64];
	struct buf eicar, mail;
};

static void
write_file(const char *folder, const char *name, struct span bytes)
{
	char path[128];
	FILE *to;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	to = (fopen)(path, "we");
	assert_non_null(to);
	assert_int_equal((fwrite)(bytes.p, 1, bytes.n, to), bytes.n);
	assert_int_equal((fclose)(to), 0);
}

/* One body signature: the bytes of EICAR in hex, at any offset. */
static void
write_signature(const char *folder)
{
	struct buf line = BUF_INIT(1024), eicar = BUF_INIT(CANARY_MAX);

	canary_add(&eicar, false);
	(void)buf_add_str(&line, "Eicar-Test:0:*:");
	for (size_t i = 0; i < eicar.n; i++)
		(void)buf_addf(&line, "%02x", (unsigned char)eicar.p[i]);
	(void)buf_add_char(&line, '\n');
	write_file(folder, "test.ndb", buf_span(&line));
	buf_free(&line);
	buf_free(&eicar);
}

static struct fixture *
new_filter(const char *database)
{
	char section[300];

	(void)snprintf(section, sizeof(section),
	    "filter \"antivirus\" { plugin = \"clamav\" databases = \"%s\" max_scan = 20M "
	    "max_file = 10M max_files = 100 deadline = 60s }",
	    database);
	return fixture_new("\"antivirus\"", section, filters_abouts(), filters_builtin);
}

static int
group_setup(void **state)
{
	struct state *s = mem_alloc(sizeof(*s));

	decode_warm_up();
	(void)snprintf(s->database, sizeof(s->database), "/tmp/postern-db-XXXXXX");
	assert_non_null(mkdtemp(s->database));
	write_signature(s->database);
	s->eicar = BUF_INIT(CANARY_MAX);
	s->mail = BUF_INIT(1024 * 1024);
	canary_add(&s->eicar, false);
	s->f = new_filter(s->database);
	if (chain_load(s->f->chain, &s->f->err) < 0)
		fail_msg("%s", s->f->err.text);
	*state = s;
	return 0;
}

static int
group_teardown(void **state)
{
	struct state *s = *state;

	fixture_free(s->f);
	(void)nftw(s->database, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
	buf_free(&s->eicar);
	buf_free(&s->mail);
	mem_free(s);
	return 0;
}

static int
setup(void **state)
{
	struct state *s = *state;

	buf_clear(&s->mail);
	return 0;
}

static const struct scan_result *
scan(struct state *s)
{
	assert_false(s->mail.failed);
	return fixture_scan(s->f, buf_span(&s->mail), NULL);
}

static void
assert_only(struct state *s, const struct scan_result *r, const char *outcome, const char *why)
{
	int i = fixture_outcome(s->f, r, outcome);

	if (i < 0 || r->n_outcomes != 1)
		fail_msg(
		    "%zu outcomes, %s %s", r->n_outcomes, outcome, i < 0 ? "missing" : "there");
	if (why != NULL && !span_starts(r->outcomes[i].why, span_str(why)))
		fail_msg("why: %.*s", SPAN_ARG(r->outcomes[i].why));
}

/* In lines of 76, as mail programs write them. */
static void
add_base64(struct buf *to, struct span s)
{
	for (; s.n > 0; s = span_skip(s, 57)) {
		(void)base64_add(to, span_take(s, 57));
		(void)buf_add_str(to, "\r\n");
	}
}

static void
add_mail(struct buf *to, struct span attachment)
{
	(void)buf_add_str(to, "From: a@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
			      "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n"
			      "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
			      "--b\r\nContent-Type: application/octet-stream; name=\"a.bin\"\r\n"
			      "Content-Transfer-Encoding: base64\r\n\r\n");
	add_base64(to, attachment);
	(void)buf_add_str(to, "\r\n--b--\r\n");
}

/* CRC-32 (ISO 3309), bit by bit. */
static uint32_t
crc_of(struct span s)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < s.n; i++) {
		crc ^= (unsigned char)s.p[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

/* A zip archive with one stored member (APPNOTE.TXT sections 4.3.7, 4.3.12, 4.3.16). */
static void
add_zip(struct buf *to, struct span member, uint16_t flags)
{
	uint32_t crc = crc_of(member);
	uint32_t start = (uint32_t)to->n, directory = 0;

	for (int is_central = 0; is_central < 2; is_central++) {
		if (is_central)
			directory = (uint32_t)to->n;
		put_u32(to, is_central ? 0x02014b50 : 0x04034b50);
		if (is_central)
			put_u16(to, 20);
		put_u16(to, 20);
		put_u16(to, flags);
		put_u16(to, 0);
		put_u32(to, 0x58210000);
		put_u32(to, crc);
		put_u32(to, (uint32_t)member.n);
		put_u32(to, (uint32_t)member.n);
		put_u16(to, 5);
		put_u16(to, 0);
		if (is_central) {
			put_u16(to, 0);
			put_u32(to, 0);
			put_u32(to, 0);
			put_u32(to, start);
		}
		(void)buf_add_str(to, "a.txt");
		if (!is_central)
			(void)buf_add_span(to, member);
	}
	put_u32(to, 0x06054b50);
	put_u32(to, 0);
	put_u16(to, 1);
	put_u16(to, 1);
	put_u32(to, (uint32_t)to->n - 12 - directory);
	put_u32(to, directory - start);
	put_u16(to, 0);
}

static void
test_clean_stays_clean(void **state)
{
	struct state *s = *state;

	add_mail(&s->mail, SPAN("nothing to see"));
	assert_int_equal(scan(s)->n_outcomes, 0);
	assert_false(chain_was_rough(s->f->run));
	buf_clear(&s->mail);
	(void)buf_add_str(&s->mail, "a: b\r\n\r\n");
	assert_int_equal(scan(s)->n_outcomes, 0);
}

static void
test_plain(void **state)
{
	struct state *s = *state;

	(void)buf_add_str(&s->mail, "Subject: x\r\n\r\n");
	(void)buf_add_span(&s->mail, buf_span(&s->eicar));
	assert_only(s, scan(s), "infected", "Eicar-Test");
}

static void
test_in_base64_part(void **state)
{
	struct state *s = *state;

	add_mail(&s->mail, buf_span(&s->eicar));
	assert_only(s, scan(s), "infected", "Eicar-Test");
}

static void
test_in_stored_zip(void **state)
{
	struct buf zip = BUF_INIT(4096);
	struct state *s = *state;

	add_zip(&zip, buf_span(&s->eicar), 0);
	add_mail(&s->mail, buf_span(&zip));
	assert_only(s, scan(s), "infected", "Eicar-Test");
	buf_free(&zip);
}

static void
test_encrypted_zip(void **state)
{
	struct buf zip = BUF_INIT(4096);
	struct state *s = *state;

	add_zip(&zip, SPAN("this would be the cipher text of something"), 1);
	add_mail(&s->mail, buf_span(&zip));
	assert_only(s, scan(s), "encrypted", "Heuristics.Encrypted.");
	buf_free(&zip);
}

static void
test_over_a_limit_is_unscannable(void **state)
{
	enum { SIZE = 11 * 1024 * 1024 };
	struct state *s = *state;
	struct buf big = BUF_INIT(2 * SIZE);

	(void)buf_add_str(&big, "Subject: x\r\n\r\n");
	while (big.n < SIZE)
		(void)buf_add_str(&big, "a line of text that goes on and on and on\r\n");
	assert_false(big.failed);
	assert_only(s, fixture_scan(s->f, buf_span(&big), NULL), "unscannable", NULL);
	assert_true(chain_was_rough(s->f->run));
	buf_free(&big);
}

static void
test_clean_places(void **state)
{
	struct clean *c = mem_alloc(sizeof(*c));
	struct clean_key a, b;

	(void)state;
	assert_true(clean_key(SPAN("one"), &a) && clean_key(SPAN("two"), &b));
	assert_false(clean_has(c, &a));
	clean_add(c, &a);
	assert_true(clean_has(c, &a));
	assert_false(clean_has(c, &b));
	mem_free(c);
}

/* Only what is clean is remembered. */
static void
test_found_again(void **state)
{
	struct state *s = *state;

	for (int i = 0; i < 3; i++) {
		buf_clear(&s->mail);
		add_mail(&s->mail, buf_span(&s->eicar));
		assert_only(s, scan(s), "infected", "Eicar-Test");
		buf_clear(&s->mail);
		add_mail(&s->mail, SPAN("the same clean thing"));
		assert_int_equal(scan(s)->n_outcomes, 0);
	}
}

/* UTF-16 hides the bytes from who scans them alone. */
static void
test_text_is_scanned(void **state)
{
	struct state *s = *state;
	struct buf wide = BUF_INIT(1000);

	for (size_t i = 0; i < s->eicar.n; i++) {
		(void)buf_add_char(&wide, '\0');
		(void)buf_add_char(&wide, s->eicar.p[i]);
	}
	(void)buf_add_str(&s->mail, "Content-Type: text/plain; charset=utf-16be\r\n"
				    "Content-Transfer-Encoding: base64\r\n\r\n");
	add_base64(&s->mail, buf_span(&wide));
	assert_only(s, scan(s), "infected", "Eicar-Test");
	buf_free(&wide);
}

static void
test_malformed_is_told(void **state)
{
	struct state *s = *state;

	(void)buf_add_str(&s->mail,
	    "Content-Type: text/plain\r\nContent-Type: text/html\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\n!!!!not base64!!!!\r\n");
	assert_true(fixture_outcome(s->f, scan(s), "malformed") >= 0);
	assert_true(chain_was_rough(s->f->run));
}

/* What libclamav only warns of is about the message: no sender can make the scanner look broken. */
static void
test_a_warning_is_no_failure(void **state)
{
	struct state *s = *state;

	for (int is_bad = 0; is_bad < 2; is_bad++) {
		const struct scan_result *r;
		int i;

		buf_clear(&s->mail);
		(void)buf_add_str(&s->mail, "From: a@example.org\r\nMIME-Version: 1.0\r\n"
					    "Content-Type: message/partial; id=\"x@y\"; "
					    "number=1; total=2\r\n\r\nSubject: inner\r\n\r\n");
		(void)buf_add_span(&s->mail, is_bad ? buf_span(&s->eicar) : SPAN("hello, you"));
		r = scan(s);
		i = fixture_outcome(s->f, r, "unscannable");
		assert_true(i >= 0 || is_bad); /* it says no more when it has found something */
		if (i >= 0)
			assert_true(
			    span_ends_nocase(r->outcomes[i].why, SPAN("cannot be scanned")));
		assert_true(fixture_outcome(s->f, r, "malformed") >= 0);
		assert_int_equal(fixture_outcome(s->f, r, "failure"), -1);
		assert_int_equal(fixture_outcome(s->f, r, "infected") >= 0, is_bad);
	}
}

/* An .xz file that was cut off, which libclamav calls an error. */
static void
test_an_error_about_the_message_is_no_failure(void **state)
{
	static const char xz[] = "\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01"
				 "\x16\x00\x00\x00\x74\x2f\xe5\xa3"
				 "\x01\x00\x2b\x6e\x6f\x74\x68\x69\x6e\x67\x20\x74\x6f\x20\x73\x65"
				 "\x65\x2c\x20\x62\x75\x74\x20\x66";
	struct state *s = *state;

	add_mail(&s->mail, span_of(xz, sizeof(xz) - 1));
	assert_only(s, scan(s), "unscannable", NULL);
}

static void
test_no_folder_is_a_failure(void **state)
{
	struct state *s = *state;
	char aside[80];

	(void)snprintf(aside, sizeof(aside), "%s.aside", s->f->folder);
	assert_int_equal((rename)(s->f->folder, aside), 0);
	add_mail(&s->mail, SPAN("clean"));
	assert_only(s, scan(s), "failure", NULL);
	assert_int_equal((rename)(aside, s->f->folder), 0);
	assert_int_equal(scan(s)->n_outcomes, 0);
}

/* As on a full disk: libclamav itself says nothing about it and calls the mail clean. */
static void
test_full_folder_is_a_failure(void **state)
{
	struct rlimit before, small;
	struct state *s = *state;
	const struct scan_result *r;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 10;
	add_mail(&s->mail, buf_span(&s->eicar));
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	r = scan(s);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	/* Found in the decoded part, which needs no file, and the raw mail's scan is not believed. */
	assert_true(fixture_outcome(s->f, r, "infected") >= 0);
	buf_clear(&s->mail);
	add_mail(&s->mail, SPAN("clean text that goes through a file"));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	r = scan(s);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_only(s, r, "failure", NULL);
}

static void
test_useless_databases(void **state)
{
	char folder[] = "/tmp/postern-db-XXXXXX";
	struct fixture *f;

	(void)state;
	assert_non_null(mkdtemp(folder));
	f = new_filter(folder);
	assert_int_equal(chain_load(f->chain, &f->err), -E_AGAIN);
	assert_non_null(strstr(f->err.text, "no virus signatures in"));
	assert_false(f->chain->filters[0].is_loaded);
	assert_true(
	    fixture_outcome(f, fixture_scan(f, SPAN("a: b\r\n\r\nx"), NULL), "failure") >= 0);

	write_file(folder, "other.ndb", SPAN("Other:0:*:deadbeefdeadbeef\n"));
	assert_int_equal(chain_load(f->chain, &f->err), -E_AGAIN);
	assert_non_null(strstr(f->err.text, "does not find the EICAR test"));

	write_file(folder, "other.ndb", SPAN("this is no signature\n"));
	assert_int_equal(chain_load(f->chain, &f->err), -E_AGAIN);
	write_file(folder, "other.ndb", SPAN("Other:0:*:deadbeefdeadbeef\n"));
	write_file(folder, "types.ftm", SPAN("x"));
	assert_int_equal(chain_load(f->chain, &f->err), -E_AGAIN);
	assert_non_null(strstr(f->err.text, "types.ftm"));

	fixture_free(f);
	(void)nftw(folder, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static void
test_loads_when_signatures_come(void **state)
{
	char folder[] = "/tmp/postern-db-XXXXXX";
	struct fixture *f;

	(void)state;
	assert_non_null(mkdtemp(folder));
	f = new_filter(folder);
	assert_int_equal(chain_load(f->chain, &f->err), -E_AGAIN);
	write_signature(folder);
	assert_int_equal(chain_load(f->chain, &f->err), 0);
	assert_true(f->chain->filters[0].is_loaded);
	assert_int_equal(fixture_scan(f, SPAN("a: b\r\n\r\nx"), NULL)->n_outcomes, 0);
	fixture_free(f);
	(void)nftw(folder, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* libclamav is linked so that what stands in for a call of libc is what it calls. */
static void
test_calls_reach_us(void **state)
{
	static const struct {
		const char *name;
		void *ours;
	} rows[] = {{"fclose", fclose}, {"fflush", fflush}, {"mkdir", mkdir},
	    {"sscanf", number_sscanf}, {"__isoc99_sscanf", number_sscanf_c99}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (dlsym(RTLD_DEFAULT, rows[i].name) != rows[i].ours)
			fail_msg("libclamav calls libc's own %s", rows[i].name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_calls_reach_us),
	    cmocka_unit_test_setup(test_clean_stays_clean, setup),
	    cmocka_unit_test_setup(test_plain, setup),
	    cmocka_unit_test_setup(test_in_base64_part, setup),
	    cmocka_unit_test_setup(test_in_stored_zip, setup),
	    cmocka_unit_test_setup(test_encrypted_zip, setup),
	    cmocka_unit_test_setup(test_over_a_limit_is_unscannable, setup),
	    cmocka_unit_test_setup(test_malformed_is_told, setup),
	    cmocka_unit_test_setup(test_a_warning_is_no_failure, setup),
	    cmocka_unit_test_setup(test_an_error_about_the_message_is_no_failure, setup),
	    cmocka_unit_test(test_clean_places),
	    cmocka_unit_test_setup(test_found_again, setup),
	    cmocka_unit_test_setup(test_text_is_scanned, setup),
	    cmocka_unit_test_setup(test_no_folder_is_a_failure, setup),
	    cmocka_unit_test_setup(test_full_folder_is_a_failure, setup),
	    cmocka_unit_test(test_useless_databases),
	    cmocka_unit_test(test_loads_when_signatures_come),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

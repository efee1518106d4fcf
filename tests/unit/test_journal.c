/* The journal's writer and reader over a folder of the test's own. */
#include "policy/config/action.h"
#include "policy/journal/read.h"
#include "policy/journal/write.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[32];
static int dir_fd;
static struct loop *loop;
static struct journal *journal;
static struct buf lines; /* what a read gave */
static struct err err;

static void
open_journal(uint64_t file_bytes)
{
	journal = journal_open(loop, dir_fd, file_bytes, &err);
	assert_non_null(journal);
}

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/postern-journal-XXXXXX");
	assert_non_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir_fd >= 0);
	loop = loop_new();
	lines = BUF_INIT(64 * 1024 * 1024);
	return 0;
}

static int
teardown(void **state)
{
	struct dirent *entry;
	DIR *d;

	(void)state;
	journal_close(&journal);
	loop_free(&loop);
	buf_free(&lines);
	d = opendir(dir);
	while ((entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			(void)unlinkat(dir_fd, entry->d_name, 0);
	(void)closedir(d);
	(void)close(dir_fd);
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

static void
on_line(void *arg, struct span line)
{
	(void)arg;
	assert_int_equal(buf_add_span(&lines, line), 0);
	assert_int_equal(buf_add_char(&lines, '\n'), 0);
}

/* What `trace` with these words (NULL ends them) says, as text. */
static const char *
trace(const char *first, ...)
{
	struct span words[16];
	struct journal_filter filter;
	size_t n = 0;
	va_list ap;

	va_start(ap, first);
	for (const char *word = first; word != NULL; word = va_arg(ap, const char *))
		words[n++] = span_str(word);
	va_end(ap);
	assert_int_equal(journal_filter_parse(words, n, clock_wall_ms(), &filter, &err), 0);
	buf_clear(&lines);
	assert_int_equal(journal_read(dir_fd, &filter, on_line, NULL, &err), 0);
	assert_int_equal(buf_add_char(&lines, '\0'), 0);
	return lines.p;
}

static void
add(const char *event)
{
	assert_int_equal(journal_add(journal, span_str(event)), 0);
}

static void
test_written_at_turn_end(void **state)
{
	(void)state;
	open_journal(JOURNAL_FILE_BYTES);
	add("{\"id\":\"A\",\"event\":\"one\"}");
	add("{\"id\":\"B\",\"event\":\"two\"}");
	assert_string_equal(trace(NULL), "");
	loop_turn(loop, 0);
	assert_string_equal(
	    trace(NULL), "{\"id\":\"A\",\"event\":\"one\"}\n{\"id\":\"B\",\"event\":\"two\"}\n");
	assert_int_equal(journal_stats(journal).events, 2);
	assert_int_equal(journal_stats(journal).bytes, lines.n - 1);
}

static void
test_refused(void **state)
{
	static const char *const rows[] = {"", "{", "x", "[]", "{\"a\":1}\n{\"b\":2}",
	    "{\"a\":\"\x01\"}", "{\"a\":\"\xff\"}", " {}", "{}\r"};
	char *large = mem_alloc(JOURNAL_EVENT_MAX + 1);

	(void)state;
	open_journal(JOURNAL_FILE_BYTES);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(journal_add(journal, span_str(rows[i])), -E_SYNTAX);
	memset(large, 'x', JOURNAL_EVENT_MAX + 1);
	large[0] = '{';
	large[JOURNAL_EVENT_MAX] = '}';
	assert_int_equal(journal_add(journal, span_of(large, JOURNAL_EVENT_MAX + 1)), -E_LIMIT);
	large[JOURNAL_EVENT_MAX - 1] = '}';
	assert_int_equal(journal_add(journal, span_of(large, JOURNAL_EVENT_MAX)), 0);
	assert_int_equal(journal_stats(journal).refused, sizeof(rows) / sizeof(rows[0]) + 1);
	mem_free(large);
}

static void
write_file(const char *name, const char *text)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

static void
test_torn_tail(void **state)
{
	(void)state;
	write_file(JOURNAL_FILE, "{\"id\":\"A\"}\n{\"id\":\"B\",\"ev");
	open_journal(JOURNAL_FILE_BYTES);
	add("{\"id\":\"C\"}");
	journal_flush(journal);
	assert_string_equal(trace(NULL), "{\"id\":\"A\"}\n{\"id\":\"C\"}\n");
}

static unsigned
count_files(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 2 * JOURNAL_FILES; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), i == 0 ? "%s" : "%s.%u", JOURNAL_FILE, i);
		n += faccessat(dir_fd, name, F_OK, 0) == 0;
	}
	return n;
}

/* Every file holds two lines; the newest JOURNAL_FILES files stay, in order. */
static void
test_rotation(void **state)
{
	char expected[1024] = "", event[32];
	size_t at = 0;

	(void)state;
	open_journal(2 * strlen("{\"n\":1000}\n"));
	for (int i = 0; i < 2 * (JOURNAL_FILES + 3); i++) {
		(void)snprintf(event, sizeof(event), "{\"n\":%d}", 1000 + i);
		add(event);
		journal_flush(journal);
		if (i >= 2 * 3)
			at += (size_t)snprintf(
			    expected + at, sizeof(expected) - at, "{\"n\":%d}\n", 1000 + i);
	}
	assert_int_equal(count_files(), JOURNAL_FILES);
	assert_string_equal(trace(NULL), expected);
}

/* A rotation between two slices neither hides nor repeats a line. */
static void
test_rotation_while_reading(void **state)
{
	struct journal_filter filter;
	struct journal_reader *r;
	int more = 1;

	(void)state;
	open_journal(20);
	add("{\"n\":1}");
	journal_flush(journal);
	assert_int_equal(journal_filter_parse(NULL, 0, 0, &filter, &err), 0);
	r = journal_reader_new(dir_fd, &filter, &err);
	add("{\"n\":2}");
	journal_flush(journal);
	add("{\"n\":3}"); /* into a new file */
	journal_flush(journal);
	assert_int_equal(count_files(), 2);
	while (more == 1)
		more = journal_reader_step(r, on_line, NULL, &err);
	assert_int_equal(more, 0);
	assert_true(span_eq(buf_span(&lines), SPAN("{\"n\":1}\n{\"n\":2}\n")));
	journal_reader_free(&r);
}

static void
step_to_end(struct journal_reader *r)
{
	int more = 1;

	buf_clear(&lines);
	while (more == 1)
		more = journal_reader_step(r, on_line, NULL, &err);
	assert_int_equal(more, 0);
}

/* Who follows sees each line once, wherever the files are cut: in an empty folder, in mid-line,
 * before and after a look, several times between two. */
static void
test_follow(void **state)
{
	struct journal_filter filter;
	struct journal_reader *r;
	char event[32];

	(void)state;
	assert_int_equal(journal_filter_parse(NULL, 0, 0, &filter, &err), 0);
	r = journal_reader_new(dir_fd, &filter, &err);
	step_to_end(r);
	assert_int_equal(lines.n, 0);
	assert_int_equal(journal_reader_refresh(r, dir_fd, &err), 0);
	open_journal(20);
	for (int i = 0; i < 3 * JOURNAL_FILES; i++) {
		char expected[64] = "";

		for (int k = 0; k <= i % 4; k++) { /* into up to two more files */
			(void)snprintf(event, sizeof(event), "{\"n\":%d}", 1000 + 10 * i + k);
			add(event);
			journal_flush(journal);
			(void)snprintf(expected + strlen(expected),
			    sizeof(expected) - strlen(expected), "%s\n", event);
		}
		assert_true(journal_reader_refresh(r, dir_fd, &err) >= 0);
		step_to_end(r);
		assert_true(span_eq(buf_span(&lines), span_str(expected)));
	}
	assert_int_equal(journal_reader_refresh(r, dir_fd, &err), 0);
	step_to_end(r);
	assert_int_equal(lines.n, 0);
	journal_reader_free(&r);
}

static void
test_more_than_a_slice(void **state)
{
	unsigned n = 0;
	char event[200];

	(void)state;
	open_journal(JOURNAL_FILE_BYTES);
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(event, sizeof(event), "{\"n\":%d,\"pad\":\"%0100d\"}", i, i);
		add(event);
	}
	journal_flush(journal);
	assert_true(journal_stats(journal).bytes > 2 * JOURNAL_SLICE);
	for (const char *p = trace(NULL); *p != '\0'; p++)
		n += *p == '\n';
	assert_int_equal(n, 5000);
}

/* A line longer than any event, as no writer of ours makes it, is passed over. */
static void
test_endless_line(void **state)
{
	struct buf text = BUF_INIT(8 * 1024 * 1024);

	(void)state;
	(void)buf_add_str(&text, "{\"n\":1}\n{\"n\":\"");
	for (int i = 0; i < 3 * JOURNAL_SLICE; i++)
		(void)buf_add_char(&text, 'x');
	(void)buf_add_str(&text, "\"}\n{\"n\":3}\n");
	(void)buf_add_char(&text, '\0');
	write_file(JOURNAL_FILE, text.p);
	assert_string_equal(trace(NULL), "{\"n\":1}\n{\"n\":3}\n");
	buf_free(&text);
}

static void
test_disk_refuses(void **state)
{
	(void)state;
	open_journal(10);
	add("{\"n\":1111111}");
	journal_flush(journal);
	/* A folder stands where the rotated file shall go, as a stand-in for a failing disk. */
	write_file(JOURNAL_FILE ".8", "");
	assert_int_equal(mkdirat(dir_fd, JOURNAL_FILE ".9", 0700), 0);
	add("{\"n\":2}");
	journal_flush(journal);
	assert_true(journal_stats(journal).is_failing);
	assert_int_equal(unlinkat(dir_fd, JOURNAL_FILE ".9", AT_REMOVEDIR), 0);
	journal_flush(journal);
	assert_false(journal_stats(journal).is_failing);
	assert_string_equal(trace(NULL), "{\"n\":1111111}\n{\"n\":2}\n");
}

static void
test_lost_events_are_counted(void **state)
{
	char *event = mem_alloc(JOURNAL_EVENT_MAX);
	int rc = 0;

	(void)state;
	open_journal(JOURNAL_FILE_BYTES);
	memset(event, 'x', JOURNAL_EVENT_MAX);
	event[0] = '{';
	event[JOURNAL_EVENT_MAX - 1] = '}';
	for (size_t i = 0; i <= JOURNAL_WAITING_MAX / JOURNAL_EVENT_MAX && rc == 0; i++)
		rc = journal_add(journal, span_of(event, JOURNAL_EVENT_MAX));
	assert_int_equal(rc, -E_FULL);
	assert_int_equal(journal_stats(journal).lost, 1);
	journal_flush(journal);
	journal_flush(journal);
	assert_non_null(strstr(trace(NULL), "\"event\":\"journal-gap\",\"lost\":1}"));
	mem_free(event);
}

static void
test_filters(void **state)
{
	static const char a[] =
	    "{\"id\":\"01JD\",\"time\":\"2026-11-22T01:02:03.456Z\","
	    "\"event\":\"decided\",\"client\":\"192.0.2.7\","
	    "\"from\":\"Boss@example.org\",\"to\":[\"a@x.example\","
	    "\"b@x.example\"],\"verdict\":\"reject\",\"subject\":\"Hello You\"}\n";
	static const char b[] = "{\"id\":\"01JD-2\",\"time\":\"2026-11-23T00:00:00.000Z\","
				"\"event\":\"delivered\",\"client\":\"2001:db8::1\",\"from\":\"\","
				"\"to\":\"c@x.example\",\"action\":\"pass\"}\n";
	static const char c[] = "{\"id\":\"01JDX\",\"event\":\"refused\",\"reason\":null,"
				"\"recipients\":[{\"to\":\"c@x.example\"}]}\n";
	char text[2048];

	(void)state;
	(void)snprintf(text, sizeof(text), "%s%s%s", a, b, c);
	write_file(JOURNAL_FILE, text);
	assert_string_equal(trace("01JDX", NULL), c);
	(void)snprintf(text, sizeof(text), "%s%s", a, b);
	assert_string_equal(trace("01jd", NULL), text);
	assert_string_equal(trace("--client", "192.0.2.0/24", NULL), a);
	assert_string_equal(trace("--client", "2001:db8::1", NULL), b);
	assert_string_equal(trace("--from", "boss@EXAMPLE.org", NULL), a);
	assert_string_equal(trace("--from", "<>", NULL), b);
	assert_string_equal(trace("--to", "B@x.example", NULL), a);
	(void)snprintf(text, sizeof(text), "%s%s", b, c);
	assert_string_equal(trace("--to", "c@x.example", NULL), text);
	assert_string_equal(trace("--verdict", "reject", NULL), a);
	assert_string_equal(trace("--verdict", "pass", "--to", "c@x.example", NULL), b);
	assert_string_equal(trace("--verdict", "pass", "--to", "a@x.example", NULL), "");
	assert_string_equal(trace("--subject", "o yOU", NULL), a);
	assert_string_equal(trace("--since", "2026-11-22T01:02:03.457Z", NULL), b);
	assert_string_equal(
	    trace("--since", "2026-11-22", "--until", "2026-11-22T02:00Z", NULL), a);
}

static void
test_bad_words(void **state)
{
	static const char *const rows[][2] = {{"--client", "x"}, {"--client", NULL},
	    {"--since", "yesterday"}, {"--colour", "red"}, {"A", "B"}, {"--verdict", "refused"},
	    {"--verdict", ""}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span words[] = {span_str(rows[i][0]), span_str(rows[i][1])};
		struct journal_filter filter;

		err.text[0] = '\0';
		assert_int_equal(
		    journal_filter_parse(words, rows[i][1] ? 2 : 1, 0, &filter, &err), -E_SYNTAX);
		assert_true(err.text[0] != '\0');
	}
}

/* What is wrong is told with all that would be right. */
static void
test_verdict_words(void **state)
{
	struct span words[] = {SPAN("--verdict"), SPAN("refused")};
	struct journal_filter filter;

	(void)state;
	assert_int_equal(journal_filter_parse(words, 2, 0, &filter, &err), -E_SYNTAX);
	for (int a = 0; a < ACTION_COUNT; a++) {
		words[1] = span_str(action_name((enum action)a));
		assert_non_null(strstr(err.text, action_name((enum action)a)));
		assert_int_equal(journal_filter_parse(words, 2, 0, &filter, NULL), 0);
	}
}

static void
test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t wall_ms; /* -1: refused */
	} rows[] = {
	    {"1970-01-02", 86400000},
	    {"1970-01-01T00:01Z", 60000},
	    {"1970-01-01T00:00:07Z", 7000},
	    {"1970-01-01T00:00:07.250999Z", 7250},
	    {"10s", 90000},
	    {"1m", 40000},
	    {"1970-01-01T00:01", -1},
	    {"1970-13-01", -1},
	    {"1970-01-01T24:00Z", -1},
	    {"70-01-01", -1},
	    {"", -1},
	    {"s", -1},
	    {"-1s", -1},
	    {"5y", -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t wall_ms = -1;
		bool is_time = journal_time_parse(span_str(rows[i].text), 100000, &wall_ms);

		assert_int_equal(is_time, rows[i].wall_ms >= 0);
		if (is_time)
			assert_int_equal(wall_ms, rows[i].wall_ms);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_written_at_turn_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_torn_tail, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rotation_while_reading, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_follow, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_more_than_a_slice, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_endless_line, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_disk_refuses, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lost_events_are_counted, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_filters, setup, teardown),
	    cmocka_unit_test(test_bad_words),
	    cmocka_unit_test(test_verdict_words),
	    cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}

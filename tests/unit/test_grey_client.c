/* Front's greylist against a scripted journal: unknown until it is read, told of each change. */
#include "relay/base/clock.h"
#include "relay/front/grey_client.h"
#include "relay/ipc/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOW_MS = 100000000, DELAY_MS = 60000, SETTLE = 4, WAIT_MS = 20000 };

static const struct conf_greylist conf = {
    .delay_ms = DELAY_MS, .window_ms = 3600000, .keep_ms = 7200000, .clients = 0};
static struct loop *loop;
static struct grey_client *grey;
static struct channel *channel;
static int journal; /* the other end; -1: none */
static struct buf room;
static struct span payload; /* in room */

static void
on_message(void *arg, struct message *m)
{
	(void)arg;
	(void)m;
}

static void
on_close(void *arg)
{
	(void)arg;
}

static void
connect_journal(void)
{
	static const struct channel_events events = {on_message, on_close};
	int ends[2];

	channel_pair(ends);
	channel = channel_new(loop, ends[0], &events, NULL);
	journal = ends[1];
	grey_client_connect(grey, channel);
}

static void
lose_journal(void)
{
	channel_free(&channel);
	grey_client_connect(grey, NULL);
	assert_int_equal(close(journal), 0);
	journal = -1;
}

/* The next message of front's: its type; its payload is in `payload`. */
static unsigned
heard(void)
{
	struct message m;

	for (int i = 0; i < SETTLE; i++)
		loop_turn(loop, 0);
	assert_int_equal(channel_receive(journal, &m, &room, WAIT_MS), 0);
	payload = m.payload;
	return m.type;
}

static int
setup(void **state)
{
	(void)state;
	clock_fake(1000, NOW_MS);
	room = BUF_INIT(1 << 20);
	if (loop == NULL)
		loop = loop_new();
	grey = grey_client_new(conf.keep_ms);
	connect_journal();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (journal >= 0)
		lose_journal();
	grey_client_free(&grey);
	buf_free(&room);
	clock_fake(0, -1);
	return 0;
}

static enum greylist_fact
see(const char *to)
{
	struct greylist_mail m = {.from = SPAN("a@x.example"), .to = span_str(to)};
	int64_t left_ms;

	assert_true(ip_parse(SPAN("192.0.2.1"), &m.client));
	return grey_client_see(grey, &conf, &m, &left_ms);
}

static void
test_unknown_until_read(void **state)
{
	(void)state;
	assert_int_equal(see("b@y.example"), GREYLIST_UNKNOWN);
	assert_int_equal(heard(), JOURNAL_GREY_READ);
	assert_int_equal(see("b@y.example"), GREYLIST_UNKNOWN);
	/* It dies before it has answered: its successor is asked again. */
	lose_journal();
	assert_int_equal(see("b@y.example"), GREYLIST_UNKNOWN);
	connect_journal();
	assert_int_equal(heard(), JOURNAL_GREY_READ);
	grey_client_take(grey, (struct span){0});
	assert_int_equal(see("b@y.example"), GREYLIST_WAIT);
	assert_int_equal(heard(), JOURNAL_GREY_ENTRY);
	assert_int_equal(payload.n, GREYLIST_ENTRY);
}

/* What one front has told is what the next one knows. */
static void
test_told_and_taken(void **state)
{
	struct buf told = BUF_INIT(1 << 20);

	(void)state;
	assert_int_equal(heard(), JOURNAL_GREY_READ);
	grey_client_take(grey, (struct span){0});
	assert_int_equal(see("b@y.example"), GREYLIST_WAIT);
	assert_int_equal(heard(), JOURNAL_GREY_ENTRY);
	assert_int_equal(buf_add_span(&told, payload), 0);
	clock_fake(1000, NOW_MS + DELAY_MS);
	assert_int_equal(see("b@y.example"), GREYLIST_PASSED);
	assert_int_equal(heard(), JOURNAL_GREY_ENTRY);
	assert_int_equal(buf_add_span(&told, payload), 0);
	grey_client_free(&grey);
	grey = grey_client_new(conf.keep_ms);
	/* A torn end is left out. */
	assert_int_equal(buf_add_char(&told, 'x'), 0);
	grey_client_take(grey, buf_span(&told));
	assert_int_equal(grey_client_count(grey), 1);
	assert_int_equal(see("b@y.example"), GREYLIST_PASSED);
	buf_free(&told);
}

static void
test_journal_is_away(void **state)
{
	(void)state;
	assert_int_equal(heard(), JOURNAL_GREY_READ);
	grey_client_take(grey, (struct span){0});
	lose_journal();
	assert_int_equal(see("b@y.example"), GREYLIST_WAIT); /* goes on from memory */
	grey_client_know(grey, SPAN("friend@far.example"));
	connect_journal();
	/* It has missed two: it is told everything. */
	assert_int_equal(heard(), JOURNAL_GREY_ALL);
	assert_int_equal(payload.n, 2 * GREYLIST_ENTRY);
}

/* Of another front comes what it has learnt, which says nothing of what was kept. */
static void
test_other_front(void **state)
{
	struct buf told = BUF_INIT(1 << 20);

	(void)state;
	assert_int_equal(heard(), JOURNAL_GREY_READ);
	grey_client_take(grey, (struct span){0});
	assert_int_equal(see("b@y.example"), GREYLIST_WAIT);
	assert_int_equal(heard(), JOURNAL_GREY_ENTRY);
	assert_int_equal(buf_add_span(&told, payload), 0);
	grey_client_free(&grey);
	grey = grey_client_new(conf.keep_ms);
	grey_client_hear(grey, buf_span(&told));
	assert_int_equal(see("b@y.example"), GREYLIST_UNKNOWN);
	grey_client_take(grey, (struct span){0});
	clock_fake(1000, NOW_MS + DELAY_MS);
	assert_int_equal(see("b@y.example"), GREYLIST_PASSED);
	buf_free(&told);
}

/* Many changes: the file is written anew before it grows without end. */
static void
test_file_is_written_anew(void **state)
{
	size_t n_entries = 0;
	unsigned type = 0;

	(void)state;
	assert_int_equal(heard(), JOURNAL_GREY_READ);
	grey_client_take(grey, (struct span){0});
	for (int i = 0; i < 5000 && type != JOURNAL_GREY_ALL; i++) {
		char to[32];

		(void)snprintf(to, sizeof(to), "%d@y.example", i);
		assert_int_equal(see(to), GREYLIST_WAIT);
		type = heard();
		n_entries += type == JOURNAL_GREY_ENTRY;
		if (n_entries == 4096)
			type = heard();
	}
	assert_int_equal(type, JOURNAL_GREY_ALL);
	assert_int_equal(n_entries, 4096);
	assert_int_equal(payload.n, 4096 * GREYLIST_ENTRY);
}

#define GREY_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    GREY_TEST(test_unknown_until_read),
	    GREY_TEST(test_told_and_taken),
	    GREY_TEST(test_journal_is_away),
	    GREY_TEST(test_other_front),
	    GREY_TEST(test_file_is_written_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

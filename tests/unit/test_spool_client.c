/* Front's side of the spool's channel, against a scripted spool, on a clock of ours. */
#include "relay/front/spool_client.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <dirent.h>
#include <unistd.h>

enum { SETTLE = 4, WAIT_MS = 120000 };

struct world {
	struct loop *loop;
	struct spool_client *client;
	struct spool_request a, b;
	int spool;
	struct buf buf;
	int64_t now_ms;
	unsigned n_done, n_durable;
	uint16_t code;
};

/* A client lives as long as its process: kept, so that a leak checker still sees it. */
static struct spool_client *kept[16];
static size_t n_kept;

static void
pass_time(struct world *w, int64_t ms)
{
	w->now_ms += ms;
	clock_fake(w->now_ms, 1);
	for (int i = 0; i < SETTLE; i++)
		loop_turn(w->loop, 0);
}

static void
on_done(struct spool_request *r, const struct refusal *refusal)
{
	struct world *w = r->arg;

	assert_null(r->client);
	w->n_done++;
	w->n_durable += refusal == NULL;
	w->code = refusal != NULL ? refusal->code : 0;
}

static void
connect_spool(struct world *w)
{
	int ends[2];

	channel_pair(ends);
	w->spool = ends[1];
	spool_client_connect(w->client, ends[0]);
}

static int
setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));

	w->now_ms = 1;
	clock_fake(w->now_ms, 1);
	w->loop = loop_new();
	w->client = kept[n_kept++] = spool_client_new(w->loop, 2);
	w->a.on_done = w->b.on_done = on_done;
	w->a.arg = w->b.arg = w;
	connect_spool(w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	spool_forget_request(&w->a);
	spool_forget_request(&w->b);
	if (w->spool >= 0)
		(void)close(w->spool);
	pass_time(w, 0);
	loop_free(&w->loop);
	buf_free(&w->buf);
	clock_fake(0, -1);
	mem_free(w);
	return 0;
}

static void
commit(struct world *w, struct spool_request *r, int body_fd)
{
	static const struct commit_rcpt rcpts[] = {{.address = {"a@b.example", 11}}};
	static const struct commit_copy copies[] = {{.prefix = {"X: 1\r\n", 6}}};
	struct commit c = {.id = SPAN("id"),
	    .copies = copies,
	    .n_copies = 1,
	    .rcpts = rcpts,
	    .n_rcpts = 1,
	    .body_size = 4,
	    .is_inline = body_fd < 0,
	    .body = SPAN("x\r\ny")};

	spool_commit(w->client, r, &c, body_fd);
	pass_time(w, 0);
}

static uint64_t
expect_commit(struct world *w, bool has_fd)
{
	static struct commit_room room;
	struct commit c;
	struct message m;

	assert_int_equal(channel_receive(w->spool, &m, &w->buf, 0), 0);
	assert_int_equal(m.type, SPOOL_COMMIT);
	assert_int_equal(commit_get(m.payload, &c, &room), 0);
	assert_int_equal(m.fds[0] >= 0, has_fd);
	if (has_fd)
		(void)close(m.fds[0]);
	return m.id;
}

static void
say(struct world *w, uint16_t type, uint64_t id, struct span payload)
{
	assert_int_equal(channel_send_now(w->spool, type, id, payload, NULL), 0);
	pass_time(w, 0);
}

static void
expect_done(const struct world *w, unsigned n, unsigned n_durable, uint16_t code)
{
	assert_int_equal(w->n_done, n);
	assert_int_equal(w->n_durable, n_durable);
	assert_int_equal(w->code, code);
}

static void
test_committed(void **state)
{
	struct world *w = *state;
	int fd = channel_seal(SPAN("x\r\ny"), "body");
	uint64_t a, b;

	commit(w, &w->a, -1);
	commit(w, &w->b, fd);
	assert_int_equal(close(fd), 0); /* still ours */
	a = expect_commit(w, false);
	b = expect_commit(w, true);
	assert_int_equal(w->n_done, 0);
	say(w, SPOOL_COMMITTED, b, SPAN(""));
	expect_done(w, 1, 1, 0);
	assert_null(w->b.client);
	assert_non_null(w->a.client);
	say(w, SPOOL_COMMITTED, b, SPAN("")); /* twice finds nobody */
	say(w, SPOOL_COMMITTED, a + 100, SPAN(""));
	expect_done(w, 1, 1, 0);
	say(w, SPOOL_COMMITTED, a, SPAN(""));
	expect_done(w, 2, 2, 0);
}

static void
test_refused(void **state)
{
	struct refusal r = {452, SPAN("4.3.1"), SPAN("full")};
	struct buf b = BUF_INIT(1000);
	struct world *w = *state;

	refusal_put(&b, &r);
	commit(w, &w->a, -1);
	say(w, SPOOL_REFUSED, expect_commit(w, false), buf_span(&b));
	expect_done(w, 1, 0, 452);
	commit(w, &w->a, -1);
	say(w, SPOOL_REFUSED, expect_commit(w, false), SPAN("nonsense"));
	expect_done(w, 2, 0, 451);
	buf_free(&b);
}

static void
test_no_answer(void **state)
{
	struct world *w = *state;
	uint64_t id;

	commit(w, &w->a, -1);
	id = expect_commit(w, false);
	pass_time(w, WAIT_MS - 1);
	assert_int_equal(w->n_done, 0);
	pass_time(w, 1);
	expect_done(w, 1, 0, 451);
	say(w, SPOOL_COMMITTED, id, SPAN("")); /* too late: at worst a duplicate */
	expect_done(w, 1, 0, 451);
}

static void
test_spool_goes_and_comes(void **state)
{
	struct world *w = *state;

	commit(w, &w->a, -1);
	commit(w, &w->b, -1);
	(void)close(w->spool);
	w->spool = -1;
	pass_time(w, 0);
	expect_done(w, 2, 0, 451);
	assert_false(spool_client_has_room(w->client));
	commit(w, &w->a, -1); /* refused from the loop */
	expect_done(w, 3, 0, 451);
	connect_spool(w);
	assert_true(spool_client_has_room(w->client));
	commit(w, &w->a, -1);
	say(w, SPOOL_COMMITTED, expect_commit(w, false), SPAN(""));
	expect_done(w, 4, 1, 0);
}

static size_t
count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return n;
}

/* The body's descriptor is the caller's; a copy made for a spool that has gone is not left open. */
static void
test_body_of_a_spool_that_is_gone(void **state)
{
	struct world *w = *state;
	int fd = channel_seal(SPAN("x\r\ny"), "body");
	size_t before;

	(void)close(w->spool);
	w->spool = -1;
	before = count_fds();
	commit(w, &w->a, fd); /* not seen yet that it is gone */
	expect_done(w, 1, 0, 451);
	assert_true(count_fds() <= before); /* our end of the channel has gone, too */
	before = count_fds();
	for (unsigned i = 0; i < 20; i++) {
		commit(w, &w->a, fd);
		expect_done(w, i + 2, 0, 451);
	}
	assert_int_equal(count_fds(), before);
	assert_int_equal(close(fd), 0); /* still ours */
}

static void
test_spool_is_replaced(void **state)
{
	struct world *w = *state;
	int old = w->spool;

	commit(w, &w->a, -1);
	connect_spool(w);
	expect_done(w, 1, 0, 451);
	(void)close(old);
	commit(w, &w->a, -1);
	(void)expect_commit(w, false);
}

static void
test_room(void **state)
{
	struct world *w = *state;

	assert_true(spool_client_has_room(w->client));
	say(w, SPOOL_ROOM, 0, SPAN(""));
	assert_false(spool_client_has_room(w->client));
	say(w, SPOOL_ROOM, 1, SPAN(""));
	assert_true(spool_client_has_room(w->client));
	say(w, 99, 0, SPAN(""));
	assert_true(spool_client_has_room(w->client));
}

static void
test_forgotten(void **state)
{
	struct world *w = *state;
	uint64_t id;

	commit(w, &w->a, -1);
	id = expect_commit(w, false);
	spool_forget_request(&w->a);
	spool_forget_request(&w->a); /* harmless */
	say(w, SPOOL_COMMITTED, id, SPAN(""));
	pass_time(w, WAIT_MS);
	assert_int_equal(w->n_done, 0);
}

static struct {
	unsigned n;
	uint16_t type;
	uint64_t id;
	bool has_fd;
} heard;

static void
on_held(void *arg, struct message *m)
{
	(void)arg;
	heard.n++;
	heard.type = m->type;
	heard.id = m->id;
	heard.has_fd = m->fds[0] >= 0;
}

/* What the spool wants of front, and what front says of itself. */
static void
test_held(void **state)
{
	struct world *w = *state;
	int fds[CHANNEL_FDS] = {channel_seal(SPAN("message"), "m"), -1};
	struct message m;

	heard.n = 0;
	say(w, SPOOL_AWAITS, 0, SPAN("av")); /* nobody listens yet */
	spool_client_on_held(w->client, on_held, NULL);
	assert_int_equal(channel_send_now(w->spool, SPOOL_REFILTER, 5, SPAN("payload"), fds), 0);
	(void)close(fds[0]);
	pass_time(w, 0);
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.type, SPOOL_REFILTER);
	assert_int_equal(heard.id, 5);
	assert_true(heard.has_fd);
	say(w, SPOOL_AWAITS, 0, SPAN("av"));
	assert_int_equal(heard.n, 2);
	assert_int_equal(heard.type, SPOOL_AWAITS);
	spool_client_tell(w->client, SPOOL_WORKS, 1, SPAN("av"));
	pass_time(w, 0);
	assert_int_equal(channel_receive(w->spool, &m, &w->buf, 0), 0);
	assert_int_equal(m.type, SPOOL_WORKS);
	assert_int_equal(m.id, 1);
	assert_true(span_eq(m.payload, SPAN("av")));
	(void)close(w->spool);
	w->spool = -1;
	pass_time(w, 0);
	spool_client_tell(w->client, SPOOL_WORKS, 0, SPAN("av")); /* it is away: nothing */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
test_abilities(void **state)
{
	struct world *w = *state;
	struct gateway_ability said = {.is_known = true, .takes_8bit = true, .size_limit = 1000};
	struct buf payload = BUF_INIT(64);

	assert_false(spool_client_ability(w->client, 0).is_known);
	ability_put(&payload, &said);
	say(w, SPOOL_GATEWAY, 1, buf_span(&payload));
	say(w, SPOOL_GATEWAY, 2, buf_span(&payload)); /* there are two */
	assert_false(spool_client_ability(w->client, 0).is_known);
	assert_true(spool_client_ability(w->client, 1).takes_8bit);
	assert_false(spool_client_ability(w->client, 1).takes_utf8);
	assert_int_equal(spool_client_ability(w->client, 1).size_limit, 1000);
	assert_false(spool_client_ability(w->client, 2).is_known);
	say(w, SPOOL_GATEWAY, 1, SPAN("bad"));
	assert_false(spool_client_ability(w->client, 1).is_known);
	buf_free(&payload);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_committed),
	    TEST(test_refused),
	    TEST(test_no_answer),
	    TEST(test_spool_goes_and_comes),
	    TEST(test_body_of_a_spool_that_is_gone),
	    TEST(test_spool_is_replaced),
	    TEST(test_room),
	    TEST(test_forgotten),
	    TEST(test_held),
	    cmocka_unit_test_setup_teardown(test_abilities, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Front and key: the codec, front's client with a key role that the test plays, and the key role's
 * service with a front that the test plays. */
#include "relay/base/clock.h"
#include "relay/front/key_client.h"
#include "relay/ipc/channel.h"
#include "relay/ipc/policy_bundle.h"
#include "relay/key/checker.h"
#include "relay/key/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { TURNS = 20, WORK_TURNS = 2000 };

#define USERS                                                \
	"user:{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==," \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"      \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n"

static const unsigned char print[KEY_FINGERPRINT] = "0123456789abcdef0123456789abcde";

/* --- the codec ---------------------------------------------------------------------------------- */

static void
test_codec(void **state)
{
	struct buf b = BUF_INIT(65536);
	struct key_request r = {span_of(print, sizeof(print)), 0x0403, SPAN("content")}, r2;
	struct key_answer a = {KEY_YES, SPAN("signature")}, a2;
	struct key_question q = {KEY_SCRAM_FINAL, SPAN("/u"), SPAN("me"), SPAN("p"), SPAN("m")}, q2;
	struct key_verdict v = {KEY_NO, SPAN("salt"), 4096}, v2;

	(void)state;
	key_request_put(&b, &r);
	assert_int_equal(key_request_get(buf_span(&b), &r2), 0);
	assert_int_equal(r2.scheme, 0x0403);
	assert_true(span_eq(r2.content, r.content) && span_eq(r2.fingerprint, r.fingerprint));
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(key_request_get(span_take(buf_span(&b), n), &r2), -E_CORRUPT);
	buf_clear(&b);
	key_answer_put(&b, &a);
	assert_int_equal(key_answer_get(buf_span(&b), &a2), 0);
	assert_true(a2.status == KEY_YES && span_eq(a2.signature, a.signature));
	buf_clear(&b);
	a.status = KEY_NO; /* a signature with a no, and a yes without one */
	key_answer_put(&b, &a);
	assert_int_equal(key_answer_get(buf_span(&b), &a2), -E_CORRUPT);
	buf_clear(&b);
	a = (struct key_answer){.status = KEY_YES};
	key_answer_put(&b, &a);
	assert_int_equal(key_answer_get(buf_span(&b), &a2), -E_CORRUPT);
	buf_clear(&b);
	key_question_put(&b, &q);
	assert_int_equal(key_question_get(buf_span(&b), &q2), 0);
	assert_true(q2.kind == q.kind && span_eq(q2.users, q.users) && span_eq(q2.name, q.name) &&
		    span_eq(q2.proof, q.proof) && span_eq(q2.message, q.message));
	buf_clear(&b);
	key_verdict_put(&b, &v);
	assert_int_equal(key_verdict_get(buf_span(&b), &v2), 0);
	assert_true(v2.status == v.status && span_eq(v2.data, v.data) && v2.iterations == 4096);
	buf_clear(&b);
	v.iterations = KEY_ITERATIONS_MAX + 1;
	key_verdict_put(&b, &v);
	assert_int_equal(key_verdict_get(buf_span(&b), &v2), -E_CORRUPT);
	buf_free(&b);
}

/* --- front's side -------------------------------------------------------------------------------- */

struct world {
	struct loop *loop;
	struct key_client *client;
	int key; /* our end */
	unsigned n_lost;
	struct key_waiting waiting;
	unsigned n_verdicts;
	enum key_status status;
	char data[KEY_DATA_MAX + 1];
};

static void
on_lost(void *arg)
{
	((struct world *)arg)->n_lost++;
}

static void
on_verdict(struct key_waiting *w, const struct key_verdict *v)
{
	struct world *world = w->arg;

	world->n_verdicts++;
	world->status = v->status;
	(void)span_copy(v->data, world->data, sizeof(world->data)); /* as long */
}

static int
setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));
	int ends[2];

	clock_fake(0, -1);
	w->loop = loop_new();
	w->client = key_client_new(w->loop);
	key_client_on_lost(w->client, on_lost, w);
	channel_pair(ends);
	key_client_connect(w->client, ends[0]);
	w->key = ends[1];
	w->waiting.on_verdict = on_verdict;
	w->waiting.arg = w;
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	if (w->key >= 0)
		(void)close(w->key);
	key_cancel(&w->waiting);
	key_client_free(&w->client);
	loop_free(&w->loop);
	mem_free(w);
	return 0;
}

static void
turn(struct world *w)
{
	for (int i = 0; i < TURNS; i++)
		loop_turn(w->loop, 0);
}

static void
say_answer(struct world *w, uint64_t id, enum key_status status, struct span signature)
{
	struct buf b = BUF_INIT(2048);

	key_answer_put(&b, &(struct key_answer){status, signature});
	assert_int_equal(channel_send_now(w->key, KEY_SIGNATURE, id, buf_span(&b), NULL), 0);
	buf_free(&b);
}

static void
say_verdict(struct world *w, uint64_t id, enum key_status status, struct span data)
{
	struct buf b = BUF_INIT(2048);

	key_verdict_put(&b, &(struct key_verdict){status, data, 4096});
	assert_int_equal(channel_send_now(w->key, KEY_VERDICT, id, buf_span(&b), NULL), 0);
	buf_free(&b);
}

static void
sign(struct world *w, struct remote_signing *s)
{
	*s = (struct remote_signing){.fingerprint = print,
	    .scheme = 0x0403,
	    .content = SPAN("content"),
	    .signature = BUF_INIT(KEY_SIGNATURE_MAX)};
	key_client_asker.ask(w->client, s);
}

static void
ask(struct world *w)
{
	key_ask(w->client, &w->waiting,
	    &(struct key_question){.kind = KEY_PASSWORD,
		.users = SPAN("/u"),
		.name = SPAN("me"),
		.proof = SPAN("pw")});
}

static void
test_signatures(void **state)
{
	static const struct {
		enum key_status status;
		const char *signature;
		int result;
	} rows[] = {{KEY_YES, "one", 0}, {KEY_NO, "", -E_NOT_FOUND}, {KEY_REFUSED, "", -E_DENIED},
	    {KEY_YES, "four", 0}};
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	struct world *w = *state;
	struct remote_signing s[ROWS];

	for (size_t i = 0; i < ROWS; i++)
		sign(w, &s[i]); /* ids from 1 on */
	say_answer(w, 999, KEY_YES, SPAN("of nobody"));
	turn(w);
	for (size_t i = ROWS; i-- > 0;) { /* the last one first */
		assert_false(s[i].is_answered);
		say_answer(w, i + 1, rows[i].status, span_str(rows[i].signature));
		turn(w);
		assert_true(s[i].is_answered);
		assert_int_equal(s[i].result, rows[i].result);
		assert_true(span_eq(buf_span(&s[i].signature), span_str(rows[i].signature)));
		buf_free(&s[i].signature);
	}
	assert_int_equal(w->n_lost, 0);
}

static int
on_go_on(void *arg)
{
	++*(unsigned *)arg;
	return 1;
}

/* Whoever waits is told, once; whoever has gone is not. */
static void
test_who_is_told(void **state)
{
	struct world *w = *state;
	struct remote_signing waits, gone;
	unsigned n_told = 0;

	sign(w, &waits);
	sign(w, &gone);
	waits.go_on = gone.go_on = on_go_on;
	waits.go_on_arg = gone.go_on_arg = &n_told;
	key_client_asker.drop(w->client, &gone);
	for (uint64_t id = 1; id <= 2; id++)
		for (int i = 0; i < 2; i++)
			say_answer(w, id, KEY_YES, SPAN("signature"));
	turn(w);
	assert_int_equal(n_told, 1);
	assert_true(waits.is_answered && !gone.is_answered);
	buf_free(&waits.signature);
}

static void
test_key_is_away(void **state)
{
	struct world *w = *state;
	struct remote_signing before, while_away, after;
	int ends[2];

	ask(w); /* id 1 */
	sign(w, &before);
	(void)close(w->key);
	w->key = -1;
	turn(w);
	assert_false(key_client_is_there(w->client));
	assert_int_equal(w->n_lost, 1);
	assert_int_equal(w->n_verdicts, 1);
	assert_int_equal(w->status, KEY_BUSY);
	assert_int_equal(before.result, -E_CLOSED);
	sign(w, &while_away);
	assert_true(while_away.is_answered); /* at once */
	assert_int_equal(while_away.result, -E_CLOSED);
	ask(w); /* told from the loop */
	assert_int_equal(w->n_verdicts, 1);
	turn(w);
	assert_int_equal(w->n_verdicts, 2);
	channel_pair(ends);
	key_client_connect(w->client, ends[0]);
	w->key = ends[1];
	sign(w, &after);
	say_answer(w, 5, KEY_YES, SPAN("signature"));
	turn(w);
	assert_true(after.is_answered);
	assert_int_equal(after.result, 0);
	buf_free(&after.signature);
}

/* Another key role comes: the old one's questions will not be answered. */
static void
test_another_key_role(void **state)
{
	struct world *w = *state;
	struct remote_signing s;
	int ends[2];

	sign(w, &s);
	channel_pair(ends);
	key_client_connect(w->client, ends[0]);
	(void)close(w->key);
	w->key = ends[1];
	assert_true(s.is_answered);
	assert_int_equal(s.result, -E_CLOSED);
	assert_int_equal(w->n_lost, 0);
}

/* Nobody answers: who waits is told after KEY_SIGN_MS, and the channel is still good. */
static void
test_key_hangs(void **state)
{
	struct world *w = *state;
	struct remote_signing early, late;

	clock_fake(1000, 1);
	sign(w, &early);
	clock_fake(2000, 1);
	sign(w, &late);
	clock_fake(1000 + KEY_SIGN_MS - 1, 1);
	turn(w);
	assert_false(early.is_answered);
	clock_fake(1000 + KEY_SIGN_MS, 1);
	turn(w);
	assert_true(early.is_answered);
	assert_int_equal(early.result, -E_TIMEOUT);
	assert_false(late.is_answered);
	say_answer(w, 1, KEY_YES, SPAN("too late"));
	say_answer(w, 2, KEY_YES, SPAN("signature"));
	turn(w);
	assert_int_equal(late.result, 0);
	assert_int_equal(w->n_lost, 0);
	buf_free(&late.signature);
	clock_fake(0, -1);
}

/* A socket with room for a few of the longest questions. */
static void
connect_narrowly(struct world *w)
{
	int ends[2], size = 4 * (KEY_USERS_MAX + KEY_MESSAGE_MAX);

	channel_pair(ends);
	assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	key_client_connect(w->client, ends[0]);
	(void)close(w->key);
	w->key = ends[1];
}

/* Reads and answers whatever is there, until nothing more comes. */
static unsigned
answer_everything(struct world *w)
{
	struct buf room = BUF_INIT(0);
	struct message m;
	unsigned n = 0;

	for (turn(w); channel_receive(w->key, &m, &room, 0) == 0; turn(w)) {
		if (m.type == KEY_SIGN)
			say_answer(w, m.id, KEY_YES, SPAN("signature"));
		else
			say_verdict(w, m.id, KEY_YES, SPAN("salt"));
		n++;
	}
	buf_free(&room);
	return n;
}

/* The key role stands still for a while: as many questions as there may be wait for it, none larger. */
static void
test_key_reads_later(void **state)
{
	enum { SIGNINGS = 64, QUESTIONS = 32 };
	static const char longest[KEY_USERS_MAX];
	struct world *w = *state;
	struct remote_signing s[SIGNINGS];
	struct key_waiting many[QUESTIONS] = {0};

	connect_narrowly(w);
	for (size_t i = 0; i < QUESTIONS; i++) {
		many[i] = (struct key_waiting){.on_verdict = on_verdict, .arg = w};
		key_ask(w->client, &many[i],
		    &(struct key_question){.kind = KEY_SCRAM_FINAL,
			.users = span_of(longest, KEY_USERS_MAX),
			.name = span_of(longest, KEY_NAME_MAX),
			.proof = span_of(longest, KEY_PASSWORD_MAX),
			.message = span_of(longest, KEY_MESSAGE_MAX)});
	}
	for (size_t i = 0; i < SIGNINGS; i++)
		sign(w, &s[i]);
	turn(w);
	assert_int_equal(w->n_verdicts, 0);
	assert_int_equal(answer_everything(w), QUESTIONS + SIGNINGS);
	assert_int_equal(w->n_verdicts, QUESTIONS);
	assert_int_equal(w->status, KEY_YES);
	for (size_t i = 0; i < SIGNINGS; i++) {
		assert_true(s[i].is_answered);
		assert_int_equal(s[i].result, 0);
		buf_free(&s[i].signature);
	}
	assert_int_equal(w->n_lost, 0);
}

/* Nobody reads: what finds no room fails alone and at once, and what waits is answered after all. */
static void
test_key_reads_nothing(void **state)
{
	enum { MANY = 100000 };
	struct world *w = *state;
	struct remote_signing *s = mem_array(MANY, sizeof(*s));
	size_t n = 0;

	connect_narrowly(w);
	do
		sign(w, &s[n]);
	while (!s[n++].is_answered && n < MANY);
	assert_true(s[n - 1].is_answered);
	assert_int_equal(s[n - 1].result, -E_FULL);
	ask(w);
	turn(w);
	assert_int_equal(w->n_verdicts, 1);
	assert_int_equal(w->status, KEY_BUSY);
	assert_int_equal(answer_everything(w), n - 1);
	for (size_t i = 0; i < n - 1; i++) {
		assert_true(s[i].is_answered);
		assert_int_equal(s[i].result, 0);
		buf_free(&s[i].signature);
	}
	assert_int_equal(w->n_lost, 0);
	sign(w, &s[0]); /* and all is well again */
	assert_int_equal(answer_everything(w), 1);
	assert_int_equal(s[0].result, 0);
	buf_free(&s[0].signature);
	mem_free(s);
}

static void
test_nonsense_from_key(void **state)
{
	struct world *w = *state;
	struct remote_signing s;

	ask(w);
	assert_int_equal(channel_send_now(w->key, KEY_VERDICT, 1, SPAN("\xff"), NULL), 0);
	turn(w);
	assert_int_equal(w->n_verdicts, 1);
	assert_int_equal(w->status, KEY_BUSY);
	say_verdict(w, 77, KEY_YES, SPAN("")); /* nobody's */
	turn(w);
	sign(w, &s);
	assert_int_equal(channel_send_now(w->key, KEY_SIGNATURE, 2, SPAN("\xff"), NULL), 0);
	turn(w);
	assert_true(s.is_answered);
	assert_int_equal(s.result, -E_CORRUPT);
	assert_int_equal(channel_send_now(w->key, 77, 3, SPAN("junk"), NULL), 0);
	turn(w);
	assert_int_equal(w->n_lost, 0);
	assert_int_equal(send(w->key, "x", 1, MSG_NOSIGNAL), 1); /* no message at all */
	turn(w);
	assert_int_equal(w->n_lost, 1);
}

static void
test_many_questions(void **state)
{
	enum { MANY = 100 };
	struct world *w = *state;
	struct key_waiting *many = mem_array(MANY, sizeof(*many));

	for (int i = 0; i < MANY; i++) {
		many[i].on_verdict = on_verdict;
		many[i].arg = w;
		key_ask(w->client, &many[i],
		    &(struct key_question){.kind = KEY_PASSWORD, .name = SPAN("me")});
	}
	turn(w); /* those beyond the bound */
	assert_true(w->n_verdicts > 0 && w->n_verdicts < MANY);
	assert_int_equal(w->status, KEY_BUSY);
	for (int i = 0; i < MANY; i++)
		key_cancel(&many[i]);
	mem_free(many);
}

/* --- key's side --------------------------------------------------------------------------------- */

struct key_world {
	struct loop *loop;
	struct key_service *service;
	int front; /* our end */
	struct buf buf;
};

static int
key_setup(void **state)
{
	struct key_world *w = mem_alloc(sizeof(*w));
	struct conf_listen listen = {.users = "/u", .auth = AUTH_PLAIN};
	struct config config = {.file = "t", .listens = &listen, .n_listens = 1};
	struct buf bundle = BUF_INIT(65536), errors = BUF_INIT(65536);
	struct material *m;
	int ends[2];

	clock_fake(0, -1);
	bundle_add(&bundle, BUNDLE_USERS, SPAN("/u"), SPAN(USERS));
	m = material_new(&config, buf_span(&bundle), &errors);
	assert_non_null(m);
	buf_free(&bundle);
	w->loop = loop_new();
	w->service = key_service_new(w->loop);
	key_service_take(w->service, m);
	key_service_start(w->service);
	channel_pair(ends);
	key_service_peer(w->service, 0, ends[0]);
	w->front = ends[1];
	*state = w;
	return 0;
}

static int
key_teardown(void **state)
{
	struct key_world *w = *state;

	(void)close(w->front);
	key_service_free(&w->service);
	loop_free(&w->loop);
	buf_free(&w->buf);
	mem_free(w);
	return 0;
}

/* The next message from key, after as many turns as it takes. */
static void
hear(struct key_world *w, struct message *m)
{
	int r = -E_TIMEOUT;

	for (int i = 0; i < WORK_TURNS && r == -E_TIMEOUT; i++) {
		loop_turn(w->loop, 10);
		r = channel_receive(w->front, m, &w->buf, 0);
	}
	assert_int_equal(r, 0);
}

static void
put_question(struct key_world *w, uint64_t id, enum key_question_kind kind, const char *users,
    const char *name, const char *proof)
{
	struct buf b = BUF_INIT(65536);

	key_question_put(&b, &(struct key_question){.kind = kind,
				 .users = span_str(users),
				 .name = span_str(name),
				 .proof = span_str(proof)});
	assert_int_equal(channel_send_now(w->front, KEY_ASK, id, buf_span(&b), NULL), 0);
	buf_free(&b);
}

static void
test_questions(void **state)
{
	static const struct {
		enum key_question_kind kind;
		const char *users, *name, *proof;
		enum key_status status;
		size_t n_data;
	} rows[] = {
	    {KEY_PASSWORD, "/u", "user", "pencil", KEY_YES, 0},
	    {KEY_PASSWORD, "/u", "user", "wrong", KEY_NO, 0},
	    {KEY_PASSWORD, "/u", "nobody", "pencil", KEY_NO, 0},
	    {KEY_PASSWORD, "/other", "user", "pencil", KEY_REFUSED, 0},
	    {KEY_SCRAM_FIRST, "/u", "user", "", KEY_YES, 16},
	    {KEY_SCRAM_FIRST, "/u", "nobody", "", KEY_YES, 16},
	    {KEY_SCRAM_FINAL, "/u", "user", "short", KEY_NO, 0},
	    {KEY_SCRAM_FINAL, "/u", "nobody", "12345678901234567890123456789012", KEY_NO, 0},
	};
	struct key_world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct key_verdict v;
		struct message m;

		put_question(w, i, rows[i].kind, rows[i].users, rows[i].name, rows[i].proof);
		hear(w, &m);
		assert_int_equal(m.type, KEY_VERDICT);
		assert_int_equal(m.id, i);
		assert_int_equal(key_verdict_get(m.payload, &v), 0);
		if (v.status != rows[i].status || v.data.n != rows[i].n_data)
			fail_msg("row %zu: status %d, %zu bytes", i, v.status, v.data.n);
	}
}

/* An answer goes to the front that has asked, also when both use the same number. */
static void
test_two_fronts(void **state)
{
	struct key_world *w = *state;
	struct key_verdict v;
	struct message m;
	int ends[2], first = w->front;

	channel_pair(ends);
	key_service_peer(w->service, 1, ends[0]);
	put_question(w, 5, KEY_PASSWORD, "/u", "user", "wrong");
	w->front = ends[1];
	put_question(w, 5, KEY_PASSWORD, "/u", "user", "pencil");
	hear(w, &m);
	assert_int_equal(key_verdict_get(m.payload, &v), 0);
	assert_int_equal(v.status, KEY_YES);
	(void)close(ends[1]); /* this one ends; the other is still served */
	w->front = first;
	hear(w, &m);
	assert_int_equal(key_verdict_get(m.payload, &v), 0);
	assert_int_equal(v.status, KEY_NO);
	put_question(w, 6, KEY_PASSWORD, "/u", "user", "pencil");
	hear(w, &m);
	assert_int_equal(m.id, 6);
}

/* The queue is bounded, every question is answered, and signatures do not wait for passwords. */
static void
test_queue(void **state)
{
	enum { ASKED = CHECKER_WAITING_MAX + 10 };
	struct key_world *w = *state;
	unsigned n_yes = 0, n_busy = 0;
	struct buf b = BUF_INIT(2048);
	struct message m;
	struct key_verdict v;
	bool was_answered_first = false;

	for (unsigned i = 0; i < ASKED; i++)
		put_question(w, i, KEY_PASSWORD, "/u", "user", "pencil");
	key_request_put(
	    &b, &(struct key_request){span_of(print, sizeof(print)), 0x0403, SPAN("content")});
	assert_int_equal(channel_send_now(w->front, KEY_SIGN, ASKED, buf_span(&b), NULL), 0);
	for (unsigned i = 0; i <= ASKED; i++) {
		hear(w, &m);
		if (m.type == KEY_SIGNATURE) {
			was_answered_first = n_yes < CHECKER_WAITING_MAX;
			continue;
		}
		assert_int_equal(key_verdict_get(m.payload, &v), 0);
		n_yes += v.status == KEY_YES;
		n_busy += v.status == KEY_BUSY;
	}
	assert_int_equal(n_yes + n_busy, ASKED);
	assert_true(n_yes >= CHECKER_WAITING_MAX && n_busy > 0);
	assert_true(was_answered_first);
	buf_free(&b);
}

static void
test_nonsense_from_front(void **state)
{
	struct key_world *w = *state;
	struct key_answer a;
	struct key_verdict v;
	struct message m;

	assert_int_equal(channel_send_now(w->front, KEY_SIGN, 1, SPAN("junk"), NULL), 0);
	hear(w, &m);
	assert_int_equal(key_answer_get(m.payload, &a), 0);
	assert_int_equal(a.status, KEY_REFUSED);
	assert_int_equal(channel_send_now(w->front, KEY_ASK, 2, SPAN("junk"), NULL), 0);
	hear(w, &m);
	assert_int_equal(key_verdict_get(m.payload, &v), 0);
	assert_int_equal(v.status, KEY_REFUSED);
	assert_int_equal(channel_send_now(w->front, 77, 3, SPAN("junk"), NULL), 0);
	put_question(w, 4, KEY_SCRAM_FIRST, "/u", "user", "");
	hear(w, &m);
	assert_int_equal(m.id, 4);
}

#define FRONT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define KEY(test)   cmocka_unit_test_setup_teardown(test, key_setup, key_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_codec),
	    FRONT(test_signatures),
	    FRONT(test_who_is_told),
	    FRONT(test_key_is_away),
	    FRONT(test_another_key_role),
	    FRONT(test_key_hangs),
	    FRONT(test_key_reads_later),
	    FRONT(test_key_reads_nothing),
	    FRONT(test_nonsense_from_key),
	    FRONT(test_many_questions),
	    KEY(test_questions),
	    KEY(test_two_fronts),
	    KEY(test_queue),
	    KEY(test_nonsense_from_front),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

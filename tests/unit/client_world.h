/*
 * client_world.h - the SMTP client and a fake gateway in one loop, with what the client has told.
 */
#ifndef UNIT_CLIENT_WORLD_H
#define UNIT_CLIENT_WORLD_H
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/deliver/client.h"
#include "tests/unit/fake_gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { TURNS_MAX = 2000, REFUSED_MAX = 8, NOT_YET = -1 };

struct test {
	struct loop *loop;
	struct fake fake;
	struct client *client;
	struct span message;
	bool is_unreadable;
	int outcome, code, n_ends, n_gone, n_ready;
	bool is_over;
	bool has_dsn;
	char reply[CLIENT_REPLY_MAX + 1];
	struct client_options options;
	struct client_mail mail; /* what send_to says beside sender and recipients */
	size_t refused[REFUSED_MAX];
	int refused_codes[REFUSED_MAX];
	size_t n_refused;
};

static struct test t;

static inline void
on_ready(void *arg)
{
	(void)arg;
	t.n_ready++;
}

static inline void
on_rcpt(void *arg, size_t i, int code, struct span reply)
{
	(void)arg;
	assert_true(reply.n > 3);
	assert_true(t.n_refused < REFUSED_MAX);
	t.refused[t.n_refused] = i;
	t.refused_codes[t.n_refused++] = code;
}

static inline void
on_end(void *arg, const struct client_end *end)
{
	(void)arg;
	t.outcome = (int)end->outcome;
	t.code = end->code;
	t.is_over = end->is_over;
	t.has_dsn = end->has_dsn;
	t.n_ends++;
	(void)span_copy(end->reply, t.reply, sizeof(t.reply));
	if (end->is_over)
		client_free(&t.client);
}

static inline void
on_gone(void *arg, const struct client_end *end)
{
	(void)arg;
	t.n_gone++;
	t.outcome = (int)end->outcome;
	(void)span_copy(end->reply, t.reply, sizeof(t.reply));
	client_free(&t.client);
}

static const struct client_events events = {on_ready, on_rcpt, on_end, on_gone, NULL};

static inline int
read_message(void *arg, uint64_t offset, void *to, size_t n)
{
	(void)arg;
	if (t.is_unreadable)
		return -E_IO;
	assert_true(offset + n <= t.message.n);
	memcpy(to, t.message.p + offset, n);
	return 0;
}

static inline int
set_up(void **state)
{
	(void)state;
	t = (struct test){.outcome = NOT_YET,
	    .message = SPAN("Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n"),
	    .mail = {.is_8bit = true},
	    .options = {.hostname = "mx.example.org"}};
	t.loop = loop_new();
	fake_init(&t.fake, t.loop);
	return 0;
}

static inline int
tear_down(void **state)
{
	(void)state;
	client_free(&t.client);
	fake_free(&t.fake);
	loop_free(&t.loop);
	clock_fake(0, -1);
	return 0;
}

static inline void
connect_client(void)
{
	int ends[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	t.client = client_new_on(t.loop, ends[0], &t.options, &events, NULL);
	fake_serve(&t.fake, ends[1]);
}

static inline void
send_to(const struct client_rcpt *rcpts, size_t n)
{
	struct client_mail mail = t.mail;

	mail.from = SPAN("a@example.org");
	mail.rcpts = rcpts;
	mail.n_rcpts = n;
	mail.size = t.message.n;
	mail.read = read_message;
	client_send(t.client, &mail);
}

static const struct client_rcpt one_rcpt[] = {{.address = {"ok@example.org", 14}}};
static inline void
run_until_end(int n_ends)
{
	for (int i = 0; i < TURNS_MAX && t.n_ends + t.n_gone < n_ends; i++)
		loop_turn(t.loop, 50);
	assert_int_equal(t.n_ends + t.n_gone, n_ends);
}

static inline bool
has_command(const char *line)
{
	struct buf *c = &t.fake.commands;

	return c->n > 0 && memmem(c->p, c->n, line, strlen(line)) != NULL;
}

static inline void
run_until_idle(void)
{
	for (int i = 0; i < TURNS_MAX && !client_is_idle(t.client); i++)
		loop_turn(t.loop, 50);
	assert_true(client_is_idle(t.client));
}

#endif

/* The last word to clients that there is no room for. */
#include "relay/base/err.h"
#include "relay/front/farewell.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

struct state {
	struct loop *loop;
	struct farewells *farewells;
	int listener;
	struct sockaddr_in address;
};

static int
setup(void **state)
{
	static struct state s;
	socklen_t n = sizeof(s.address);

	s = (struct state){.loop = loop_new(), .address.sin_family = AF_INET};
	s.farewells = farewells_new(s.loop);
	s.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s.listener, (struct sockaddr *)&s.address, n), 0);
	assert_int_equal(listen(s.listener, FAREWELLS + 8), 0);
	assert_int_equal(getsockname(s.listener, (struct sockaddr *)&s.address, &n), 0);
	*state = &s;
	return 0;
}

static int
teardown(void **state)
{
	struct state *s = *state;

	farewells_free(&s->farewells);
	loop_free(&s->loop);
	(void)close(s->listener);
	return 0;
}

/* The client's end; the server's in *server. */
static int
connect_pair(struct state *s, int *server)
{
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(client, (struct sockaddr *)&s->address, sizeof(s->address)), 0);
	*server = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(*server >= 0);
	return client;
}

/* Who has talked first still hears the word and then an orderly end. */
static void
test_early_talker_hears_it(void **state)
{
	struct state *s = *state;
	char got[64];
	int server, client = connect_pair(s, &server);

	assert_int_equal(send(client, "EHLO early\r\n", 12, 0), 12);
	farewell_say(s->farewells, server, SPAN("421 no\r\n"));
	assert_int_equal(
	    send(client, "MAIL\r\n", 6, MSG_NOSIGNAL), 6); /* too late, not yet reset */
	assert_int_equal(recv(client, got, sizeof(got), 0), 8);
	assert_memory_equal(got, "421 no\r\n", 8);
	assert_int_equal(recv(client, got, sizeof(got), 0), 0);
	(void)close(client);
}

static void
test_no_word_is_an_end(void **state)
{
	struct state *s = *state;
	char got[64];
	int server, client = connect_pair(s, &server);

	farewell_say(s->farewells, server, (struct span){0});
	assert_int_equal(recv(client, got, sizeof(got), 0), 0);
	(void)close(client);
}

/* Whoever has closed, or reset, costs nothing more. */
static void
test_gone_clients_are_not_kept(void **state)
{
	static const struct linger reset = {1, 0};

	for (int is_reset = 0; is_reset < 2; is_reset++) {
		struct state *s = *state;
		int server, client = connect_pair(s, &server);

		if (is_reset)
			assert_int_equal(
			    setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
		(void)close(client);
		farewell_say(s->farewells, server, SPAN("421 no\r\n"));
		assert_int_equal(recv(server, &(char){0}, 1, MSG_DONTWAIT), -1);
		assert_int_equal(errno, EBADF);
	}
}

/* One more than are kept ends the oldest, and only that. */
static void
test_only_so_many_are_kept(void **state)
{
	struct state *s = *state;
	int servers[FAREWELLS + 1], clients[FAREWELLS + 1];

	for (int i = 0; i <= FAREWELLS; i++) {
		clients[i] = connect_pair(s, &servers[i]);
		farewell_say(s->farewells, servers[i], SPAN("421 no\r\n"));
	}
	for (int i = 0; i <= FAREWELLS; i++) {
		bool is_open = recv(servers[i], &(char){0}, 1, MSG_DONTWAIT) >= 0 || errno != EBADF;

		assert_int_equal(is_open, i > 0);
		(void)close(clients[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_early_talker_hears_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_word_is_an_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_gone_clients_are_not_kept, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_only_so_many_are_kept, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

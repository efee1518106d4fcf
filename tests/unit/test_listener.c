/* Listening sockets that someone who holds them, too, has ended. */
#include "relay/front/files.h"
#include "relay/process/listener.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORTS = 3 };

struct state {
	struct listener_set set;
	struct config config;
	struct conf_listen listen;
	struct endpoint addresses[PORTS];
	char texts[PORTS][32];
};

/* A port that was free just now. */
static void
choose_address(struct endpoint *a, char *text, size_t n_text)
{
	struct sockaddr_storage sa = {0};
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(ip_parse(SPAN("127.0.0.1"), &a->ip));
	n = ip_to_sockaddr(&a->ip, 0, &sa);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
	n = sizeof(sa);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	a->port = ntohs(((struct sockaddr_in *)&sa)->sin_port);
	(void)close(fd);
	(void)snprintf(text, n_text, "127.0.0.1:%u", a->port);
	a->text = text;
}

static int
setup(void **state)
{
	struct state *s = mem_alloc(sizeof(*s));
	struct err err = {0};

	for (size_t i = 0; i < PORTS; i++)
		choose_address(&s->addresses[i], s->texts[i], sizeof(s->texts[i]));
	s->listen.addresses = s->addresses;
	s->listen.n_addresses = PORTS;
	s->config.listens = &s->listen;
	s->config.n_listens = 1;
	s->config.fronts = 1;
	if (listener_open_all(&s->set, &s->config, &err) < 0)
		fail_msg("%s", err.text);
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct config none = {0};
	struct state *s = *state;
	struct err err = {0};

	assert_int_equal(listener_open_all(&s->set, &none, &err), 0);
	mem_free(s);
	return 0;
}

static bool
can_connect(const struct state *s, size_t i)
{
	struct sockaddr_storage sa;
	socklen_t n = ip_to_sockaddr(&s->addresses[i].ip, s->addresses[i].port, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_there = connect(fd, (struct sockaddr *)&sa, n) == 0;

	(void)close(fd);
	return is_there;
}

static void
test_what_listens_stays(void **state)
{
	struct state *s = *state;
	struct err err = {0};
	int fds[PORTS];

	for (size_t i = 0; i < PORTS; i++)
		fds[i] = s->set.items[i].fd;
	assert_int_equal(listener_check_all(&s->set, &err), 0);
	for (size_t i = 0; i < PORTS; i++)
		assert_int_equal(s->set.items[i].fd, fds[i]);
}

/* As front would, by its own descriptor for the same socket. */
static void
test_shut_down_is_opened_again(void **state)
{
	struct state *s = *state;
	int fronts = dup(s->set.items[1].fd), before = s->set.items[0].fd;
	struct err err = {0};

	assert_int_equal(shutdown(fronts, SHUT_RDWR), 0);
	(void)close(fronts);
	assert_false(can_connect(s, 1));
	assert_int_equal(listener_check_all(&s->set, &err), 1);
	for (size_t i = 0; i < PORTS; i++)
		assert_true(can_connect(s, i));
	assert_int_equal(s->set.items[0].fd, before);
	assert_string_equal(s->set.items[1].address.text, s->texts[1]);
	assert_int_equal(listener_check_all(&s->set, &err), 0);
}

/* An address that somebody else took meanwhile: said so, the others are helped, then this one. */
static void
test_taken_meanwhile(void **state)
{
	struct state *s = *state;
	struct listener_set other = {0};
	struct conf_listen listen = {.addresses = &s->addresses[0], .n_addresses = 1};
	struct config config = {.listens = &listen, .n_listens = 1, .fronts = 1}, none = {0};
	struct err err = {0};

	assert_int_equal(shutdown(s->set.items[0].fd, SHUT_RDWR), 0);
	assert_int_equal(shutdown(s->set.items[2].fd, SHUT_RDWR), 0);
	(void)close(s->set.items[0].fd);
	s->set.items[0].fd = -1;
	assert_int_equal(listener_open_all(&other, &config, &err), 0);
	assert_int_equal(listener_check_all(&s->set, &err), -E_EXISTS);
	assert_non_null(strstr(err.text, s->texts[0]));
	assert_int_equal(s->set.items[0].fd, -1);
	assert_true(can_connect(s, 2));
	assert_int_equal(listener_open_all(&other, &none, &err), 0);
	assert_int_equal(listener_check_all(&s->set, &err), 1);
	assert_true(can_connect(s, 0));
}

/* Of each address one socket for each front, dealt out by the kernel; numbers that are told apart. */
static void
test_shares(void **state)
{
	struct state *s = *state;
	struct err err = {0};
	bool seen[LISTENERS_MAX] = {false};

	s->config.fronts = CONFIG_FRONTS_MAX;
	if (listener_open_all(&s->set, &s->config, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(s->set.n, PORTS * CONFIG_FRONTS_MAX);
	for (size_t i = 0; i < s->set.n; i++) {
		const struct listener *l = &s->set.items[i];
		unsigned number = listener_number(l);

		assert_true(number < LISTENERS_MAX && !seen[number]);
		seen[number] = true;
		assert_int_equal(listener_index(number), l->index);
		assert_int_equal(l->address.port, s->addresses[l->index].port);
		assert_int_equal(listener_owner(l, CONFIG_FRONTS_MAX), l->share);
	}
	for (size_t i = 0; i < PORTS; i++)
		assert_true(can_connect(s, i));
}

/* Closing a share would reset whoever waits there: with fewer fronts it has another owner. */
static void
test_shares_stay(void **state)
{
	struct state *s = *state;
	struct err err = {0};
	unsigned owned[2] = {0, 0};

	for (unsigned fronts = 3; fronts > 0; fronts--) {
		s->config.fronts = fronts;
		assert_int_equal(listener_open_all(&s->set, &s->config, &err), 0);
		assert_int_equal(s->set.n, PORTS * 3);
	}
	for (size_t i = 0; i < s->set.n; i++) {
		assert_int_equal(listener_owner(&s->set.items[i], 1), 0);
		owned[listener_owner(&s->set.items[i], 2)]++;
	}
	assert_int_equal(owned[0], PORTS * 2);
	assert_int_equal(owned[1], PORTS);
}

/* As many as the supervisor and each front have descriptors for, and told what would do. */
static void
test_limit_of_files(void **state)
{
	static const struct {
		unsigned fronts;
		uint64_t files_max, is_enough;
		unsigned n;
	} rows[] = {
	    /* So many that a front has no room for clients. */
	    {1, 1, 0, 0},
	    {1, FILES_OURS + FILES_CLIENTS_MIN + PORTS - 1, 0, 0},
	    {1, FILES_OURS + FILES_CLIENTS_MIN + PORTS, 1, PORTS},
	    /* Or the supervisor none for the shares of all. */
	    {CONFIG_FRONTS_MAX, 256, 0, PORTS},
	    {CONFIG_FRONTS_MAX, 1024, 1, PORTS * CONFIG_FRONTS_MAX},
	    /* Shares that stay are counted, and no limit is none. */
	    {1, FILES_OURS + FILES_CLIENTS_MIN + PORTS, 0, PORTS * CONFIG_FRONTS_MAX},
	    {1, 0, 1, PORTS * CONFIG_FRONTS_MAX},
	};
	struct state *s = *state;
	struct config none = {0};
	struct err err = {0};

	assert_int_equal(listener_open_all(&s->set, &none, &err), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int r;

		s->config.fronts = rows[i].fronts;
		s->set.files_max = rows[i].files_max;
		r = listener_open_all(&s->set, &s->config, &err);
		if (r != (rows[i].is_enough ? 0 : -E_LIMIT) || s->set.n != rows[i].n)
			fail_msg("row %zu: %d, %zu sockets: %s", i, r, s->set.n, err.text);
		assert_int_equal(listener_count(&s->set), rows[i].n);
		assert_int_equal(s->set.files_max, rows[i].files_max);
		if (!rows[i].is_enough)
			assert_non_null(strstr(err.text, "LimitNOFILE"));
	}
}

/* A shared port is shared among our own sockets alone. */
static void
test_shared_is_taken_for_others(void **state)
{
	struct state *s = *state;
	struct listener_set other = {0};
	struct err err = {0};

	s->config.fronts = 2;
	assert_int_equal(listener_open_all(&s->set, &s->config, &err), 0);
	assert_int_equal(listener_open_all(&other, &s->config, &err), -E_EXISTS);
	assert_int_equal(other.n, 0);
}

/* One address twice, for mail or for mail and the console: not two shares of it. */
static void
test_twice_is_taken(void **state)
{
	struct state *s = *state;
	struct listener_set other = {0};
	struct endpoint address;
	char text[32];
	struct err err = {0};
	struct conf_listen listens[2] = {
	    {.addresses = &address, .n_addresses = 1}, {.addresses = &address, .n_addresses = 1}};
	struct config config = {.listens = listens, .n_listens = 2, .fronts = 2};

	(void)s;
	choose_address(&address, text, sizeof(text));
	assert_int_equal(listener_open_all(&other, &config, &err), -E_EXISTS);
	config.n_listens = 1;
	config.web = (struct conf_web){.is_on = true, .address = address};
	assert_int_equal(listener_open_all(&other, &config, &err), -E_EXISTS);
	assert_int_equal(other.n, 0);
}

/* One share that was shut down comes back beside the others. */
static void
test_lost_share_is_opened_again(void **state)
{
	struct state *s = *state;
	struct err err = {0};

	s->config.fronts = 3;
	assert_int_equal(listener_open_all(&s->set, &s->config, &err), 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(shutdown(s->set.items[i].fd, SHUT_RDWR), 0);
		assert_int_equal(listener_check_all(&s->set, &err), 1);
		assert_int_equal(s->set.items[i].share, i);
	}
	assert_int_equal(shutdown(s->set.items[0].fd, SHUT_RDWR), 0);
	assert_int_equal(shutdown(s->set.items[1].fd, SHUT_RDWR), 0);
	assert_int_equal(shutdown(s->set.items[2].fd, SHUT_RDWR), 0);
	assert_int_equal(listener_check_all(&s->set, &err), 3);
	assert_true(can_connect(s, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_what_listens_stays, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shut_down_is_opened_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_taken_meanwhile, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shares, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shares_stay, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_limit_of_files, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_shared_is_taken_for_others, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_twice_is_taken, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lost_share_is_opened_again, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

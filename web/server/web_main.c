/* web: the console.  It shows what the supervisor tells and decides nothing. */
#include "relay/process/role.h"
#include "web/server/server.h"

enum { LISTENERS_MAX = 16 };

struct self {
	struct asks *asks;
	struct server *servers[LISTENERS_MAX];
	size_t n_servers;
};

static int
web_prepare(struct role *role, struct err *err)
{
	struct self *self = mem_alloc(sizeof(*self));

	(void)err;
	page_prepare();
	self->asks = asks_new(role->loop, role->control);
	role->self = self;
	return 0;
}

static void
web_listener(struct role *role, unsigned index, int fd)
{
	struct self *self = role->self;
	struct err err = {0};
	struct server *server = NULL;

	(void)index;
	if (self->n_servers == LISTENERS_MAX)
		(void)err_set(&err, E_LIMIT, "more console addresses than %d", LISTENERS_MAX);
	else
		server = server_new(role->loop, fd, self->asks, &err);
	if (server == NULL)
		role_problem(role, "console", err.text, "restart the relay; see its log");
	else
		self->servers[self->n_servers++] = server;
}

static void
web_answer(struct role *role, const struct message *m)
{
	asks_answer(((struct self *)role->self)->asks, m);
}

static void
web_stop(struct role *role)
{
	struct self *self = role->self;

	for (size_t i = 0; i < self->n_servers; i++)
		server_free(&self->servers[i]);
	asks_free(&self->asks);
	mem_free(self);
	role->self = NULL;
	loop_stop(role->loop);
}

static const struct role_ops ops = {.id = ROLE_WEB,
    .prepare = web_prepare,
    .listener = web_listener,
    .stop = web_stop,
    .answer = web_answer};

int
main(int argc, char **argv)
{
	return role_main(&ops, argc, argv);
}

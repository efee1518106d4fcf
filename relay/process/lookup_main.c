/* lookup: asks the DNS for front and spool, and keeps what it learns. */
#include "relay/lookup/service.h"
#include "relay/process/role.h"

enum { STATUS_BYTES_MAX = 4096 };

static int
lookup_prepare(struct role *role, struct err *err)
{
	/* Here and not in start: c-ares reads /etc/resolv.conf and a random key for its ids. */
	role->self = service_new(role->loop, &role->config->dns, err);
	return role->self == NULL ? -err->code : 0;
}

static void
lookup_peer(struct role *role, unsigned place, int fd)
{
	(void)place; /* all are served alike */
	service_peer(role->self, fd);
}

static void
lookup_request(struct role *role, uint64_t id, const struct control_request *r)
{
	struct buf out = BUF_INIT(STATUS_BYTES_MAX);

	if (r->n_words != 1 || !span_eq(r->words[0], SPAN("status"))) {
		role_reply_end(role, id, EXIT_USAGE, SPAN("lookup knows only: status"));
		return;
	}
	service_add_status(role->self, &out);
	role_reply(role, id, buf_span(&out));
	role_reply_end(role, id, EXIT_OK, (struct span){0});
	buf_free(&out);
}

static const struct role_ops ops = {
    .id = ROLE_LOOKUP, .prepare = lookup_prepare, .peer = lookup_peer, .request = lookup_request};

int
main(int argc, char **argv)
{
	return role_main(&ops, argc, argv);
}

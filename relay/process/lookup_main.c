/*
 * lookup: asks the DNS, directories and gateways for front and spool, and keeps what it learns.
 */
#include "relay/lookup/service.h"
#include "relay/process/role.h"

enum { STATUS_BYTES_MAX = 4096 };

static void
report(void *arg, const char *name, const char *what, const char *do_this)
{
	role_problem(arg, name, what, do_this);
}

static int
lookup_prepare(struct role *role, struct err *err)
{
	const struct source_report to = {report, role};

	/* Here and not in start: c-ares reads /etc/resolv.conf and a random key for its ids, the
	 * sources their passwords and authorities. */
	role->self = service_new(role->loop, role->config, &to, err);
	return role->self == NULL ? -err->code : 0;
}

static void
lookup_peer(struct role *role, unsigned place, int fd)
{
	(void)place; /* all are served alike */
	service_peer(role->self, fd);
}

/* recipient show ADDRESS, recipient clear ADDRESS|all */
static void
recipient_request(struct role *role, uint64_t id, const struct control_request *r)
{
	struct verify *v = service_verify(role->self);
	struct buf out = BUF_INIT(STATUS_BYTES_MAX);
	struct span word = r->words[1], address = r->words[2];

	if (span_eq(word, SPAN("show"))) {
		bool is_known = verify_show(v, address, &out);

		if (is_known)
			role_reply(role, id, buf_span(&out));
		role_reply_end(role, id, is_known ? EXIT_OK : EXIT_NO,
		    is_known ? (struct span){0} : buf_span(&out));
	} else if (span_eq(word, SPAN("clear")) && address.n > 0) {
		bool is_all = span_eq(address, SPAN("all"));
		size_t n = verify_clear(v, is_all ? (struct span){0} : address);

		(void)buf_addf(&out, "{\"cleared\":%zu}\n", n); /* short */
		role_reply(role, id, buf_span(&out));
		role_reply_end(role, id, n > 0 || is_all ? EXIT_OK : EXIT_NO,
		    n > 0 || is_all ? (struct span){0}
				    : SPAN("nothing is known of this recipient"));
	} else {
		role_reply_end(role, id, EXIT_USAGE,
		    SPAN("say recipient show ADDRESS, recipient clear ADDRESS or recipient clear "
			 "all"));
	}
	buf_free(&out);
}

static void
lookup_request(struct role *role, uint64_t id, const struct control_request *r)
{
	struct buf out = BUF_INIT(STATUS_BYTES_MAX);

	if (r->n_words == 3 && span_eq(r->words[0], SPAN("recipient"))) {
		recipient_request(role, id, r);
		return;
	}
	if (r->n_words != 1 || !span_eq(r->words[0], SPAN("status"))) {
		role_reply_end(role, id, EXIT_USAGE, SPAN("lookup knows only: status, recipient"));
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

/*
 * The key role: it holds the private keys of our certificates and the records of users' passwords,
 * and nothing else.  No network, no files after its start, no core dumps; front asks it to sign.
 */
#include "relay/base/log.h"
#include "relay/ipc/shared.h"
#include "relay/key/service.h"
#include "relay/process/role.h"
#include "relay/tls/tickets.h"

#include <openssl/crypto.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { STATUS_BYTES_MAX = 4096, ERRORS_MAX = 64 * 1024 };

static void *tickets; /* the table of tickets.h */
static struct timer *tickets_due;

/* Into `errors` what is wrong; NULL then. */
static struct material *
take_material(struct role *role, struct buf *errors)
{
	struct material *m = NULL;
	struct span bundle;

	if (role->secrets < 0 || channel_map(role->secrets, MATERIAL_MAX, &bundle) < 0) {
		(void)buf_addf(errors, "the supervisor sent no keys\n"); /* fits */
	} else {
		m = material_new(role->config, bundle, errors);
		channel_unmap(&bundle);
	}
	if (role->secrets >= 0)
		(void)close(role->secrets); /* memory only */
	role->secrets = -1;
	return m;
}

static int
key_prepare(struct role *role, struct err *err)
{
	struct buf errors = BUF_INIT(ERRORS_MAX);
	struct material *m;

	(void)prctl(PR_SET_DUMPABLE, 0); /* always works: no core, no ptrace by our own user */
	/* The system's openssl.cnf is not ours; later it could not be read either. */
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
		return err_set(err, E_IO, "OpenSSL does not start");
	m = take_material(role, &errors);
	if (m == NULL)
		(void)err_set(err, E_CONFIG, "%.*s", (int)errors.n, errors.p);
	buf_free(&errors);
	if (m == NULL)
		return -err->code;
	tickets = shared_map(role->tickets, TLS_TICKETS_BYTES, true);
	role->tickets = -1;
	if (tickets == NULL)
		return err_set(err, E_IO, "the supervisor sent no table of ticket keys");
	role->self = key_service_new(role->loop);
	key_service_take(role->self, m);
	return 0;
}

/* Fronts only read them; here, because this role is there before any of them needs one. */
static void
turn_tickets(void *loop)
{
	loop_timer(loop, &tickets_due, tls_tickets_turn(tickets), turn_tickets, loop);
}

static void
lost_front(void *arg, unsigned front)
{
	role_peer_lost(arg, place_of_front(front));
}

static void
key_start(struct role *role)
{
	key_service_on_lost(role->self, lost_front, role);
	key_service_start(role->self);
	turn_tickets(role->loop);
}

static void
key_peer(struct role *role, unsigned place, int fd)
{
	if (place_role(place) == ROLE_FRONT)
		key_service_peer(role->self, place_instance(place), fd);
	else
		(void)close(fd); /* no peer of ours */
}

/* The supervisor has had them looked at: only what has changed since can be wrong. */
static void
key_secrets(struct role *role)
{
	struct buf errors = BUF_INIT(ERRORS_MAX);
	struct material *m = take_material(role, &errors);

	if (m != NULL)
		key_service_take(role->self, m);
	else
		log_event(LOG_ERROR, "keys refused", KV("errors", buf_span(&errors)));
	buf_free(&errors);
}

static void
key_request(struct role *role, uint64_t id, const struct control_request *r)
{
	struct buf out = BUF_INIT(STATUS_BYTES_MAX);

	if (r->n_words != 1 || !span_eq(r->words[0], SPAN("status"))) {
		role_reply_end(role, id, EXIT_USAGE, SPAN("key knows only: status"));
		return;
	}
	key_service_add_status(role->self, &out);
	role_reply(role, id, buf_span(&out));
	role_reply_end(role, id, EXIT_OK, (struct span){0});
	buf_free(&out);
}

static const struct role_ops ops = {.id = ROLE_KEY,
    .prepare = key_prepare,
    .start = key_start,
    .peer = key_peer,
    .secrets = key_secrets,
    .request = key_request};

int
main(int argc, char **argv)
{
	return role_main(&ops, argc, argv);
}

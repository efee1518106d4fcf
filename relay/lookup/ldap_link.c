#include "relay/lookup/ldap_link.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <errno.h>
#include <openldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILTER_BYTES_MAX = 16384, RESULTS_A_TURN = 64 };

enum link_state {
	LINK_CONNECTING,
	LINK_HANDSHAKE,
	LINK_STARTTLS, /* asked for */
	LINK_BINDING,
	LINK_READY
};

struct ldap_link {
	struct loop *loop;
	struct ldap_link_options options;
	const struct ldap_link_events *events;
	void *arg;
	enum link_state state;
	int fd;
	struct watch *watch;
	struct timer *timer;
	struct tls *tls; /* NULL: plain */
	LDAP *ld;
	int msgid;      /* of what the state waits for */
	size_t n_asked; /* searches without a result */
	char why[LDAP_LINK_WHY_MAX + 1];
};

/* --- the layer below libldap -------------------------------------------------------------------- */

static int
layer_setup(Sockbuf_IO_Desc *d, void *arg)
{
	d->sbiod_pvt = arg;
	return 0;
}

static int
layer_remove(Sockbuf_IO_Desc *d)
{
	d->sbiod_pvt = NULL;
	return 0;
}

static int
layer_close(Sockbuf_IO_Desc *d)
{
	(void)d; /* the socket is the link's */
	return 0;
}

static int
layer_ctrl(Sockbuf_IO_Desc *d, int option, void *arg)
{
	struct ldap_link *l = d->sbiod_pvt;

	(void)arg;
	return option == LBER_SB_OPT_DATA_READY && l->tls != NULL && tls_has_pending(l->tls);
}

/* What libldap takes for "later" and for "never again". */
static ber_slen_t
tls_error(enum tls_wait wait)
{
	errno = wait == TLS_WANT_READ || wait == TLS_WANT_WRITE ? EWOULDBLOCK : EIO;
	return -1;
}

static ber_slen_t
layer_read(Sockbuf_IO_Desc *d, void *to, ber_len_t n)
{
	struct ldap_link *l = d->sbiod_pvt;
	enum tls_wait wait;
	bool is_cut;
	ssize_t got;

	if (l->tls == NULL)
		return recv(l->fd, to, n, MSG_DONTWAIT);
	got = tls_read(l->tls, to, n, &wait, &is_cut);
	return got < 0 ? tls_error(wait) : got;
}

static ber_slen_t
layer_write(Sockbuf_IO_Desc *d, void *from, ber_len_t n)
{
	struct ldap_link *l = d->sbiod_pvt;
	enum tls_wait wait;
	ssize_t sent;

	if (l->tls == NULL)
		return send(l->fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	sent = tls_write(l->tls, from, n, &wait);
	return sent < 0 ? tls_error(wait) : sent;
}

static Sockbuf_IO layer = {
    layer_setup, layer_remove, layer_ctrl, layer_read, layer_write, layer_close};

/* --- the end ------------------------------------------------------------------------------------ */

static void
let_go(struct ldap_link *l)
{
	watch_remove(&l->watch);
	timer_cancel(&l->timer);
	if (l->ld != NULL)
		(void)ldap_unbind_ext(l->ld, NULL, NULL); /* frees it, whatever the server hears */
	l->ld = NULL;
	tls_free(&l->tls);
	if (l->fd >= 0)
		(void)close(l->fd); /* a socket: nothing to lose */
	l->fd = -1;
}

/* Our words, and what a server has said: one printable line. */
static void
explain(struct ldap_link *l, const char *what, const char *said)
{
	int n = snprintf(l->why, sizeof(l->why), "%s%s%s", what, said[0] ? ": " : "", said);

	for (int i = 0; i < n && l->why[i] != '\0'; i++)
		if ((unsigned char)l->why[i] < ' ' || (unsigned char)l->why[i] >= 0x7f)
			l->why[i] = '?';
}

/* The owner may have freed the link: callers return false at once. */
static bool
fail(struct ldap_link *l, const char *what, const char *said)
{
	explain(l, what, said);
	let_go(l);
	l->events->on_gone(l->arg, l->why);
	return false;
}

static void
on_patience(void *arg)
{
	static const char *const waits_for[] = {[LINK_CONNECTING] = "no connection",
	    [LINK_HANDSHAKE] = "no TLS handshake",
	    [LINK_STARTTLS] = "no answer to StartTLS",
	    [LINK_BINDING] = "no answer to the bind",
	    [LINK_READY] = "no answer to a search"};
	struct ldap_link *l = arg;

	(void)fail(l, waits_for[l->state], "it took too long"); /* nothing follows */
}

static void
on_broken(void *arg)
{
	(void)fail(arg, "the connection broke", ""); /* nothing follows */
}

static void
await(struct ldap_link *l, enum link_state state)
{
	l->state = state;
	loop_timer(l->loop, &l->timer, l->options.patience_ms, on_patience, l);
	watch_change(l->watch, state == LINK_CONNECTING ? LOOP_WRITE : LOOP_READ);
}

/* --- its beginning ------------------------------------------------------------------------------ */

/* No referrals (they would be connected to), no libldap defaults that could wait. */
static bool
set_options(struct ldap_link *l)
{
	static const int version = LDAP_VERSION3;
	ber_len_t max = LDAP_LINK_MESSAGE_MAX;
	Sockbuf *sb = NULL;

	return ldap_set_option(l->ld, LDAP_OPT_PROTOCOL_VERSION, &version) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(l->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) == LDAP_OPT_SUCCESS &&
	       ldap_get_option(l->ld, LDAP_OPT_SOCKBUF, &sb) == LDAP_OPT_SUCCESS && sb != NULL &&
	       ber_sockbuf_add_io(sb, &layer, LBER_SBIOD_LEVEL_PROVIDER, l) == 0 &&
	       ber_sockbuf_ctrl(sb, LBER_SB_OPT_SET_MAX_INCOMING, &max) >= 0;
}

static bool
open_session(struct ldap_link *l)
{
	if (l->ld != NULL)
		return true;
	if (ldap_init_fd(l->fd, LDAP_PROTO_EXT, l->options.server->text, &l->ld) != LDAP_SUCCESS ||
	    !set_options(l))
		return fail(l, "libldap does not start", "");
	return true;
}

static bool
be_ready(struct ldap_link *l)
{
	timer_cancel(&l->timer);
	l->state = LINK_READY;
	watch_change(l->watch, LOOP_READ);
	l->events->on_ready(l->arg);
	return true;
}

static bool
begin_bind(struct ldap_link *l)
{
	struct berval password = {0};
	int r;

	if (l->options.conf->bind == NULL)
		return be_ready(l);
	password.bv_val = (char *)(uintptr_t)l->options.password; /* libldap does not write to it */
	password.bv_len = strlen(l->options.password);
	r = ldap_sasl_bind(
	    l->ld, l->options.conf->bind, LDAP_SASL_SIMPLE, &password, NULL, NULL, &l->msgid);
	if (r != LDAP_SUCCESS)
		return fail(l, "the bind cannot be sent", ldap_err2string(r));
	await(l, LINK_BINDING);
	return true;
}

static bool
begin_starttls(struct ldap_link *l)
{
	int r = ldap_extended_operation(l->ld, LDAP_EXOP_START_TLS, NULL, NULL, NULL, &l->msgid);

	if (r != LDAP_SUCCESS)
		return fail(l, "StartTLS cannot be sent", ldap_err2string(r));
	await(l, LINK_STARTTLS);
	return true;
}

static bool
shake_hands(struct ldap_link *l)
{
	switch (tls_handshake(l->tls)) {
	case TLS_DONE:
		return open_session(l) && begin_bind(l);
	case TLS_WANT_READ:
		watch_change(l->watch, LOOP_READ);
		return true;
	case TLS_WANT_WRITE:
		watch_change(l->watch, LOOP_WRITE);
		return true;
	case TLS_WANT_KEY: /* of servers only */
	case TLS_FAILED:
		break;
	}
	return fail(l, "TLS", tls_why(l->tls));
}

static bool
begin_tls(struct ldap_link *l)
{
	l->tls = tls_new_client(l->options.tls, l->fd, span_str(l->options.server->host));
	await(l, LINK_HANDSHAKE);
	return shake_hands(l);
}

static bool
connected(struct ldap_link *l)
{
	char why[128];
	int error = 0;
	socklen_t n = sizeof(error);

	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error != 0) {
		errno = error;
		(void)snprintf(why, sizeof(why), "%m"); /* short */
		return fail(l, "no connection", why);
	}
	if (l->options.server->is_ldaps)
		return begin_tls(l);
	if (!open_session(l))
		return false;
	return l->options.conf->starttls ? begin_starttls(l) : begin_bind(l);
}

/* --- answers ------------------------------------------------------------------------------------ */

/* The result code of a message and, in l->why, what it means; -1: it cannot be read. */
static int
result_of(struct ldap_link *l, LDAPMessage *m)
{
	char *said = NULL;
	int code = -1;

	if (ldap_parse_result(l->ld, m, &code, NULL, &said, NULL, NULL, 0) != LDAP_SUCCESS)
		code = -1;
	explain(l, code < 0 ? "no result that could be read" : ldap_err2string(code),
	    said != NULL ? said : "");
	ldap_memfree(said);
	return code;
}

/*
 * Only success with no entry is a denial: noSuchObject and its kin speak of the base, a referral of
 * another server, and all the rest of trouble.  After an entry nobody waits for this any more.
 */
static void
take_search_end(struct ldap_link *l, LDAPMessage *m)
{
	int code = result_of(l, m);

	l->n_asked -= l->n_asked > 0;
	if (l->n_asked > 0)
		loop_timer(l->loop, &l->timer, l->options.patience_ms, on_patience, l);
	else
		timer_cancel(&l->timer);
	if (code == LDAP_SUCCESS)
		l->events->on_result(l->arg, ldap_msgid(m), RECIPIENT_NONE, "no entry");
	else
		l->events->on_result(l->arg, ldap_msgid(m), RECIPIENT_UNKNOWN, l->why);
}

static bool
take_message(struct ldap_link *l, LDAPMessage *m)
{
	int type = ldap_msgtype(m), msgid = ldap_msgid(m), code;

	if (msgid == 0) {              /* RFC 4511 section 4.4: the server says that it hangs up */
		(void)result_of(l, m); /* for its words */
		return fail(l, "the server ends the session", "");
	}
	switch (l->state) {
	case LINK_STARTTLS:
		code = type == LDAP_RES_EXTENDED && msgid == l->msgid ? result_of(l, m) : -1;
		if (code != LDAP_SUCCESS)
			return fail(
			    l, "StartTLS is refused", code >= 0 ? ldap_err2string(code) : "");
		return begin_tls(l);
	case LINK_BINDING:
		code = type == LDAP_RES_BIND && msgid == l->msgid ? result_of(l, m) : -1;
		if (code != LDAP_SUCCESS)
			return fail(
			    l, "the bind is refused", code >= 0 ? ldap_err2string(code) : "");
		return be_ready(l);
	case LINK_READY:
		if (type == LDAP_RES_SEARCH_ENTRY)
			l->events->on_result(l->arg, msgid, RECIPIENT_EXISTS, "found");
		else if (type == LDAP_RES_SEARCH_RESULT)
			take_search_end(l, m);
		/* Search references lead to other parts of the tree: the base must hold all. */
		return true;
	case LINK_CONNECTING:
	case LINK_HANDSHAKE:
		break;
	}
	return fail(l, "the server speaks out of turn", "");
}

static bool
read_messages(struct ldap_link *l)
{
	for (size_t i = 0; i < RESULTS_A_TURN; i++) {
		struct timeval at_once = {0};
		LDAPMessage *m = NULL;
		enum link_state state = l->state;
		int r = ldap_result(l->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &at_once, &m);
		bool is_alive;

		if (r == 0)
			return true;
		if (r < 0 || m == NULL)
			return fail(l, "the connection broke", "");
		is_alive = state != LINK_HANDSHAKE && take_message(l, m);
		(void)ldap_msgfree(m); /* its type, known */
		if (!is_alive)
			return false;
		if (l->state == LINK_HANDSHAKE)
			return true;
	}
	return true;
}

static void
on_ready(void *arg, unsigned events)
{
	struct ldap_link *l = arg;

	(void)events; /* an error shows itself in what is tried next */
	switch (l->state) {
	case LINK_CONNECTING:
		(void)connected(l); /* nothing follows */
		break;
	case LINK_HANDSHAKE:
		(void)shake_hands(l); /* nothing follows */
		break;
	case LINK_STARTTLS:
	case LINK_BINDING:
	case LINK_READY:
		(void)read_messages(l); /* nothing follows */
		break;
	}
}

/* --- for the owner ------------------------------------------------------------------------------ */

void
ldap_link_prepare(void)
{
	LDAP *ld = NULL;

	/* Else libldap reads /etc/ldap/ldap.conf and files in whatever is our home folder. */
	must(setenv("LDAPNOINIT", "1", 1) == 0);
	must(ldap_create(&ld) == LDAP_SUCCESS);
	(void)ldap_unbind_ext(ld, NULL, NULL); /* never connected */
}

struct ldap_link *
ldap_link_new(struct loop *loop, int fd, const struct ldap_link_options *options,
    const struct ldap_link_events *events, void *arg)
{
	struct ldap_link *l = mem_alloc(sizeof(*l));

	l->loop = loop;
	l->fd = fd;
	l->options = *options;
	l->events = events;
	l->arg = arg;
	l->watch = loop_watch(loop, fd, LOOP_WRITE, on_ready, l);
	await(l, LINK_CONNECTING);
	return l;
}

void
ldap_link_free(struct ldap_link **l)
{
	if (*l == NULL)
		return;
	let_go(*l);
	mem_free(*l);
	*l = NULL;
}

bool
ldap_link_is_ready(const struct ldap_link *l)
{
	return l != NULL && l->fd >= 0 && l->state == LINK_READY;
}

int
ldap_link_search(struct ldap_link *l, struct span address, bool is_ending)
{
	static const int scopes[] = {[DIRECTORY_SUB] = LDAP_SCOPE_SUBTREE,
	    [DIRECTORY_ONE] = LDAP_SCOPE_ONELEVEL,
	    [DIRECTORY_BASE] = LDAP_SCOPE_BASE};
	static char no_attributes[] = LDAP_NO_ATTRS;
	char *attributes[] = {no_attributes, NULL};
	const struct conf_ldap *conf = l->options.conf;
	struct buf filter = BUF_INIT(FILTER_BYTES_MAX);
	int msgid = 0, r = LDAP_FILTER_ERROR;

	if (ldap_filter_expand(span_str(conf->filter), address, is_ending, &filter) == 0 &&
	    buf_add_char(&filter, '\0') == 0)
		r = ldap_search_ext(l->ld, conf->base, scopes[conf->scope], filter.p, attributes, 1,
		    NULL, NULL, NULL, 1, &msgid);
	buf_free(&filter);
	if (r == LDAP_FILTER_ERROR)
		return -E_SYNTAX;
	if (r != LDAP_SUCCESS) {
		loop_timer(l->loop, &l->timer, 0, on_broken, l);
		return -E_CLOSED;
	}
	if (l->n_asked++ == 0)
		loop_timer(l->loop, &l->timer, l->options.patience_ms, on_patience, l);
	return msgid;
}

static void
add_escaped(struct buf *to, struct span address)
{
	for (size_t i = 0; i < address.n; i++) {
		unsigned char c = (unsigned char)address.p[i];

		if (c <= ' ' || c >= 0x7f || strchr("*()\\", c) != NULL)
			(void)buf_addf(to, "\\%02x", c); /* sticky: the caller tests */
		else
			(void)buf_add_char(to, (char)c); /* likewise */
	}
}

int
ldap_filter_expand(struct span filter, struct span address, bool is_ending, struct buf *to)
{
	while (filter.n > 0) {
		if (span_starts(filter, SPAN("%s"))) {
			if (is_ending)
				(void)buf_add_char(to, '*'); /* sticky: tested below */
			add_escaped(to, address);
			filter = span_skip(filter, 2);
		} else {
			(void)buf_add_char(to, filter.p[0]); /* sticky: tested below */
			filter = span_skip(filter, 1);
		}
	}
	return to->failed ? -E_LIMIT : 0;
}

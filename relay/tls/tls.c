#include "relay/tls/tls.h"
#include "relay/base/ip.h"
#include "relay/base/list.h"
#include "relay/base/mem.h"

#include <errno.h>
#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/socket.h>

enum {
	NAME_MAX_BYTES = 255,
	READS_MAX = 16 /* of one call: two make a record */
};

struct tls {
	SSL *ssl;
	int fd;                   /* -1: nobody hears of it any more */
	unsigned reads_left;      /* of the call that runs */
	size_t handshake_left;    /* bytes that the handshake may still take from the other side */
	void (*go_on)(void *arg); /* NULL: its signature is there at once */
	void *go_on_arg;
	struct list node; /* of jobs.waiting, while is_queued */
	bool is_paused, is_queued;
	const char *why; /* a text that lives as long as the process; NULL: nothing went wrong */
};

/* OpenSSL's jobs (async(7)): handshakes that stand still until their signature comes. */
static struct {
	size_t n_paused;
	struct list waiting; /* for one of them to end; next NULL: not yet made */
} jobs;

/* --- the socket --------------------------------------------------------------------------------- */

/* OpenSSL's own socket BIO writes with write(), which raises SIGPIPE where nobody reads. */

static int
socket_write(BIO *bio, const char *from, int n)
{
	const struct tls *t = BIO_get_data(bio);
	ssize_t done = send(t->fd, from, (size_t)n, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)done;
}

/*
 * OpenSSL reads on by itself behind records that bring nothing for us (KeyUpdate, a renegotiation that
 * it declines), for as long as there are any: a client that sends nothing else would have the process
 * for itself.  So after some reads the socket seems to be empty, and the loop calls again.
 */
static int
socket_read(BIO *bio, char *to, int n)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t done = -1;

	BIO_clear_retry_flags(bio);
	if (t->handshake_left == 0)
		errno = EMSGSIZE; /* for good */
	else if (t->reads_left == 0)
		errno = EAGAIN;
	else
		done = recv(
		    t->fd, to, (size_t)n < t->handshake_left ? (size_t)n : t->handshake_left, 0);
	if (done > 0)
		t->reads_left--;
	if (done > 0 && t->handshake_left != SIZE_MAX)
		t->handshake_left -= (size_t)done;
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	if (done == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	return (int)done;
}

static long
socket_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return command == BIO_CTRL_FLUSH; /* nothing is ever held back */
}

static BIO *
socket_bio(struct tls *t)
{
	static BIO_METHOD *method; /* one for the whole process, never freed */
	BIO *bio;

	if (method == NULL) {
		method = BIO_meth_new(
		    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "socket");
		must(method != NULL && BIO_meth_set_write(method, socket_write) == 1 &&
		     BIO_meth_set_read(method, socket_read) == 1 &&
		     BIO_meth_set_ctrl(method, socket_ctrl) == 1);
	}
	bio = BIO_new(method);
	must(bio != NULL); /* as everywhere: no memory ends the process */
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	return bio;
}

/* --- its life ----------------------------------------------------------------------------------- */

static struct tls *
new_tls(SSL_CTX *ctx, int fd)
{
	struct tls *t = mem_alloc(sizeof(*t));
	BIO *bio = socket_bio(t);

	t->fd = fd;
	t->handshake_left = SIZE_MAX;
	t->ssl = SSL_new(ctx);
	must(t->ssl != NULL);
	SSL_set_bio(t->ssl, bio, bio);
	/* A write may take a part, and its bytes may have moved when it goes on. */
	(void)SSL_set_mode(
	    t->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return t;
}

struct tls *
tls_new_server(SSL_CTX *ctx, int fd)
{
	struct tls *t = new_tls(ctx, fd);

	SSL_set_accept_state(t->ssl);
	t->handshake_left = TLS_HANDSHAKE_MAX;
	return t;
}

/* What the certificate must be for; a name that cannot be one matches no certificate. */
static bool
expect_name(SSL *ssl, const char *name, bool is_address)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (is_address)
		return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

struct tls *
tls_new_client(SSL_CTX *ctx, int fd, struct span name)
{
	struct tls *t = new_tls(ctx, fd);
	char text[NAME_MAX_BYTES + 1];
	struct ip ip;
	bool is_address = ip_parse(name, &ip);
	bool is_usable = name.n > 0 && memchr(name.p, '\0', name.n) == NULL &&
			 span_copy(name, text, sizeof(text));

	SSL_set_connect_state(t->ssl);
	if (is_usable && !is_address)
		is_usable = SSL_set_tlsext_host_name(t->ssl, text) == 1;
	if (SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE)
		must(is_usable && expect_name(t->ssl, text, is_address)); /* or anybody would do */
	return t;
}

/* --- sessions ----------------------------------------------------------------------------------- */

/* Where an SSL's owner wants new sessions: its slot, as ex_data of this index. */
static int
slot_index(void)
{
	static int index = -1;

	if (index < 0)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	must(index >= 0);
	return index;
}

/* 1: the session is ours from now on. */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION **slot = SSL_get_ex_data(ssl, slot_index());

	if (slot == NULL)
		return 0;
	tls_session_drop(slot);
	*slot = session;
	return 1;
}

void
tls_keep_sessions(SSL_CTX *ctx)
{
	(void)SSL_CTX_set_session_cache_mode(
	    ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
}

void
tls_use_session(struct tls *t, SSL_SESSION **slot)
{
	must(SSL_set_ex_data(t->ssl, slot_index(), slot) == 1);
	if (*slot != NULL)
		(void)SSL_set_session(t->ssl, *slot); /* or a full handshake */
}

void
tls_session_drop(SSL_SESSION **slot)
{
	SSL_SESSION_free(*slot);
	*slot = NULL;
}

/* --- signatures that come later ------------------------------------------------------------------ */

static int
on_signature(SSL *ssl, void *arg)
{
	struct tls *t = arg;

	(void)ssl;
	t->go_on(t->go_on_arg);
	return 1;
}

void
tls_sign_later(struct tls *t, void (*go_on)(void *arg), void *arg)
{
	if (jobs.waiting.next == NULL) {
		list_init(&jobs.waiting);
		must(ASYNC_init_thread(TLS_JOBS_MAX + 1, 0) ==
		     1); /* one runs, the rest stand still */
	}
	t->go_on = go_on;
	t->go_on_arg = arg;
	(void)SSL_set_mode(t->ssl, SSL_MODE_ASYNC);
	must(SSL_set_async_callback(t->ssl, on_signature) == 1 &&
	     SSL_set_async_callback_arg(t->ssl, t) == 1);
}

size_t
tls_jobs(void)
{
	return jobs.n_paused;
}

/* Waits for its turn: true. */
static bool
is_job_awaited(struct tls *t)
{
	if (t->go_on == NULL || t->is_paused || jobs.n_paused < TLS_JOBS_MAX)
		return false;
	if (!t->is_queued)
		list_append(&jobs.waiting, &t->node);
	t->is_queued = true;
	return true;
}

static void
leave_queue(struct tls *t)
{
	if (t->is_queued)
		list_remove(&t->node);
	t->is_queued = false;
}

static void
note_job(struct tls *t, bool is_paused)
{
	if (is_paused && !t->is_paused)
		jobs.n_paused++;
	if (!is_paused && t->is_paused)
		jobs.n_paused--;
	t->is_paused = is_paused;
}

/* After whatever may have ended a job, or have left the turn that it had. */
static void
let_next(void)
{
	struct tls *next;

	if (jobs.waiting.next == NULL || list_is_empty(&jobs.waiting) ||
	    jobs.n_paused >= TLS_JOBS_MAX)
		return;
	next = LIST_ENTRY(jobs.waiting.next, struct tls, node);
	leave_queue(next);
	next->go_on(next->go_on_arg);
}

/* A job cannot be dropped, only ended: called again without an answer, the handshake fails. */
static void
end_job(struct tls *t)
{
	int result;

	if (!t->is_paused)
		return;
	t->fd = -1;
	result = SSL_do_handshake(t->ssl);
	must(result != 1 && SSL_get_error(t->ssl, result) != SSL_ERROR_WANT_ASYNC);
	ERR_clear_error();
	note_job(t, false);
}

void
tls_free(struct tls **t)
{
	if (*t == NULL)
		return;
	leave_queue(*t);
	end_job(*t);
	let_next();
	/* Or OpenSSL takes the session for broken, and it is never resumed. */
	SSL_set_shutdown((*t)->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free((*t)->ssl);
	mem_free(*t);
	*t = NULL;
}

/* --- what a call came to ------------------------------------------------------------------------ */

static enum tls_wait
fail(struct tls *t, int error, int system_error)
{
	static const char closed[] = "connection closed by the other side";
	unsigned long code = ERR_peek_error();
	long verdict = SSL_get_verify_result(t->ssl);
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	if (code != 0 && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED &&
	    verdict != X509_V_OK)
		t->why = X509_verify_cert_error_string(verdict);
	else if (code != 0 && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		t->why = closed;
	else if (reason != NULL)
		t->why = reason;
	else if (error == SSL_ERROR_SYSCALL && system_error != 0)
		t->why = strerrordesc_np(system_error);
	else
		t->why = closed;
	ERR_clear_error();
	return TLS_FAILED;
}

/* What the last call, which returned `result`, waits for. */
static enum tls_wait
wait_for(struct tls *t, int result)
{
	int system_error = errno;
	int error = SSL_get_error(t->ssl, result);

	if (error == SSL_ERROR_WANT_READ)
		return TLS_WANT_READ;
	if (error == SSL_ERROR_WANT_WRITE)
		return TLS_WANT_WRITE;
	return fail(t, error, system_error);
}

enum tls_wait
tls_handshake(struct tls *t)
{
	int result;
	bool is_paused;

	if (is_job_awaited(t))
		return TLS_WANT_KEY;
	t->reads_left = READS_MAX;
	ERR_clear_error(); /* of others: SSL_get_error would take it for ours */
	result = SSL_do_handshake(t->ssl);
	is_paused = result != 1 && SSL_want_async(t->ssl);
	note_job(t, is_paused);
	let_next();
	if (is_paused)
		return TLS_WANT_KEY;
	if (result != 1)
		return wait_for(t, result);
	(void)SSL_clear_mode(t->ssl, SSL_MODE_ASYNC); /* what follows needs no key */
	t->handshake_left = SIZE_MAX;
	return TLS_DONE;
}

/* The other side ended the connection without a close_notify. */
static bool
was_cut(void)
{
	unsigned long code = ERR_peek_error();

	return ERR_GET_LIB(code) == ERR_LIB_SSL &&
	       ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

ssize_t
tls_read(struct tls *t, void *to, size_t n, enum tls_wait *wait, bool *is_cut)
{
	size_t done;
	int result;

	*wait = TLS_DONE;
	*is_cut = false;
	t->reads_left = READS_MAX;
	ERR_clear_error();
	result = SSL_read_ex(t->ssl, to, n, &done);
	if (result == 1)
		return (ssize_t)done;
	if (SSL_get_error(t->ssl, result) == SSL_ERROR_ZERO_RETURN)
		return 0;
	if (was_cut()) {
		ERR_clear_error();
		*is_cut = true;
		return 0;
	}
	*wait = wait_for(t, result);
	return -1;
}

ssize_t
tls_write(struct tls *t, const void *from, size_t n, enum tls_wait *wait)
{
	size_t done;
	int result;

	*wait = TLS_DONE;
	t->reads_left = READS_MAX;
	ERR_clear_error();
	result = SSL_write_ex(t->ssl, from, n, &done);
	if (result == 1)
		return (ssize_t)done;
	*wait = wait_for(t, result);
	return -1;
}

bool
tls_has_pending(const struct tls *t)
{
	return SSL_pending(t->ssl) > 0;
}

void
tls_bye(struct tls *t)
{
	ERR_clear_error();
	(void)SSL_shutdown(t->ssl); /* a courtesy: whether it went does not matter */
	ERR_clear_error();
}

struct span
tls_version(const struct tls *t)
{
	return span_str(SSL_is_init_finished(t->ssl) ? SSL_get_version(t->ssl) : NULL);
}

struct span
tls_cipher(const struct tls *t)
{
	return span_str(SSL_is_init_finished(t->ssl) ? SSL_get_cipher_name(t->ssl) : NULL);
}

bool
tls_is_resumed(const struct tls *t)
{
	return SSL_session_reused(t->ssl) == 1;
}

const char *
tls_why(const struct tls *t)
{
	return t->why != NULL ? t->why : "";
}

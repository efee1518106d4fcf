#include "web/server/server.h"
#include "relay/base/list.h"
#include "relay/base/mem.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <unistd.h>

struct server {
	struct loop *loop;
	struct asks *asks;
	struct MHD_Daemon *daemon;
	struct watch *watch;
	struct timer *timer;
	struct list exchanges;
};

/* A request and its reply; lives until MHD says that it is completed. */
struct exchange {
	struct list node;
	struct server *server;
	struct MHD_Connection *connection;
	struct site_wait *wait;
	struct site_reply reply;
	bool is_begun, is_suspended;
};

/* --- MHD on our loop --------------------------------------------------------------------------- */

static void on_time(void *arg);

static void
run(struct server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;

	(void)MHD_run(s->daemon); /* NO only for a daemon with a thread */
	if (MHD_get_timeout(s->daemon, &ms) == MHD_YES)
		loop_timer(
		    s->loop, &s->timer, ms > INT32_MAX ? INT32_MAX : (int64_t)ms, on_time, s);
	else
		timer_cancel(&s->timer);
}

static void
on_time(void *arg)
{
	run(arg);
}

static void
on_ready(void *arg, unsigned events)
{
	(void)events;
	run(arg);
}

/* --- replies ----------------------------------------------------------------------------------- */

static void
add_headers(struct MHD_Response *response, const struct site_reply *reply)
{
	static const struct {
		const char *name, *value;
	} always[] = {
	    {"Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; "
					"form-action 'none'; frame-ancestors 'none'"},
	    {"X-Content-Type-Options", "nosniff"},
	    {"X-Frame-Options", "DENY"},
	    {"Referrer-Policy", "no-referrer"}, /* the sign-in link holds a token */
	    {"Cross-Origin-Opener-Policy", "same-origin"},
	    {"Cross-Origin-Resource-Policy", "same-origin"},
	    {"Cache-Control", "no-store"},
	};

	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		(void)MHD_add_response_header(response, always[i].name, always[i].value);
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
	if (reply->status == 401)
		(void)MHD_add_response_header(
		    response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Postern-Session");
	if (reply->location != NULL)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, reply->location);
	if (reply->allow != NULL)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, reply->allow);
	if (reply->cookie[0] != '\0')
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_SET_COOKIE, reply->cookie);
}

/* A header that cannot be added is no memory: MHD closes the connection then. */
static enum MHD_Result
send_reply(struct exchange *x)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	if (x->reply.body.failed) {
		buf_free(&x->reply.body);
		site_refuse(&x->reply, 500, "Too long", "This page is longer than we show.");
	}
	response = MHD_create_response_from_buffer(
	    x->reply.body.n, x->reply.body.p, MHD_RESPMEM_MUST_COPY);
	if (response == NULL)
		return MHD_NO;
	add_headers(response, &x->reply);
	result = MHD_queue_response(x->connection, x->reply.status, response);
	MHD_destroy_response(response);
	return result;
}

static void
on_done(void *arg)
{
	struct exchange *x = arg;

	x->wait = NULL; /* it ends with this call */
	x->is_suspended = false;
	MHD_resume_connection(x->connection);
	loop_timer(x->server->loop, &x->server->timer, 0, on_time, x->server);
}

/* --- requests ---------------------------------------------------------------------------------- */

static struct span
value_of(struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *name)
{
	return span_str(MHD_lookup_connection_value(connection, kind, name));
}

static bool
has_body(struct MHD_Connection *connection)
{
	struct span length = value_of(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return value_of(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING).p != NULL ||
	       (length.p != NULL && !span_eq(length, SPAN("0")));
}

static struct exchange *
exchange_new(struct server *s, struct MHD_Connection *connection)
{
	struct exchange *x = mem_alloc(sizeof(*x));

	x->server = s;
	x->connection = connection;
	list_append(&s->exchanges, &x->node);
	return x;
}

static enum MHD_Result
begin(struct exchange *x, const char *method, const char *url)
{
	struct site_request request = {.method = span_str(method),
	    .path = span_str(url),
	    .token = value_of(x->connection, MHD_GET_ARGUMENT_KIND, "token"),
	    .session = value_of(x->connection, MHD_COOKIE_KIND, SITE_COOKIE)};

	x->is_begun = true;
	x->wait = site_begin(x->server->asks, &request, &x->reply, on_done, x);
	if (x->wait == NULL)
		return send_reply(x);
	x->is_suspended = true;
	MHD_suspend_connection(x->connection);
	return MHD_YES;
}

/* MHD_AccessHandlerCallback: once when the headers are there, once after the (empty) body, and
 * once after a suspension. */
static enum MHD_Result
on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
    const char *version, const char *body, size_t *body_n, void **slot)
{
	struct exchange *x = *slot;

	(void)version;
	(void)body;
	if (x == NULL) {
		*slot = x = exchange_new(arg, connection);
		if (!has_body(connection))
			return MHD_YES;
		if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
			x->is_begun = true;
			site_refuse(&x->reply, 413, "Too large", "This console takes no body.");
			return send_reply(x);
		}
		return begin(x, method, url); /* refused, before the body is read */
	}
	*body_n = 0;
	return x->is_begun ? send_reply(x) : begin(x, method, url);
}

static void
on_completed(
    void *arg, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode why)
{
	struct exchange *x = *slot;

	(void)arg;
	(void)connection;
	(void)why;
	if (x == NULL)
		return;
	site_cancel(&x->wait);
	buf_free(&x->reply.body);
	list_remove(&x->node);
	mem_free(x);
	*slot = NULL;
}

/* --- start and end ----------------------------------------------------------------------------- */

static struct MHD_Daemon *
start_daemon(struct server *s, int fd)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request,
	    s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)SERVER_MEMORY_MAX,
	    MHD_OPTION_CONNECTION_LIMIT, (unsigned)SERVER_CONNECTIONS_MAX,
	    MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)SERVER_CONNECTIONS_PER_IP_MAX,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SERVER_TIMEOUT_S, MHD_OPTION_END);
}

struct server *
server_new(struct loop *loop, int fd, struct asks *asks, struct err *err)
{
	struct server *s = mem_alloc(sizeof(*s));
	const union MHD_DaemonInfo *info;
	int flags = fcntl(fd, F_GETFL);

	s->loop = loop;
	s->asks = asks;
	list_init(&s->exchanges);
	/* A client that goes before it is accepted must not make accept wait. */
	if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
		s->daemon = start_daemon(s, fd);
	info = s->daemon != NULL ? MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (info == NULL) {
		(void)err_set(err, E_IO, "cannot start the console: %m");
		if (s->daemon != NULL)
			MHD_stop_daemon(s->daemon);
		else
			(void)close(fd); /* nothing was sent */
		mem_free(s);
		return NULL;
	}
	s->watch = loop_watch(loop, info->epoll_fd, LOOP_READ, on_ready, s);
	run(s);
	return s;
}

void
server_free(struct server **ps)
{
	struct server *s = *ps;

	if (s == NULL)
		return;
	watch_remove(&s->watch);
	LIST_FOR (it, &s->exchanges) {
		struct exchange *x = LIST_ENTRY(it, struct exchange, node);

		/* MHD cannot stop with suspended connections. */
		site_cancel(&x->wait);
		if (x->is_suspended)
			MHD_resume_connection(x->connection);
		x->is_suspended = false;
	}
	MHD_stop_daemon(s->daemon);
	timer_cancel(&s->timer);
	mem_free(s);
	*ps = NULL;
}

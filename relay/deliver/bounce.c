#include "relay/deliver/bounce.h"
#include "relay/base/clock.h"
#include "relay/base/id.h"
#include "relay/base/mem.h"
#include "relay/message/dsn.h"
#include "relay/smtp/command.h"

const struct conf_gateway *
bounce_gateway(const struct config *c, struct span address)
{
	const struct conf_domain *domain = config_domain(c, smtp_address_domain(address));

	if (domain != NULL && domain->gateway != NULL)
		return domain->gateway;
	for (size_t i = 0; i < c->n_flows; i++)
		if (c->flows[i].relay == RELAY_ANY && c->flows[i].gateway != NULL)
			return c->flows[i].gateway;
	return NULL;
}

bool
bounce_is_allowed(const struct queue_entry *e, const struct queue_rcpt *r)
{
	switch (e->kind) {
	case MAIL_RELAYED:
		return e->from.n > 0 && !rcpt_copy(e, r)->is_tagged;
	case MAIL_BOUNCE:
		return true;
	case MAIL_POSTMASTER:
		return false;
	}
	return false;
}

struct bounce_route
bounce_route(const struct config *c, const struct queue_entry *e)
{
	struct bounce_route route = {.to = e->from, .kind = MAIL_BOUNCE};

	if (e->kind == MAIL_RELAYED)
		route.gateway = bounce_gateway(c, e->from);
	if (route.gateway != NULL || c->postmaster == NULL)
		return route;
	return (struct bounce_route){.to = span_str(c->postmaster),
	    .gateway = bounce_gateway(c, span_str(c->postmaster)),
	    .kind = MAIL_POSTMASTER};
}

static bool
is_reported(const struct queue_entry *e, const struct queue_rcpt *r, bool is_delay)
{
	return is_delay ? r->state == RCPT_WAITING && bounce_is_allowed(e, r) : r->is_in_bounce;
}

/* "550 5.1.1 text": the second word, if any; dsn_write replaces what is no status. */
static struct span
status_of(struct span reply)
{
	(void)span_word(&reply); /* the code */
	return span_word(&reply);
}

static size_t
list_recipients(const struct queue_entry *e, bool is_delay, struct dsn_recipient *to)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n_rcpts; i++) {
		const struct queue_rcpt *r = &e->rcpts[i];

		if (!is_reported(e, r, is_delay))
			continue;
		to[n].address = r->address;
		to[n].reply = rcpt_reply(e, r);
		to[n].status = status_of(to[n].reply);
		to[n].server = span_str(e->legs[r->leg].server);
		to[n].action = is_delay ? DSN_DELAYED : DSN_FAILED;
		n++;
	}
	return n;
}

/* The copy of the first recipient in the report. */
static const struct queue_copy *
reported_copy(const struct queue_entry *e, bool is_delay)
{
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (is_reported(e, &e->rcpts[i], is_delay))
			return rcpt_copy(e, &e->rcpts[i]);
	return &e->copies[0];
}

/* The original's header section, or nothing when it cannot be read: the report is worth sending
 * without it. */
static void
read_headers(
    struct spool *spool, const struct queue_entry *e, const struct queue_copy *copy, struct buf *to)
{
	size_t n = copy->prefix_n;
	char *room;

	if (n > BOUNCE_HEADER_MAX)
		n = BOUNCE_HEADER_MAX;
	if (n == 0 && e->size < BOUNCE_HEADER_MAX)
		n = (size_t)e->size; /* a notice of ours is all body; its text is short */
	room = buf_room(to, n);
	if (room != NULL && spool_read(spool, e->msg, copy->prefix, room, n) == 0)
		to->n += n;
}

/* Without the body, which only a notice of ours has here. */
static struct span
header_section(const struct buf *bytes)
{
	const char *end = memmem(bytes->p != NULL ? bytes->p : "", bytes->n, "\r\n\r\n", 4);

	return end != NULL ? span_of(bytes->p, (size_t)(end - bytes->p) + 2) : buf_span(bytes);
}

int
bounce_build(const struct config *c, struct spool *spool, const struct queue_entry *e,
    const struct bounce_route *route, struct span id, bool is_delay, struct buf *to)
{
	struct dsn_recipient *recipients = mem_array(e->n_rcpts, sizeof(*recipients));
	struct buf headers = BUF_INIT(BOUNCE_HEADER_MAX);
	struct dsn d = {.reporting_mta = span_str(c->hostname),
	    .postmaster = span_str(c->postmaster),
	    .sender = route->to,
	    .id = id,
	    .recipients = recipients,
	    .n_recipients = list_recipients(e, is_delay, recipients),
	    .arrival_ms = e->received_ms,
	    .now_ms = clock_wall_ms(),
	    .retry_until_ms = is_delay ? e->received_ms + c->queue.expire_after_ms : 0};
	int rc;

	read_headers(spool, e, reported_copy(e, is_delay), &headers);
	d.headers = header_section(&headers);
	do {
		struct id boundary = id_new(); /* 80 random bits */

		d.boundary = id_span(&boundary);
		buf_clear(to);
		rc = dsn_write(&d, to);
	} while (rc == -E_EXISTS);
	buf_free(&headers);
	mem_free(recipients);
	return rc;
}

#include "relay/deliver/bounce.h"
#include "relay/base/clock.h"
#include "relay/base/id.h"
#include "relay/base/mem.h"
#include "relay/message/dsn_status.h"
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

/* What NOTIFY of RFC 3461 section 4.1 asks for; not given: failure and, as we like, delay. */
static bool
is_asked_for(const struct queue_rcpt *r, enum dsn_action action)
{
	static const unsigned bits[] = {[DSN_FAILED] = NOTIFY_FAILURE,
	    [DSN_DELAYED] = NOTIFY_DELAY,
	    [DSN_RELAYED] = NOTIFY_SUCCESS};

	if (r->notify == 0)
		return action != DSN_RELAYED;
	return (r->notify & bits[action]) != 0;
}

bool
bounce_is_wanted(const struct queue_entry *e, const struct queue_rcpt *r, enum dsn_action action)
{
	switch (e->kind) {
	case MAIL_RELAYED:
		return e->from.n > 0 && !rcpt_copy(e, r)->is_tagged && is_asked_for(r, action);
	case MAIL_BOUNCE:
		return action == DSN_FAILED;
	case MAIL_POSTMASTER:
		return false;
	}
	return false;
}

bool
bounce_is_allowed(const struct queue_entry *e, const struct queue_rcpt *r)
{
	return bounce_is_wanted(e, r, DSN_FAILED);
}

const char *
bounce_obstacle(const struct queue_entry *e, const struct queue_rcpt *r)
{
	if (e->kind == MAIL_POSTMASTER)
		return "it is our own report to postmaster";
	if (e->from.n == 0)
		return "it has the null sender";
	if (rcpt_copy(e, r)->is_tagged)
		return "it is tagged: its sender may be forged";
	return "its sender has asked for no report of failure (NOTIFY)";
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
	if (is_delay)
		return r->state == RCPT_WAITING && bounce_is_wanted(e, r, DSN_DELAYED);
	return r->is_in_bounce;
}

static enum dsn_action
action_of(const struct queue_rcpt *r, bool is_delay)
{
	if (is_delay)
		return DSN_DELAYED;
	return r->state == RCPT_RELAYED ? DSN_RELAYED : DSN_FAILED;
}

/* Reports follow the attempt that they speak of; but who was refused here met no server. */
static bool
is_attempted(const struct queue_leg *leg, const struct dsn_recipient *r)
{
	return leg->attempts > 0 && (r->reply.n == 0 || dsn_is_smtp_reply(r->reply) ||
					span_eq(r->reply, span_str(leg->reply)));
}

static size_t
list_recipients(
    const struct queue_entry *e, bool is_delay, int64_t now_ms, struct dsn_recipient *to)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n_rcpts; i++) {
		const struct queue_rcpt *r = &e->rcpts[i];
		const struct queue_leg *leg = &e->legs[r->leg];

		if (!is_reported(e, r, is_delay))
			continue;
		to[n].address = r->address;
		to[n].orcpt = r->orcpt;
		to[n].reply = rcpt_reply(e, r);
		to[n].server = span_str(leg->server);
		to[n].action = action_of(r, is_delay);
		to[n].attempted_ms = is_attempted(leg, &to[n]) ? now_ms : 0;
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

/* RET is for failures alone: the other reports carry the header section (RFC 3461 section 4.3). */
static bool
wants_whole(const struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_rcpts && e->ret == RET_FULL; i++)
		if (e->rcpts[i].is_in_bounce && e->rcpts[i].state == RCPT_FAILED)
			return true;
	return false;
}

/* Appends n bytes of the spooled message. */
static bool
read_part(struct spool *spool, const struct queue_entry *e, uint64_t at, size_t n, struct buf *to)
{
	char *room = buf_room(to, n);

	if (room == NULL || spool_read(spool, e->msg, at, room, n) < 0)
		return false;
	to->n += n;
	return true;
}

/* The original with its body (true) or its header section alone; nothing when it cannot be read: the
 * report is worth sending without it. */
static bool
read_original(struct spool *spool, const struct queue_entry *e, const struct queue_copy *copy,
    bool is_delay, struct buf *to)
{
	uint64_t body = e->body;
	size_t n = copy->prefix_n;

	/* A copy that lacks some of it is tagged, and nobody is told that it failed. */
	if (!is_delay && wants_whole(e) && copy->n_cuts == 0 && body + n <= BOUNCE_FULL_MAX) {
		if (read_part(spool, e, copy->prefix, n, to) &&
		    read_part(spool, e, e->prefixes, (size_t)body, to))
			return true;
		buf_clear(to);
		return false;
	}
	if (n > BOUNCE_HEADER_MAX)
		n = BOUNCE_HEADER_MAX;
	if (n == 0 && e->size < BOUNCE_HEADER_MAX)
		n = (size_t)e->size; /* a notice of ours is all body; its text is short */
	(void)read_part(spool, e, copy->prefix, n, to);
	return false;
}

static bool
is_ascii(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] >= 0x80)
			return false;
	return true;
}

int
bounce_build(const struct config *c, struct spool *spool, const struct queue_entry *e,
    const struct bounce_route *route, struct span id, bool is_delay, struct bounce_text *to)
{
	struct dsn_recipient *recipients = mem_array(e->n_rcpts, sizeof(*recipients));
	struct buf original = BUF_INIT(BOUNCE_FULL_MAX);
	int64_t now_ms = clock_wall_ms();
	struct dsn d = {.reporting_mta = span_str(c->hostname),
	    .postmaster = span_str(c->postmaster),
	    .sender = route->to,
	    .id = id,
	    .original_id = span_str(e->id),
	    .envelope_id = e->envid,
	    .is_utf8 = e->is_utf8,
	    .recipients = recipients,
	    .n_recipients = list_recipients(e, is_delay, now_ms, recipients),
	    .arrival_ms = e->received_ms,
	    .now_ms = now_ms,
	    .retry_until_ms = is_delay ? e->received_ms + c->queue.expire_after_ms : 0};
	int rc;

	d.is_whole = read_original(spool, e, reported_copy(e, is_delay), is_delay, &original);
	d.original = buf_span(&original);
	do {
		struct id boundary = id_new(); /* 80 random bits */

		d.boundary = id_span(&boundary);
		buf_clear(&to->text);
		rc = dsn_write(&d, &to->text, &to->is_8bit);
	} while (rc == -E_EXISTS);
	to->is_utf8 = !is_ascii(route->to);
	buf_free(&original);
	mem_free(recipients);
	return rc;
}

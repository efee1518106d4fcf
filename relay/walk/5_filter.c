/*
 * 5_filter.c - the message goes to a filter worker, which reports outcomes, tags, edits and the
 * truth of every content predicate; front never parses a body.  What is made of it is decided in
 * the next stage.
 */
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/walk/findings.h"
#include "relay/walk/walk.h"

static bool
needs_worker(const struct session *s)
{
	return s->listen->flow->n_filters > 0 || snapshot_predicate_count(s->snapshot) > 0 ||
	       inquire_needs_hosts(s);
}

static struct scan_result found; /* large; used within one call only */

/* A filter that was skipped or that nobody could run has the outcome `failure`. */
static void
take(struct session *s, const struct scan_result *result, uint32_t failed)
{
	s->transaction->is_unseen =
	    result == NULL && (snapshot_predicate_count(s->snapshot) > 0 || inquire_needs_hosts(s));
	if (result != NULL)
		found = *result;
	else
		memset(&found, 0, sizeof(found));
	findings_add_failures(&found, &s->transaction->scan, failed);
}

/* What cannot be read again is no result: front stands, and the message is judged as one that nobody has seen. */
static bool
take_kept(struct session *s)
{
	if (scan_result_get(buf_span(&s->transaction->kept), s->listen->flow, &found) == 0)
		return true;
	log_event(LOG_ERROR, "scan result lost", KV("id", id_span(&s->transaction->id)));
	take(s, NULL, UINT32_MAX);
	return false;
}

static void
on_inquired(struct session *s)
{
	(void)take_kept(s); /* either way `found` is to be judged */
	commit_begin(s, &found);
}

/* The result lives in the worker's answer: while lists are asked about the hosts it is kept. */
static bool
asks_lists(struct session *s)
{
	struct buf *kept = &s->transaction->kept;

	if (found.n_hosts == 0 || !inquire_needs_hosts(s))
		return false;
	*kept = BUF_INIT(CHANNEL_PAYLOAD_MAX);
	scan_result_put(kept, &found);
	must(!kept->failed);
	return take_kept(s) && inquire_urls(s, found.hosts, found.n_hosts, on_inquired);
}

static void
on_done(struct scan *scan, const struct scan_result *result, uint32_t failed)
{
	struct session *s = scan->arg;

	take(s, result, failed);
	if (!asks_lists(s))
		commit_begin(s, &found);
}

static void
fill_request(struct session *s)
{
	struct transaction *t = s->transaction;
	struct span *addresses = mem_array(t->n_rcpts, sizeof(*addresses));

	for (size_t i = 0; i < t->n_rcpts; i++)
		addresses[i] = t->rcpts[i].address;
	t->addresses = addresses;
	t->scan = (struct scan){.flow = s->listen->flow,
	    .body_fd = t->content.fd,
	    .on_done = on_done,
	    .arg = s,
	    .request = {
		.id = id_span(&t->id),
		.flow = (uint32_t)(s->listen->flow - s->front->config->flows),
		.policy = snapshot_version(s->snapshot),
		.client = s->client,
		.host = s->has_host ? span_str(s->host) : (struct span){0},
		.helo = span_str(s->helo),
		.from = t->from,
		.rcpts = addresses,
		.n_rcpts = t->n_rcpts,
		.wants_hosts = inquire_needs_hosts(s),
		.is_inline = t->content.fd < 0,
		.body = t->content.fd < 0 ? content_inline(&t->content) : (struct span){0},
	    }};
}

void
filter_begin(struct session *s)
{
	s->state = SESSION_WAITING;
	s->transaction->data_end_ms = clock_mono_ms();
	connection_expect(&s->connection, 0);
	filter_scan(s);
}

void
filter_scan(struct session *s)
{
	static const struct scan_result nothing;

	if (!needs_worker(s)) {
		commit_begin(s, &nothing);
		return;
	}
	fill_request(s);
	pool_scan(s->front->workers, &s->transaction->scan);
}

void
filter_cancel(struct session *s)
{
	pool_cancel(&s->transaction->scan);
}

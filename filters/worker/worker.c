#include "filters/worker/worker.h"
#include "filters/worker/limits.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/ipc/channel.h"
#include "relay/ipc/policy_bundle.h"

#include <stdio.h>
#include <unistd.h>

/* More than any filter's own limit on one file. */
#define FILE_MAX (1024ull * 1024 * 1024)

struct policy {
	uint64_t version;
	struct snapshot *snapshot; /* NULL: free */
};

struct state {
	const struct worker *w;
	struct policy policies[WORKER_POLICIES]; /* those received last: front counts along */
	unsigned next_policy;
	struct worker_doing doing;
	struct span *rcpts;
	struct buf packet, answer;
	unsigned messages;
	int64_t first_mono_ms; /* when the first of them came */
	bool is_leaving;
};

static void __attribute__((noreturn)) leave(int status, const char *event, const char *why)
{
	if (status != WORKER_DONE)
		log_event(LOG_ERROR, event, KV_STR("why", why));
	_exit(status);
}

static void
on_filter(void *arg, int filter)
{
	struct state *s = arg;

	s->doing.filter = filter;
	s->doing.since_mono_ms = clock_mono_ms();
	page_write(s->w->page, &s->doing);
}

/* Should its start end this process, the zygote finds that. */
static void
on_start(void *arg, const struct conf_filter *filter)
{
	const struct state *s = arg;
	char text[PAGE_START_MAX] = "";

	if (filter != NULL)
		(void)snprintf(text, sizeof(text), "filter %s: its start does not come back",
		    filter->name); /* cut is fine */
	page_write_start(s->w->page, text);
}

/* The bytes of a message: in its payload, or in the sealed memory file that came along. */
static struct span
blob_of(
    const struct message *m, struct span inlined, bool is_inline, size_t max, struct span *mapped)
{
	*mapped = (struct span){0};
	if (is_inline)
		return inlined;
	if (m->fds[0] < 0 || channel_map(m->fds[0], max, mapped) < 0)
		leave(WORKER_BAD_PEER, "worker stops", "front sent no sealed memory");
	return *mapped;
}

static void
policy_keep(struct state *s, uint64_t version, struct snapshot *snapshot)
{
	struct policy *slot = &s->policies[s->next_policy++ % WORKER_POLICIES];

	snapshot_release(&slot->snapshot);
	*slot = (struct policy){version, snapshot};
}

/* The policy's text in a bundle, whatever name (its version) it goes by there. */
static bool
bundle_policy(struct span bundle, struct span *text)
{
	struct wire w = wire_over(bundle);

	while (w.rest.n > 0 && !w.failed) {
		unsigned kind = get_enum(&w, BUNDLE_LAST);

		(void)get_span(&w, BUNDLE_NAME_MAX); /* sticky */
		*text = get_span(&w, BUNDLE_MAX);
		if (!w.failed && kind == BUNDLE_POLICY)
			return true;
	}
	return false;
}

/* A bundle starts with a byte up to BUNDLE_LAST, which no policy text does. */
static void
policy_take(struct state *s, struct message *m)
{
	struct policy_errors errors = {.lines = BUF_INIT(65536)};
	struct span mapped, blob, text;
	struct snapshot *snapshot;
	bool is_bundle;

	blob = blob_of(m, m->payload, m->fds[0] < 0, BUNDLE_MAX, &mapped);
	is_bundle = blob.n > 0 && (unsigned char)blob.p[0] <= BUNDLE_LAST;
	text = blob;
	if (is_bundle && !bundle_policy(blob, &text))
		leave(WORKER_BAD_PEER, "worker stops", "a policy bundle without a policy");
	snapshot = snapshot_parse(
	    text, "policy", is_bundle ? bundle_read_list : NULL, is_bundle ? &blob : NULL, &errors);
	if (snapshot == NULL) {
		log_event(LOG_ERROR, "policy refused",
		    KV("errors", span_take(buf_span(&errors.lines), 300)));
		leave(WORKER_BAD_PEER, "worker stops", "front sent a policy that cannot be read");
	}
	buf_free(&errors.lines);
	channel_unmap(&mapped);
	policy_keep(s, m->id, snapshot);
}

static const struct snapshot *
policy_find(const struct state *s, uint64_t version)
{
	for (size_t i = 0; i < WORKER_POLICIES; i++)
		if (s->policies[i].snapshot != NULL && s->policies[i].version == version)
			return s->policies[i].snapshot;
	return NULL;
}

static void
answer(struct state *s, uint16_t type, uint64_t id, struct span payload)
{
	if (channel_send_now(s->w->fd, type, id, payload, NULL) < 0)
		leave(WORKER_DONE, "", ""); /* front has gone: nobody wants the answer */
}

/* Front puts the pieces together: a worker has no memory files, and a packet holds only so much. */
static void
send_rewrite(struct state *s, uint64_t id, struct span rewrite)
{
	for (; rewrite.n > 0; rewrite = span_skip(rewrite, SCAN_REWRITE_PIECE))
		answer(s, WORKER_REWRITE, id, span_take(rewrite, SCAN_REWRITE_PIECE));
}

static bool
has_served(const struct state *s)
{
	return s->messages >= s->w->messages_max ||
	       clock_mono_ms() - s->first_mono_ms >= s->w->age_max_ms;
}

static void
scan_take(struct state *s, struct message *m)
{
	struct scan_request request;
	struct span mapped, body;
	const struct snapshot *snapshot;
	struct chain_run *run;
	static struct scan_result result; /* large; used within this call only */

	if (scan_request_get(m->payload, &request, s->rcpts, SCAN_RCPTS_MAX) < 0)
		leave(WORKER_BAD_PEER, "worker stops", "front sent a malformed request");
	body = blob_of(m, request.body, request.is_inline, CHAIN_BODY_MAX, &mapped);
	snapshot = policy_find(s, request.policy);
	/* Without its policy the message's predicates would all read "unknown" and match nothing. */
	if (snapshot == NULL)
		leave(WORKER_BAD_PEER, "worker stops", "front asked with a policy it has not sent");
	if (s->messages == 0)
		s->first_mono_ms = clock_mono_ms();
	s->doing = (struct worker_doing){.scan = m->id, .flow = request.flow, .filter = -1};
	if (chain_scan(s->w->chain, &request, body, snapshot, on_filter, s, &run) < 0)
		leave(WORKER_BAD_PEER, "worker stops", "front asked for an unknown flow");
	buf_clear(&s->answer);
	result = *chain_result(run);
	send_rewrite(s, m->id, result.rewrite);
	result.rewrite = (struct span){0};
	scan_result_put(&s->answer, &result);
	must(!s->answer.failed);
	s->messages++;
	s->is_leaving = chain_was_rough(run) || has_served(s);
	/* Before the result: behind it front would have sent the next message already. */
	if (s->is_leaving)
		answer(s, WORKER_LEAVING, 0, (struct span){0});
	answer(s, WORKER_RESULT, m->id, buf_span(&s->answer));
	chain_run_free(&run);
	channel_unmap(&mapped);
	s->doing = (struct worker_doing){.filter = -1};
	page_write(s->w->page, &s->doing);
}

static void
loop(struct state *s)
{
	while (!s->is_leaving) {
		struct message m;

		if (channel_receive(s->w->fd, &m, &s->packet, -1) < 0)
			return; /* front has gone or cannot be understood */
		if (m.type == WORKER_POLICY)
			policy_take(s, &m);
		else if (m.type == WORKER_SCAN)
			scan_take(s, &m);
		else
			leave(WORKER_BAD_PEER, "worker stops", "front sent an unknown message");
		for (int i = 0; i < CHANNEL_FDS; i++)
			if (m.fds[i] >= 0)
				(void)close(m.fds[i]); /* memory, only read */
	}
}

void
worker_run(const struct worker *w)
{
	struct worker own = *w;
	struct state s = {.w = &own};
	struct err err = {0};

	if (own.messages_max == 0)
		own.messages_max = WORKER_MESSAGES;
	if (own.age_max_ms == 0)
		own.age_max_ms = WORKER_AGE_MS;
	s.doing = (struct worker_doing){.filter = -1};
	page_write(own.page, &s.doing);
	s.packet = BUF_INIT(CHANNEL_PAYLOAD_MAX);
	s.answer = BUF_INIT(CHANNEL_PAYLOAD_MAX);
	s.rcpts = mem_array(SCAN_RCPTS_MAX, sizeof(s.rcpts[0]));
	/* When the zygote has gone meanwhile (explain ends its own as soon as it has the answer) nothing
	 * has failed. */
	if (limits_set(own.fd, own.parent, FILE_MAX, own.memory_max, &err) < 0 ||
	    limits_empty_folder(own.tmpdir, &err) < 0)
		leave(err.code == E_CLOSED ? WORKER_DONE : WORKER_NO_LIMITS, "worker cannot start",
		    err.text);
	if (own.sandbox != NULL && own.sandbox(own.tmpdir, &err) < 0)
		leave(WORKER_NO_SANDBOX, "worker cannot start", err.text);
	chain_on_load(own.chain, on_start, &s);
	if (chain_start(own.chain, own.tmpdir, &err) < 0) {
		page_write_start(own.page, err.text);
		leave(WORKER_NO_FILTERS, "worker cannot start", err.text);
	}
	answer(&s, WORKER_READY, 0, (struct span){0});
	loop(&s);
	leave(WORKER_DONE, "", "");
}

#include "relay/process/spool_requests.h"
#include "relay/deliver/show.h"
#include "relay/process/quarantine_requests.h"

enum {
	LINE_MAX_BYTES = 8 * 1024 * 1024,    /* 10,000 recipients */
	ANSWER_MAX_BYTES = 32 * 1024 * 1024, /* waiting in our channel, whose end is twice that */
	SENTENCE_MAX = 512
};

static void
end_with(struct role *role, uint64_t id, int status, struct span before, struct span word,
    struct span after)
{
	struct buf text = BUF_INIT(SENTENCE_MAX);

	(void)buf_add_span(&text, before); /* a word that is too long leaves the rest out */
	(void)buf_add_span(&text, span_take(word, 100));
	(void)buf_add_span(&text, after);
	role_reply_end(role, id, status, buf_span(&text));
	buf_free(&text);
}

static void
reply_entry(struct role *role, uint64_t id, const struct queue_entry *e, bool has_detail)
{
	struct buf line = BUF_INIT(LINE_MAX_BYTES);

	show_entry(&line, e, has_detail);
	if (!line.failed)
		role_reply(role, id, buf_span(&line));
	buf_free(&line);
}

static void
queue_list(struct role *role, struct delivery *d, uint64_t id)
{
	LIST_FOR (it, queue_entries(d->queue)) {
		if (channel_queued(role->control) > ANSWER_MAX_BYTES) {
			end_with(role, id, EXIT_TEMPFAIL,
			    SPAN("the queue is longer than one answer"), (struct span){0},
			    SPAN("; these are its oldest messages"));
			return;
		}
		reply_entry(role, id, LIST_ENTRY(it, struct queue_entry, node), false);
	}
	role_reply_end(role, id, EXIT_OK, (struct span){0});
}

static struct queue_entry *
find_or_say(struct role *role, struct delivery *d, uint64_t id, struct span which)
{
	struct queue_entry *e = queue_find(d->queue, which);

	if (e == NULL)
		end_with(role, id, EXIT_NO, SPAN("no message "), which,
		    SPAN(" in the queue; `postern queue list` shows what is there"));
	return e;
}

static void
queue_show(struct role *role, struct delivery *d, uint64_t id, struct span which)
{
	struct queue_entry *e = find_or_say(role, d, id, which);

	if (e == NULL)
		return;
	reply_entry(role, id, e, true);
	role_reply_end(role, id, EXIT_OK, (struct span){0});
}

/* All but what is held: that an admin decides one by one. */
static void
retry_all(struct delivery *d)
{
	LIST_FOR_SAFE (it, queue_entries(d->queue)) {
		struct queue_entry *e = LIST_ENTRY(it, struct queue_entry, node);

		for (size_t i = 0; i < e->n_legs; i++)
			if (e->legs[i].state == LEG_DEFERRED) {
				queue_undefer(d->queue, &e->legs[i]);
				queue_defer(d->queue, &e->legs[i], 0);
			}
	}
}

static void
queue_retry(struct role *role, struct delivery *d, uint64_t id, struct span which)
{
	struct queue_entry *e;

	if (span_eq(which, SPAN("all"))) {
		retry_all(d);
	} else {
		e = find_or_say(role, d, id, which);
		if (e == NULL)
			return;
		if (!queue_can_be_sent(e)) {
			role_reply_end(role, id, EXIT_NO,
			    SPAN("the policy keeps this copy from its recipients; in quarantine it "
				 "can "
				 "be released"));
			return;
		}
		deliver_now(d, e);
	}
	role_reply_end(role, id, EXIT_OK, (struct span){0});
}

static bool
is_later_word(struct span word)
{
	static const char *const words[] = {"hold", "release", "delete", "bounce", "fsck"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_eq(word, span_str(words[i])))
			return true;
	return false;
}

static void
queue_request(struct role *role, struct delivery *d, uint64_t id, const struct control_request *r)
{
	struct span verb = r->n_words > 1 ? r->words[1] : SPAN("list");

	if (span_eq(verb, SPAN("list")) && r->n_words <= 2)
		queue_list(role, d, id);
	else if (span_eq(verb, SPAN("show")) && r->n_words == 3)
		queue_show(role, d, id, r->words[2]);
	else if (span_eq(verb, SPAN("retry")) && r->n_words == 3)
		queue_retry(role, d, id, r->words[2]);
	else if (is_later_word(verb))
		end_with(role, id, EXIT_USAGE, SPAN("queue "), verb, SPAN(": not in this version"));
	else
		end_with(role, id, EXIT_USAGE, SPAN("queue "), verb,
		    SPAN(": say queue list, queue show ID, queue retry ID or queue retry all"));
}

void
spool_request(struct role *role, struct delivery *d, uint64_t id, const struct control_request *r)
{
	struct buf line = BUF_INIT(LINE_MAX_BYTES);

	if (r->n_words > 0 && span_eq(r->words[0], SPAN("queue"))) {
		queue_request(role, d, id, r);
		return;
	}
	if (r->n_words > 0 && span_eq(r->words[0], SPAN("quarantine"))) {
		quarantine_request(role, d, id, r);
		return;
	}
	if (r->n_words == 0 || !span_eq(r->words[0], SPAN("status"))) {
		end_with(role, id, EXIT_USAGE, SPAN("the spool role does not answer "),
		    r->n_words > 0 ? r->words[0] : SPAN("nothing"), SPAN("; see `postern help`"));
		return;
	}
	show_status(&line, d->queue, d->gateways, d->n_gateways);
	role_reply(role, id, buf_span(&line));
	quarantine_status(role, d, id);
	role_reply_end(role, id, EXIT_OK, (struct span){0});
	buf_free(&line);
}

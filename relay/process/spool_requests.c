#include "relay/process/spool_requests.h"
#include "relay/base/clock.h"
#include "relay/deliver/show.h"
#include "relay/process/gateway_requests.h"
#include "relay/process/quarantine_requests.h"

enum {
	LINE_MAX_BYTES = 8 * 1024 * 1024, /* 10,000 recipients, or a header section */
	HEADERS_MAX = COMMIT_HEADER_MAX,
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

/* The header section of the first copy; nothing when it cannot be read. */
static void
read_headers(struct delivery *d, const struct queue_entry *e, struct buf *to)
{
	uint64_t n = e->copies[0].prefix_n > 0 ? e->copies[0].prefix_n : e->size;
	char *room = buf_room(to, n < HEADERS_MAX ? (size_t)n : HEADERS_MAX);
	const char *end;

	if (n > HEADERS_MAX)
		n = HEADERS_MAX;
	if (room == NULL || spool_read(d->spool, e->msg, e->copies[0].prefix, room, (size_t)n) < 0)
		return;
	end = memmem(room, (size_t)n, "\r\n\r\n", 4); /* a notice of ours is all body */
	to->n += end != NULL ? (size_t)(end - room) + 2 : (size_t)n;
}

static void
queue_show(struct role *role, struct delivery *d, uint64_t id, const struct selection *s)
{
	struct buf line = BUF_INIT(LINE_MAX_BYTES), headers = BUF_INIT(HEADERS_MAX);
	struct queue_entry *e = queue_find(d->queue, s->ids[0]);

	if (e == NULL) {
		end_with(role, id, EXIT_NO, SPAN("no message "), s->ids[0],
		    SPAN(" in the queue; `postern queue list` shows what is there"));
		return;
	}
	if (s->has_headers && e->msg != NULL)
		read_headers(d, e, &headers);
	show_entry(&line, e, true, buf_span(&headers));
	if (!line.failed)
		role_reply(role, id, buf_span(&line));
	role_reply_end(role, id, EXIT_OK, (struct span){0});
	deliver_rest(d, e);
	buf_free(&line);
	buf_free(&headers);
}

static bool
is_order(struct span word, enum admin_verb *verb)
{
	static const struct span words[ADMIN_VERBS] = {[ADMIN_RETRY] = SPAN("retry"),
	    [ADMIN_HOLD] = SPAN("hold"),
	    [ADMIN_RELEASE] = SPAN("release"),
	    [ADMIN_DELETE] = SPAN("delete"),
	    [ADMIN_BOUNCE] = SPAN("bounce")};

	for (size_t i = 0; i < ADMIN_VERBS; i++)
		if (span_eq(word, words[i])) {
			*verb = (enum admin_verb)i;
			return true;
		}
	return false;
}

/* What is wrong between the verb and what it is about; NULL: nothing. */
static const char *
misfit(struct span verb, bool is_order, const struct selection *s)
{
	if (span_eq(verb, SPAN("list")))
		return s->n_ids > 0 ? "list takes no ids; say --id, or queue show ID" : NULL;
	if (span_eq(verb, SPAN("show")))
		return s->n_ids != 1 ? "say queue show ID" : NULL;
	if (!is_order)
		return "say queue list, show, retry, hold, release, delete or bounce";
	return !selection_is_given(s) ? "say which messages: their ids, --from, --to, --domain, "
					"--gateway, --older, --state, or all"
				      : NULL;
}

static void
queue_request(struct role *role, struct delivery *d, struct queue_jobs *jobs, uint64_t id,
    const struct control_request *r)
{
	struct span verb = r->n_words > 1 ? r->words[1] : SPAN("list");
	size_t n_rest = r->n_words > 2 ? r->n_words - 2 : 0;
	enum admin_verb order = ADMIN_RETRY;
	bool has_order = is_order(verb, &order);
	struct selection s;
	struct err err = {0};
	const char *wrong;

	if (span_eq(verb, SPAN("more")) && n_rest == 1) {
		queue_jobs_more(jobs, id, r->words[2]);
		return;
	}
	if (selection_parse(r->words + 2, n_rest, r->asker, clock_wall_ms(), &s, &err) < 0) {
		role_reply_end(role, id, EXIT_USAGE, span_str(err.text));
		return;
	}
	wrong = misfit(verb, has_order, &s);
	if (wrong != NULL)
		role_reply_end(role, id, EXIT_USAGE, span_str(wrong));
	else if (has_order)
		queue_jobs_order(jobs, id, order, &s);
	else if (span_eq(verb, SPAN("show")))
		queue_show(role, d, id, &s);
	else
		queue_jobs_list(jobs, id, &s);
	selection_free(&s); /* empty where a job has taken it */
}

void
spool_request(struct role *role, struct delivery *d, struct queue_jobs *jobs, uint64_t id,
    const struct control_request *r)
{
	struct buf line = BUF_INIT(LINE_MAX_BYTES);

	if (r->n_words > 0 && span_eq(r->words[0], SPAN("queue"))) {
		queue_request(role, d, jobs, id, r);
		return;
	}
	if (r->n_words > 0 && span_eq(r->words[0], SPAN("gateway"))) {
		gateway_request(role, d, id, r);
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

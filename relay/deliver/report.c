#include "relay/deliver/report.h"
#include "relay/base/clock.h"
#include "relay/base/json.h"
#include "relay/base/log.h"
#include "relay/ipc/journal.h"

static void
tell_journal(struct channel *journal, const struct queue_entry *e, const struct queue_rcpt *r,
    const char *event, const char *server, struct span reply)
{
	struct buf text = BUF_INIT(JOURNAL_EVENT_MAX);
	struct json j = {.to = &text};

	json_open(&j, NULL, '{');
	json_str(&j, "id", e->id);
	json_time(&j, "time", clock_wall_ms());
	json_str(&j, "event", event);
	json_text(&j, "to", r->address);
	json_text(&j, "gateway", e->legs[r->leg].gateway);
	json_str(&j, "server", server);
	json_text(&j, "reply", reply);
	json_close(&j, '}');
	if (!text.failed)
		channel_send(journal, JOURNAL_EVENT, 0, buf_span(&text), NULL);
	buf_free(&text);
}

void
report_rcpt(struct channel *journal, const struct queue_entry *e, const struct queue_rcpt *r,
    const char *event, const char *server, struct span reply)
{
	log_event(LOG_INFO, event, KV_STR("id", e->id), KV("from", e->from), KV("to", r->address),
	    KV("gateway", e->legs[r->leg].gateway), KV_STR("server", server != NULL ? server : ""),
	    KV_INT("bytes", e->size), KV("reply", reply));
	if (channel_has_room(journal)) /* one that cannot keep up loses lines: mail goes on */
		tell_journal(journal, e, r, event, server, reply);
}

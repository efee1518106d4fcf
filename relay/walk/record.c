/*
 * record.c - what the journal and the log are told: refused connections too, one line an outcome.
 */
#include "relay/base/clock.h"
#include "relay/base/json.h"
#include "relay/base/log.h"
#include "relay/ipc/journal.h"
#include "relay/message/header.h"
#include "relay/walk/walk.h"

enum { RCPTS_RECORDED = 100 };

static void
add_client(struct json *j, const struct session *s)
{
	char ip[IP_TEXT_MAX];

	json_text(j, "client", ip_format(&s->client, ip));
	json_str(j, "flow", s->listen->flow->name);
	if (s->has_host)
		json_str(j, "host", s->host);
	if (s->helo[0] != '\0')
		json_str(j, "helo", s->helo);
	if (session_tls(s).n > 0)
		json_text(j, "tls", session_tls(s));
	if (secure_is_on(s))
		json_text(j, "cipher", tls_cipher(s->connection.tls));
	if (s->user != NULL)
		json_str(j, "auth", s->user);
}

static void
add_verdict(struct json *j, const struct verdict *v)
{
	json_str(j, "verdict", action_name(v->action));
	json_str(j, "stage", stage_name(v->stage));
	json_text(j, "by", v->by);
	if (v->rule != 0)
		json_int(j, "rule", v->rule);
	if (v->why[0] != '\0')
		json_str(j, "why", v->why);
	if (v->text[0] != '\0')
		json_str(j, "reply", v->text);
	json_decimal(j, "score", v->score_milli);
	json_open(j, "tags", '[');
	for (size_t i = 0; i < v->n_tags; i++)
		json_text(j, NULL, v->tags[i].name);
	json_close(j, ']');
	if (v->n_observed == 0)
		return;
	json_open(j, "observed", '[');
	for (size_t i = 0; i < v->n_observed; i++)
		json_int(j, NULL, v->observed[i]);
	json_close(j, ']');
}

static void
begin(struct json *j, const struct session *s, const char *event)
{
	json_open(j, NULL, '{');
	json_text(j, "id", session_current_id(s));
	json_time(j, "time", clock_wall_ms());
	json_str(j, "event", event);
	add_client(j, s);
}

static void
end(struct json *j, const struct session *s)
{
	struct front *f = s->front;

	json_close(j, '}');
	/* A journal that cannot keep up loses lines, not its channel: mail goes on. */
	if (!j->to->failed && channel_has_room(f->journal))
		channel_send(f->journal, JOURNAL_EVENT, 0, buf_span(j->to), NULL);
	else if (channel_is_open(f->journal))
		f->n_journal_dropped++;
	buf_free(j->to);
}

void
record_refusal(struct session *s, const struct verdict *v, struct span to)
{
	struct buf b = BUF_INIT(JOURNAL_EVENT_MAX);
	struct json j = {.to = &b};
	char ip[IP_TEXT_MAX];

	begin(&j, s, "refused");
	if (s->transaction != NULL)
		json_text(&j, "from", s->transaction->from);
	if (to.n > 0) {
		json_open(&j, "to", '[');
		json_text(&j, NULL, to);
		json_close(&j, ']');
	}
	json_int(&j, "code", v->code);
	add_verdict(&j, v);
	end(&j, s);
	log_event(LOG_INFO, "refused", KV("id", session_current_id(s)),
	    KV("client", ip_format(&s->client, ip)), KV("to", to), KV_INT("code", v->code),
	    KV_STR("why", v->why[0] ? v->why : v->text));
}

static void
add_subject(struct json *j, const struct transaction *t)
{
	struct header_field field;
	struct buf text = BUF_INIT(HEADER_DECODED_MAX);

	if (header_find(buf_span(&t->content.section), SPAN("Subject"), &field)) {
		header_decode(field.value, &text);
		json_text(j, "subject", span_take(buf_span(&text), 500));
	}
	buf_free(&text);
}

void
record_message(struct session *s, const char *event, const struct verdict *v, int code,
    const struct group *group)
{
	const struct transaction *t = s->transaction;
	struct buf b = BUF_INIT(JOURNAL_EVENT_MAX);
	struct json j = {.to = &b};
	size_t n_rcpts = group != NULL ? group->n_rcpts : s->transaction->n_rcpts;
	char ip[IP_TEXT_MAX];

	begin(&j, s, event);
	json_text(&j, "from", t->from);
	json_open(&j, "to", '[');
	for (size_t i = 0; i < n_rcpts && i < RCPTS_RECORDED; i++)
		json_text(&j, NULL, t->rcpts[group != NULL ? group->rcpts[i] : i].address);
	json_close(&j, ']');
	add_subject(&j, t);
	json_int(&j, "size", (int64_t)t->content.size);
	json_int(&j, "code", code);
	add_verdict(&j, v);
	end(&j, s);
	log_event(LOG_INFO, event, KV("id", session_current_id(s)),
	    KV("client", ip_format(&s->client, ip)), KV("from", t->from), KV_INT("rcpts", n_rcpts),
	    KV_INT("size", t->content.size), KV_INT("code", code),
	    KV_STR("verdict", action_name(v->action)), KV_STR("why", v->why));
}

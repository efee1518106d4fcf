/*
 * aside.c - what is kept from its recipients: copies that the policy puts into quarantine, and mail
 * that no gateway takes and of which nobody may be told.
 *
 * Recipients of one copy with one reason share a letter.  They are settled when its file is
 * durable; until then the spool has the message, so that it is never nowhere.
 */
#include "relay/base/clock.h"
#include "relay/base/json.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/ipc/journal.h"
#include "relay/message/header.h"
#include "relay/walk/delivery.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	ASIDE_RETRY_MS = 60 * 1000, /* after a letter that could not be written */
	ASIDE_WAIT_MS = 1000,       /* while others are being written */
	RCPTS_RECORDED = 100
};

static const struct queue_rcpt *
first_waiting(const struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (e->rcpts[i].state == RCPT_TO_QUARANTINE)
			return &e->rcpts[i];
	return NULL;
}

/* Any leg of the copy knows where its bytes lie. */
static const struct queue_leg *
leg_of(const struct queue_entry *e, uint32_t copy)
{
	for (size_t i = 0; i < e->n_legs; i++)
		if (e->legs[i].copy == copy)
			return &e->legs[i];
	return NULL;
}

/* --- the letter -------------------------------------------------------------------------------- */

/* Into `room`; empty when there is none. */
static struct span
subject_of(
    struct delivery *d, const struct queue_entry *e, const struct queue_copy *c, struct buf *room)
{
	char *section = mem_alloc(c->prefix_n + 1);
	struct header_field field;

	if (spool_read(d->spool, e->msg, c->prefix, section, c->prefix_n) == 0 &&
	    header_find(span_of(section, c->prefix_n), SPAN("Subject"), &field))
		header_decode(field.value, room);
	mem_free(section);
	for (size_t i = 0; i < room->n; i++) /* it is shown in tables */
		if ((unsigned char)room->p[i] < ' ')
			room->p[i] = ' ';
	return span_take(buf_span(room), LETTER_SUBJECT_MAX);
}

/* Marks the recipients that share a letter with `first` and lists them. */
static size_t
mark_in_letter(struct queue_entry *e, const struct queue_rcpt *first, struct letter_rcpt *to)
{
	const struct queue_copy *copy = rcpt_copy(e, first);
	struct span why = rcpt_reply(e, first);
	size_t n = 0;

	for (size_t i = 0; i < e->n_rcpts; i++) {
		struct queue_rcpt *r = &e->rcpts[i];

		r->is_in_letter = r->state == RCPT_TO_QUARANTINE && rcpt_copy(e, r) == copy &&
				  span_eq(rcpt_reply(e, r), why);
		if (r->is_in_letter)
			to[n++] = (struct letter_rcpt){.address = r->address,
			    .gateway = e->legs[r->leg].gateway,
			    .notify = r->notify,
			    .orcpt = r->orcpt};
	}
	return n;
}

/* The number in a later letter's id grows with the recipients that are in quarantine for good: a file
 * that is written over after a crash holds only recipients that the spool has still. */
static struct span
name_letter(const struct queue_entry *e, char to[LETTER_ID_MAX + 1])
{
	size_t before = 0;

	for (size_t i = 0; i < e->n_rcpts; i++)
		before += e->rcpts[i].state == RCPT_QUARANTINED;
	return letter_name(span_str(e->id), before, to);
}

static void
defer(struct delivery *d, struct queue_entry *e, int64_t wait_ms)
{
	for (size_t i = 0; i < e->n_legs; i++) {
		struct queue_leg *leg = &e->legs[i];

		if (leg->state != LEG_IDLE || !leg_has(leg, RCPT_TO_QUARANTINE))
			continue;
		queue_defer(d->queue, leg, clock_mono_ms() + wait_ms);
	}
	/* If all its legs are busy with others: whoever ends settles the entry, and this goes on. */
}

/* False: another of this name is just being released. */
static bool
put_letter(struct delivery *d, struct queue_entry *e, const struct queue_rcpt *first)
{
	const struct queue_leg *leg = &e->legs[first->leg];
	const struct queue_copy *copy = leg_copy(leg);
	struct buf subject = BUF_INIT(HEADER_DECODED_MAX);
	struct quarantine_source from = {.copy = leg->copy};
	char id[LETTER_ID_MAX + 1];
	struct letter l = {.id = name_letter(e, id),
	    .flow = e->flow,
	    .from = e->from,
	    .envid = e->envid,
	    .received_ms = e->received_ms,
	    .stored_ms = clock_wall_ms(),
	    .is_8bit = e->is_8bit,
	    .is_utf8 = e->is_utf8,
	    .ret = e->ret,
	    .reason = rcpt_reply(e, first),
	    .section = copy->prefix_n,
	    .size = leg_size(leg)};

	if (release_is_under_way(d, l.id))
		return false;
	l.subject = subject_of(d, e, copy, &subject);
	l.rcpts = mem_array(e->n_rcpts, sizeof(*l.rcpts));
	l.n_rcpts = mark_in_letter(e, first, l.rcpts);
	(void)span_copy(span_str(e->id), from.about, sizeof(from.about)); /* as long as an id */
	must(
	    quarantine_put(d->quarantine, &from, &l) == 0); /* a head holds all that a queue does */
	e->is_letter_in_flight = true;
	mem_free(l.rcpts);
	buf_free(&subject);
	return true;
}

void
aside_begin(struct delivery *d, struct queue_entry *e)
{
	const struct queue_rcpt *first = first_waiting(e);

	if (first == NULL || e->is_letter_in_flight || e->msg == NULL || d->is_stopping)
		return;
	if (spool_verify(d->spool, e->msg) == -E_AGAIN)
		defer(d, e, 0); /* it is large: the next turn goes on; what is wrong on_read says */
	else if (!quarantine_has_room(d->quarantine) || !put_letter(d, e, first))
		defer(d, e, ASIDE_WAIT_MS);
}

/* --- what the quarantine asks and tells -------------------------------------------------------- */

static int
on_read(void *arg, const struct quarantine_source *from, uint64_t offset, void *to, size_t n)
{
	struct delivery *d = arg;
	const struct queue_entry *e = queue_find(d->queue, span_str(from->about));
	const struct queue_leg *leg = e != NULL ? leg_of(e, from->copy) : NULL;
	int r = 0;

	if (leg == NULL || e->msg == NULL || offset + n > leg_size(leg))
		return -E_NOT_FOUND; /* deleted meanwhile */
	if (offset == 0)
		do /* it has been, unless it is damaged or was moved meanwhile */
			r = spool_verify(d->spool, e->msg);
		while (r == -E_AGAIN);
	for (char *at = to; n > 0 && r == 0;) {
		size_t piece = n;
		uint64_t place = leg_place(leg, offset, &piece);

		r = spool_read(d->spool, e->msg, place, at, piece);
		at += piece;
		offset += piece;
		n -= piece;
	}
	return r < 0 ? -E_CORRUPT : 0;
}

static void
tell_journal(struct delivery *d, const struct queue_entry *e, struct span letter, struct span why)
{
	struct buf text = BUF_INIT(JOURNAL_EVENT_MAX);
	struct json j = {.to = &text};
	size_t n = 0;

	json_open(&j, NULL, '{');
	json_str(&j, "id", e->id);
	json_time(&j, "time", clock_wall_ms());
	json_str(&j, "event", "quarantined");
	json_text(&j, "letter", letter);
	json_text(&j, "from", e->from);
	json_open(&j, "to", '[');
	for (size_t i = 0; i < e->n_rcpts && n < RCPTS_RECORDED; i++)
		if (e->rcpts[i].is_in_letter) {
			json_text(&j, NULL, e->rcpts[i].address);
			n++;
		}
	json_close(&j, ']');
	json_int(&j, "size", (int64_t)e->size);
	json_text(&j, "reason", why);
	json_close(&j, '}');
	/* A journal that cannot keep up loses lines: mail goes on. */
	if (!text.failed && channel_has_room(d->journal))
		channel_send(d->journal, JOURNAL_EVENT, 0, buf_span(&text), NULL);
	buf_free(&text);
}

static void
tell(struct delivery *d, const struct queue_entry *e, struct span letter)
{
	const struct queue_rcpt *first = first_waiting(e);
	struct span why = {0};

	for (size_t i = 0; i < e->n_rcpts; i++)
		if (e->rcpts[i].is_in_letter)
			first = &e->rcpts[i];
	if (first != NULL)
		why = rcpt_reply(e, first);
	log_event(LOG_INFO, "quarantined", KV_STR("id", e->id), KV("letter", letter),
	    KV("from", e->from), KV("to", first != NULL ? first->address : why),
	    KV_INT("bytes", e->size), KV("why", why));
	tell_journal(d, e, letter, why);
}

/* Its bytes are gone or are not what they were: an admin has to look. */
static void
hold(struct delivery *d, struct queue_entry *e)
{
	d->on_problem(d->arg, "spool-read",
	    "a spooled message cannot be read back as it was written",
	    "it is held: see `postern queue list`; check the disk");
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (e->rcpts[i].is_in_letter)
			rcpt_set(
			    &e->rcpts[i], RCPT_HELD, SPAN("its bytes in the spool are damaged"));
}

static void
on_stored(void *arg, const struct quarantine_source *from, struct span id, const struct err *err)
{
	struct delivery *d = arg;
	struct queue_entry *e = queue_find(d->queue, span_str(from->about));

	if (e == NULL)
		return; /* deleted meanwhile */
	e->is_letter_in_flight = false;
	if (err == NULL)
		tell(d, e, id);
	else
		log_event(
		    LOG_ERROR, "not in quarantine", KV_STR("id", e->id), KV_STR("why", err->text));
	if (err != NULL && err->code == E_CORRUPT)
		hold(d, e);
	else if (err != NULL)
		defer(d, e, ASIDE_RETRY_MS);
	for (size_t i = 0; i < e->n_rcpts; i++) {
		struct queue_rcpt *r = &e->rcpts[i];

		if (err == NULL && r->is_in_letter && r->state == RCPT_TO_QUARANTINE)
			r->state = RCPT_QUARANTINED;
		r->is_in_letter = false;
	}
	if (err == NULL || err->code == E_CORRUPT)
		settle_entry(d, e);
	else
		deliver_rest(d, e);
}

static bool
is_in_use(void *arg, struct span id)
{
	return release_is_under_way(arg, id);
}

static void
on_expired(void *arg, struct span id, bool is_early)
{
	struct delivery *d = arg;
	struct buf text = BUF_INIT(JOURNAL_EVENT_MAX);
	struct json j = {.to = &text};
	const char *why = is_early ? "quarantine.max" : "quarantine.keep";

	json_open(&j, NULL, '{');
	json_text(&j, "id", id);
	json_time(&j, "time", clock_wall_ms());
	json_str(&j, "event", "quarantine-expired");
	json_str(&j, "reason", why);
	json_close(&j, '}');
	if (!text.failed && channel_has_room(d->journal)) /* as above */
		channel_send(d->journal, JOURNAL_EVENT, 0, buf_span(&text), NULL);
	buf_free(&text);
	log_event(LOG_INFO, "quarantine-expired", KV("id", id), KV_STR("why", why));
}

static void
on_problem(void *arg, const char *name, const char *what, const char *do_this)
{
	struct delivery *d = arg;

	d->on_problem(d->arg, name, what, do_this);
}

const struct quarantine_events aside_events = {.on_read = on_read,
    .on_stored = on_stored,
    .is_in_use = is_in_use,
    .on_expired = on_expired,
    .on_problem = on_problem};

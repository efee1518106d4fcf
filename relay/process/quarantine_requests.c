#include "relay/process/quarantine_requests.h"
#include "relay/base/clock.h"
#include "relay/base/json.h"
#include "relay/base/log.h"
#include "relay/ipc/journal.h"
#include "relay/quarantine/lister.h"

#include <stdio.h>

enum {
	LIST_SLICE = 64, /* letters read in one task */
	LINE_MAX_BYTES = 16 * 1024 * 1024,
	ANSWER_MAX_BYTES =
	    8 * 1024 * 1024, /* waiting in our channel: more is read when it has gone */
	WAIT_MS = 20,
	SENTENCE_MAX = 512
};

/* What all of them share. */
struct request {
	struct task task;
	struct role *role;
	struct delivery *d;
	uint64_t id;
	struct timer *wait;
	char letter[LETTER_ID_MAX + 1];
	struct buf out; /* made by the task, sent by the loop */
	int result;
	/* list */
	struct lister lister;
	struct letter_filter filter;
	char *words[CONTROL_WORDS_MAX]; /* what the filter's spans point into */
	size_t n_words;
	uint64_t n_found;
	bool is_started, is_over;
	/* show */
	struct taken taken;
	bool is_raw;
	uint64_t at;
	/* delete */
	char who[64];
	bool is_gone;
};

static const struct shelf *
shelf_of(const struct request *r)
{
	return quarantine_shelf(r->d->quarantine);
}

static struct request *
request_new(struct role *role, struct delivery *d, uint64_t id, struct span letter)
{
	struct request *r = mem_alloc(sizeof(*r));

	r->role = role;
	r->d = d;
	r->id = id;
	r->taken.fd = -1;
	r->out = BUF_INIT(LINE_MAX_BYTES);
	(void)span_copy(letter, r->letter, sizeof(r->letter)); /* none is longer: then not found */
	return r;
}

static void
request_free(struct request *r)
{
	timer_cancel(&r->wait);
	for (size_t i = 0; i < r->n_words; i++)
		mem_free(r->words[i]);
	lister_free(&r->lister);
	shelf_taken_free(shelf_of(r), &r->taken);
	buf_free(&r->out);
	mem_free(r);
}

static void
end(struct request *r, int status, struct span text)
{
	role_reply_end(r->role, r->id, status, text);
	request_free(r);
}

static void
push(struct request *r)
{
	helper_push(quarantine_helper(r->d->quarantine), &r->task);
}

static void on_wait(void *arg);

/* The next slice, once what was read before is on its way. */
static void
go_on(struct request *r)
{
	if (r->d->is_stopping)
		end(r, EXIT_TEMPFAIL, SPAN("the relay is being stopped"));
	else if (channel_queued(r->role->control) > ANSWER_MAX_BYTES)
		loop_timer(r->role->loop, &r->wait, WAIT_MS, on_wait, r);
	else
		push(r);
}

static void
on_wait(void *arg)
{
	go_on(arg);
}

static void
end_unread(struct request *r)
{
	char text[SENTENCE_MAX];

	if (r->result == -E_NOT_FOUND)
		(void)snprintf(text, sizeof(text),
		    "no message %s in quarantine; `postern quarantine list` shows what is there",
		    r->letter);
	else
		(void)snprintf(text, sizeof(text),
		    "%s cannot be read as it was written: %s; check the disk", r->letter,
		    err_name(-r->result));
	end(r, r->result == -E_IO ? EXIT_TEMPFAIL : EXIT_NO, span_str(text));
}

/* --- list -------------------------------------------------------------------------------------- */

static void
list_run(struct task *t)
{
	struct request *r = (struct request *)t;
	int64_t keep_ms = quarantine_keep_ms(r->d->quarantine);
	struct span id;

	if (!r->is_started) {
		r->is_started = true;
		r->result = lister_start(&r->lister, shelf_of(r), false);
	}
	for (int i = 0; i < LIST_SLICE && r->result == 0 && !r->is_over; i++) {
		struct letter l;

		r->is_over = r->n_found == r->filter.limit || !lister_next(&r->lister, &id);
		if (r->is_over || shelf_read(r->lister.shelf, id, &l) < 0)
			continue; /* gone meanwhile, or damaged: the start's count has said so */
		if (letter_filter_matches(&r->filter, &l)) {
			letter_show(&r->out, &l, keep_ms, false);
			r->n_found++;
		}
		letter_free(&l);
	}
}

static void
list_done(struct task *t)
{
	struct request *r = (struct request *)t;

	if (r->result < 0) {
		end(r, EXIT_TEMPFAIL,
		    SPAN("the quarantine's folder cannot be read; check the disk"));
		return;
	}
	role_reply(r->role, r->id, buf_span(&r->out));
	buf_clear(&r->out);
	if (r->is_over)
		end(r, EXIT_OK, (struct span){0});
	else
		go_on(r);
}

static void
list(struct role *role, struct delivery *d, uint64_t id, const struct control_request *words)
{
	struct request *r = request_new(role, d, id, (struct span){0});
	struct span kept[CONTROL_WORDS_MAX];
	struct err err = {0};

	for (size_t i = 2; i < words->n_words; i++) {
		r->words[r->n_words] = mem_dup(words->words[i]);
		kept[r->n_words] = span_of(r->words[r->n_words], words->words[i].n);
		r->n_words++;
	}
	if (letter_filter_parse(kept, r->n_words, clock_wall_ms(), &r->filter, &err) < 0) {
		end(r, EXIT_USAGE, span_str(err.text));
		return;
	}
	r->task = (struct task){.run = list_run, .done = list_done};
	push(r);
}

/* --- show -------------------------------------------------------------------------------------- */

static void
show_metadata(struct request *r)
{
	struct json j = {.to = &r->out, .needs_comma = true};

	letter_show(&r->out, &r->taken.letter, quarantine_keep_ms(r->d->quarantine), true);
	r->out.n -= 2; /* the end of the object and of the line: one more member */
	json_text(&j, "header", buf_span(&r->taken.section));
	json_close(&j, '}');
	(void)buf_add_char(&r->out, '\n'); /* sticky: show_done tests */
}

/* The next piece of the message as it is. */
static void
show_bytes(struct request *r)
{
	char *room = buf_room(&r->out, SHELF_CHUNK);
	ssize_t n = shelf_read_at(shelf_of(r), &r->taken, r->at, room, SHELF_CHUNK);

	if (n < 0) {
		r->result = (int)n;
		return;
	}
	r->out.n += (size_t)n;
	r->at += (uint64_t)n;
}

static void
show_run(struct task *t)
{
	struct request *r = (struct request *)t;

	if (!r->is_started) {
		r->is_started = true;
		r->result = shelf_take(shelf_of(r), span_str(r->letter), &r->taken);
	}
	if (r->result < 0)
		return;
	if (r->is_raw)
		show_bytes(r);
	else
		show_metadata(r);
	r->is_over = !r->is_raw || r->at == r->taken.letter.size;
}

static void
show_done(struct task *t)
{
	struct request *r = (struct request *)t;

	if (r->result == 0 && r->out.failed)
		r->result = -E_LIMIT;
	if (r->result < 0) {
		end_unread(r);
		return;
	}
	role_reply(r->role, r->id, buf_span(&r->out));
	buf_clear(&r->out);
	if (r->is_over)
		end(r, EXIT_OK, (struct span){0});
	else
		go_on(r);
}

static void
show(struct role *role, struct delivery *d, uint64_t id, struct span letter, bool is_raw)
{
	struct request *r = request_new(role, d, id, letter);

	r->is_raw = is_raw;
	r->task = (struct task){.run = show_run, .done = show_done};
	push(r);
}

/* --- delete ------------------------------------------------------------------------------------ */

static void
delete_run(struct task *t)
{
	struct request *r = (struct request *)t;

	r->result = shelf_remove(shelf_of(r), span_str(r->letter), true);
	r->is_gone = r->result == 0 || !shelf_has(shelf_of(r), span_str(r->letter));
}

static void
delete_done(struct task *t)
{
	struct request *r = (struct request *)t;
	struct buf text = BUF_INIT(JOURNAL_EVENT_MAX);
	struct json j = {.to = &text};

	if (r->is_gone)
		quarantine_gone(r->d->quarantine, span_str(r->letter));
	if (r->result < 0) {
		buf_free(&text);
		end_unread(r);
		return;
	}
	json_open(&j, NULL, '{');
	json_str(&j, "id", r->letter);
	json_time(&j, "time", clock_wall_ms());
	json_str(&j, "event", "quarantine-deleted");
	json_str(&j, "who", r->who);
	json_close(&j, '}');
	if (!text.failed && channel_has_room(r->d->journal))
		channel_send(r->d->journal, JOURNAL_EVENT, 0, buf_span(&text), NULL);
	buf_free(&text);
	log_event(LOG_INFO, "quarantine-deleted", KV_STR("id", r->letter), KV_STR("who", r->who));
	end(r, EXIT_OK, (struct span){0});
}

static void
delete_letter(
    struct role *role, struct delivery *d, uint64_t id, struct span letter, struct span who)
{
	struct request *r;

	if (release_is_under_way(d, letter)) {
		role_reply_end(role, id, EXIT_TEMPFAIL,
		    SPAN("it is being released; look at it again in a moment"));
		return;
	}
	r = request_new(role, d, id, letter);
	(void)span_copy(who, r->who, sizeof(r->who)); /* cut is enough to know */
	r->task = (struct task){.run = delete_run, .done = delete_done};
	push(r);
}

/* --- release ----------------------------------------------------------------------------------- */

static void
on_released(void *arg, uint64_t request, int status, struct span text)
{
	role_reply_end(arg, request, status, text);
}

static void
release(struct role *role, struct delivery *d, uint64_t id, const struct control_request *words)
{
	struct span to[CONTROL_WORDS_MAX];
	struct release_order o = {
	    .id = words->words[2], .to = to, .who = words->asker, .request = id};

	for (size_t i = 3; i < words->n_words; i += 2) {
		if (!span_eq(words->words[i], SPAN("--to")) || i + 1 == words->n_words) {
			role_reply_end(role, id, EXIT_USAGE,
			    SPAN("say quarantine release ID [--to ADDRESS]..."));
			return;
		}
		to[o.n_to++] = words->words[i + 1];
	}
	release_begin(d, &o, on_released, role);
}

/* --- which of them ----------------------------------------------------------------------------- */

void
quarantine_request(
    struct role *role, struct delivery *d, uint64_t id, const struct control_request *r)
{
	struct span verb = r->n_words > 1 ? r->words[1] : SPAN("list");
	bool is_raw = r->n_words == 4 && span_eq(r->words[3], SPAN("--raw"));

	if (span_eq(verb, SPAN("list")))
		list(role, d, id, r);
	else if (span_eq(verb, SPAN("show")) && (r->n_words == 3 || is_raw))
		show(role, d, id, r->words[2], is_raw);
	else if (span_eq(verb, SPAN("delete")) && r->n_words == 3)
		delete_letter(role, d, id, r->words[2], r->asker);
	else if (span_eq(verb, SPAN("release")) && r->n_words >= 3)
		release(role, d, id, r);
	else
		role_reply_end(role, id, EXIT_USAGE,
		    SPAN("say quarantine list, quarantine show ID [--raw], quarantine release ID "
			 "[--to ADDRESS]... or quarantine delete ID"));
}

void
quarantine_status(struct role *role, struct delivery *d, uint64_t id)
{
	struct quarantine_totals totals = quarantine_totals(d->quarantine);
	struct buf text = BUF_INIT(1024);
	struct json j = {.to = &text};

	json_open(&j, NULL, '{');
	json_open(&j, "quarantine", '{');
	json_int(&j, "messages", (int64_t)totals.messages);
	json_int(&j, "bytes", (int64_t)totals.bytes);
	json_int(&j, "max", (int64_t)totals.max);
	if (totals.oldest_ms >= 0)
		json_time(&j, "oldest", totals.oldest_ms);
	else
		json_none(&j, "oldest");
	json_bool(&j, "is_counting", totals.is_counting);
	json_close(&j, '}');
	json_close(&j, '}');
	role_reply(role, id, buf_span(&text)); /* a few numbers: it fits */
	buf_free(&text);
}

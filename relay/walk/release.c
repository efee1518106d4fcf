/*
 * release.c - a letter leaves the quarantine for its recipients.
 *
 * It becomes a message of the spool, ID-RN, behind the filters that held it: all of them ran before
 * it was put aside.  Only when the spool has it for good does its file go, so that a crash between
 * the two delivers twice at worst.  Nobody is told when a gateway does not want it either: it comes
 * back into quarantine.
 */
#include "relay/base/clock.h"
#include "relay/base/json.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/ipc/journal.h"
#include "relay/message/edit.h"
#include "relay/spool/plant.h"
#include "relay/walk/delivery.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { SENTENCE_MAX = 512, WHO_MAX = 64, COUNT_MAX = 1000 };

struct release {
	struct task task;
	struct list node; /* in delivery->releases */
	struct delivery *d;
	char id[LETTER_ID_MAX + 1], spooled_id[SPOOL_ID_MAX + 1];
	char who[WHO_MAX];
	char **to;
	size_t n_to;
	struct taken taken;
	struct letter_rcpt *leaving, *staying;
	size_t n_leaving, n_staying;
	int result;
	bool is_gone; /* its file */
	uint64_t request;
	release_done *on_done;
	void *arg;
};

static void
release_free(struct release *r)
{
	shelf_taken_free(quarantine_shelf(r->d->quarantine), &r->taken);
	for (size_t i = 0; i < r->n_to; i++)
		mem_free(r->to[i]);
	mem_free(r->to);
	mem_free(r->leaving);
	mem_free(r->staying);
	list_remove(&r->node);
	mem_free(r);
}

static void __attribute__((format(printf, 3, 4)))
end(struct release *r, int status, const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* a cut sentence is still one */
	va_end(ap);
	if (!r->d->is_stopping)
		r->on_done(r->arg, r->request, status, span_str(text));
	release_free(r);
}

static void
end_unread(struct release *r)
{
	if (r->result == -E_NOT_FOUND)
		end(r, EXIT_NO,
		    "no message %s in quarantine; `postern quarantine list` shows what is there",
		    r->id);
	else if (r->result == -E_CORRUPT)
		end(r, EXIT_NO,
		    "the file of %s is not as it was written; check the disk, and look at it in "
		    "state_dir/quarantine",
		    r->id);
	else
		end(r, EXIT_TEMPFAIL, "%s cannot be read: %s; check the disk and try again", r->id,
		    err_name(-r->result));
}

/* --- who gets it ------------------------------------------------------------------------------- */

static bool
is_wanted(const struct release *r, struct span address)
{
	for (size_t i = 0; i < r->n_to; i++)
		if (span_eq_nocase(span_str(r->to[i]), address))
			return true;
	return r->n_to == 0;
}

static bool
is_rcpt(const struct letter *l, struct span address)
{
	for (size_t i = 0; i < l->n_rcpts; i++)
		if (span_eq_nocase(l->rcpts[i].address, address))
			return true;
	return false;
}

/* An address of the order that is none of the letter's recipients; NULL: all are. */
static const char *
stranger(const struct release *r)
{
	for (size_t i = 0; i < r->n_to; i++)
		if (!is_rcpt(&r->taken.letter, span_str(r->to[i])))
			return r->to[i];
	return NULL;
}

static void
part(struct release *r)
{
	const struct letter *l = &r->taken.letter;

	r->leaving = mem_array(l->n_rcpts, sizeof(*r->leaving));
	r->staying = mem_array(l->n_rcpts, sizeof(*r->staying));
	for (size_t i = 0; i < l->n_rcpts; i++)
		if (is_wanted(r, l->rcpts[i].address))
			r->leaving[r->n_leaving++] = l->rcpts[i];
		else
			r->staying[r->n_staying++] = l->rcpts[i];
}

/* The message that a letter was made of: its id, without the -N of a later letter. */
static struct span
origin_of(struct span id)
{
	size_t n = id.n;

	while (n > 0 && id.p[n - 1] >= '0' && id.p[n - 1] <= '9')
		n--;
	return n > 1 && n < id.n && id.p[n - 1] == '-' ? span_take(id, n - 1) : id;
}

static bool
is_leaving(const struct release *r, struct span address)
{
	for (size_t i = 0; i < r->n_leaving; i++)
		if (span_eq_nocase(r->leaving[i].address, address))
			return true;
	return false;
}

/* A copy that lacks parts is beside its original's letter; it comes to one of its own only when no gateway
 * takes it. */
static bool
may_be_in_letter(const struct queue_entry *e, const struct queue_rcpt *r)
{
	bool has_failed = r->state == RCPT_FAILED || r->state == RCPT_TO_QUARANTINE;

	return rcpt_is_open(r) && (has_failed || rcpt_copy(e, r)->n_cuts == 0);
}

/* Whether the spool still has those who leave, or is about to write a letter of this name: so it is
 * for a moment after each letter, after a crash, and while the disk refuses letters. */
static bool
is_unsettled_in(struct release *r, struct span id)
{
	struct queue_entry *e = queue_find(r->d->queue, id);
	bool is_so = e != NULL ? e->is_letter_in_flight : queue_has(r->d->queue, id);

	for (size_t i = 0; e != NULL && i < e->n_rcpts && !is_so; i++)
		is_so = may_be_in_letter(e, &e->rcpts[i]) && is_leaving(r, e->rcpts[i].address);
	if (e != NULL)
		deliver_rest(r->d, e);
	return is_so;
}

static bool
is_unsettled(struct release *r)
{
	struct span id = span_str(r->id), origin = origin_of(id);

	return is_unsettled_in(r, id) || (origin.n < id.n && is_unsettled_in(r, origin));
}

/* --- into the spool ---------------------------------------------------------------------------- */

static bool
is_letter(const struct release *r, struct span id)
{
	return span_eq(id, span_str(r->id)) ||
	       (!PLANTED(PLANT_LETTER_NAME_TAKEN) && quarantine_has(r->d->quarantine, id));
}

/* What follows the last -R of an id; 0: nothing does. */
static unsigned
number_of(struct span mark)
{
	unsigned n = 0;

	for (size_t i = 0; i < mark.n && mark.p[i] >= '0' && mark.p[i] <= '9' && n < COUNT_MAX; i++)
		n = n * 10 + (unsigned)(mark.p[i] - '0');
	return n;
}

/* ID-RN with the first N that is not in use; what was released before loses its own -RN and goes on
 * counting from there. */
static bool
name_message(struct release *r)
{
	struct span base = span_str(r->id);
	const char *mark = memmem(base.p, base.n, "-R", 2);
	unsigned n = (unsigned)r->taken.letter.releases % COUNT_MAX;

	if (mark != NULL) {
		n += number_of(span_skip(base, (size_t)(mark - base.p) + 2));
		base = span_take(base, (size_t)(mark - base.p));
	}
	for (unsigned i = 1; i <= COUNT_MAX; i++) {
		int length = snprintf(
		    r->spooled_id, sizeof(r->spooled_id), "%.*s-R%u", SPAN_ARG(base), n + i);
		struct span id = span_str(r->spooled_id);

		if (length >= (int)sizeof(r->spooled_id))
			return false;
		/* Should it come back into quarantine, its letter has this name: one that lies
		 * there already would be written over. */
		if (!queue_has(r->d->queue, id) && !intake_has(r->d->intake, id) &&
		    !is_letter(r, id))
			return true;
	}
	return false;
}

/* The header section as it leaves: a flow that shows nobody our tags does not show them now. */
static int
section_of(const struct release *r, struct buf *to)
{
	const struct conf_flow *flow = config_flow(r->d->config, r->taken.letter.flow);
	struct span section = buf_span(&r->taken.section);

	if (flow == NULL || !flow->strip_tags)
		return buf_add_span(to, section);
	return edit_strip_foreign(section, span_str(r->d->config->hostname), to);
}

static int
spool_it(struct release *r)
{
	const struct letter *l = &r->taken.letter;
	struct commit_rcpt *rcpts = mem_array(r->n_leaving, sizeof(*rcpts));
	struct buf section = BUF_INIT(COMMIT_HEADER_MAX);
	struct commit_copy copy = {.fate = COPY_DELIVER, .is_tagged = true /* no report of it */};
	struct envelope envelope = {.kind = MAIL_RELAYED,
	    .flow = l->flow,
	    .from = l->from,
	    .is_8bit = l->is_8bit,
	    .is_utf8 = l->is_utf8,
	    .ret = l->ret,
	    .envid = l->envid,
	    .received_ms = clock_wall_ms(), /* its time in the queue begins now */
	    .copies = &copy,
	    .n_copies = 1,
	    .rcpts = rcpts,
	    .n_rcpts = r->n_leaving};
	struct arrival a = {.is_release = true, .owner = r};
	struct intake_body body = {.fd = fcntl(r->taken.fd, F_DUPFD_CLOEXEC, 0),
	    .skip = l->head + l->section,
	    .size = l->head + l->size};
	int rc = body.fd >= 0 ? section_of(r, &section) : -E_IO;

	for (size_t i = 0; i < r->n_leaving; i++)
		rcpts[i] = (struct commit_rcpt){.address = r->leaving[i].address,
		    .gateway = r->leaving[i].gateway,
		    .notify = r->leaving[i].notify,
		    .orcpt = r->leaving[i].orcpt};
	copy.prefix = buf_span(&section);
	if (rc >= 0)
		rc = intake_put(
		    r->d->intake, r->d->spool, &a, span_str(r->spooled_id), &envelope, &body);
	else if (body.fd >= 0)
		(void)close(body.fd); /* only read from */
	buf_free(&section);
	mem_free(rcpts);
	return rc < 0 ? rc : 0;
}

static void
leave_run(struct task *t)
{
	struct release *r = (struct release *)t;
	const struct shelf *s = quarantine_shelf(r->d->quarantine);
	struct letter left = r->taken.letter;

	if (r->n_staying == 0 || PLANTED(PLANT_LETTER_STAYERS_GONE)) {
		r->result = shelf_remove(s, span_str(r->id), !PLANTED(PLANT_LETTER_GONE_UNSYNCED));
		r->is_gone = r->result == 0 || !shelf_has(s, span_str(r->id));
		return;
	}
	left.rcpts = r->staying;
	left.n_rcpts = r->n_staying;
	left.releases++;
	r->result = shelf_rewrite(s, &r->taken, &left);
}

static void
take_run(struct task *t)
{
	struct release *r = (struct release *)t;

	r->result = shelf_take(quarantine_shelf(r->d->quarantine), span_str(r->id), &r->taken);
}

/* Until the start's count knows all names: each time round, the helper counts some more. */
static void
wait_run(struct task *t)
{
	(void)t;
}

static void
take_done(struct task *t)
{
	struct release *r = (struct release *)t;
	const char *unknown;
	int rc;

	if (r->result == 0 && quarantine_totals(r->d->quarantine).is_counting &&
	    !r->d->is_stopping) {
		r->task.run = wait_run;
		helper_push(quarantine_helper(r->d->quarantine), &r->task);
		return;
	}
	if (r->result < 0) {
		end_unread(r);
		return;
	}
	unknown = stranger(r);
	if (unknown != NULL) {
		end(r, EXIT_NO,
		    "%.100s is none of the recipients of %s; `postern quarantine show %s`"
		    " lists them",
		    unknown, r->id, r->id);
		return;
	}
	part(r);
	if (is_unsettled(r)) {
		end(r, EXIT_TEMPFAIL,
		    "%s is still on its way into quarantine; try again in a minute", r->id);
		return;
	}
	if (r->d->is_stopping || !spool_has_room(r->d->spool, r->taken.letter.size) ||
	    queue_count(r->d->queue) + intake_count(r->d->intake) >= QUEUE_MESSAGES_MAX) {
		end(r, EXIT_TEMPFAIL, "no room in the queue; free disk space and try again");
		return;
	}
	rc = name_message(r) ? spool_it(r) : -E_LIMIT;
	if (rc == 0 && PLANTED(PLANT_LETTER_GONE_EARLY))
		leave_run(&r->task);
	if (rc < 0)
		end(r, EXIT_TEMPFAIL, "%s cannot be put into the queue: %s", r->id, err_name(-rc));
}

/* --- out of quarantine ------------------------------------------------------------------------- */

static void
tell_journal(const struct release *r)
{
	struct buf text = BUF_INIT(JOURNAL_EVENT_MAX);
	struct json j = {.to = &text};

	json_open(&j, NULL, '{');
	json_str(&j, "id", r->id);
	json_time(&j, "time", clock_wall_ms());
	json_str(&j, "event", "released");
	json_str(&j, "as", r->spooled_id);
	json_text(&j, "from", r->taken.letter.from);
	json_open(&j, "to", '[');
	for (size_t i = 0; i < r->n_leaving && text.n < JOURNAL_EVENT_MAX / 2; i++)
		json_text(&j, NULL, r->leaving[i].address);
	json_close(&j, ']');
	json_str(&j, "who", r->who);
	json_close(&j, '}');
	/* A journal that cannot keep up loses lines: mail goes on. */
	if (!text.failed && channel_has_room(r->d->journal))
		channel_send(r->d->journal, JOURNAL_EVENT, 0, buf_span(&text), NULL);
	buf_free(&text);
	log_event(LOG_INFO, "released", KV_STR("id", r->id), KV_STR("as", r->spooled_id),
	    KV_INT("rcpts", r->n_leaving), KV_STR("who", r->who));
}

static void
leave_done(struct task *t)
{
	struct release *r = (struct release *)t;

	if (r->is_gone)
		quarantine_gone(r->d->quarantine, span_str(r->id));
	if (r->result == 0 || r->result == -E_NOT_FOUND)
		end(r, EXIT_OK, "%s", "");
	else if (r->n_staying > 0)
		end(r, EXIT_TEMPFAIL,
		    "%s is on its way to those asked for as %s, but still names them in "
		    "quarantine: %s; release it with --to for others only",
		    r->id, r->spooled_id, err_name(-r->result));
	else
		end(r, EXIT_TEMPFAIL,
		    "%s is on its way to its recipients as %s, but could not be taken out of "
		    "quarantine: %s; delete it there",
		    r->id, r->spooled_id, err_name(-r->result));
}

void
release_arrived(struct delivery *d, struct arrival *a, const struct err *err)
{
	struct release *r = a->owner;

	if (err != NULL) {
		end(r, EXIT_TEMPFAIL, "%s could not be put into the queue: %s; try again", r->id,
		    err->text);
		return;
	}
	tell_journal(r);
	deliver_start(d, a->entry);
	r->task = (struct task){.run = leave_run, .done = leave_done};
	helper_push(quarantine_helper(d->quarantine), &r->task);
}

/* --- the order --------------------------------------------------------------------------------- */

bool
release_is_under_way(const struct delivery *d, struct span id)
{
	LIST_FOR (it, &d->releases)
		if (span_eq(span_str(LIST_ENTRY(it, const struct release, node)->id), id))
			return true;
	return false;
}

void
release_begin(struct delivery *d, const struct release_order *o, release_done *on_done, void *arg)
{
	struct release *r;

	if (!letter_id_is_fine(o->id)) {
		on_done(arg, o->request, EXIT_NO,
		    SPAN("that is no id; `postern quarantine list` shows those that are there"));
		return;
	}
	if (release_is_under_way(d, o->id)) {
		on_done(arg, o->request, EXIT_TEMPFAIL, SPAN("it is being released already"));
		return;
	}
	r = mem_alloc(sizeof(*r));
	r->task = (struct task){.run = take_run, .done = take_done};
	r->d = d;
	r->taken.fd = -1;
	(void)span_copy(o->id, r->id, sizeof(r->id));    /* it fits, being fine */
	(void)span_copy(o->who, r->who, sizeof(r->who)); /* cut is enough to know */
	r->to = mem_array(o->n_to, sizeof(*r->to));
	for (size_t i = 0; i < o->n_to; i++)
		r->to[r->n_to++] = mem_dup(o->to[i]);
	r->request = o->request;
	r->on_done = on_done;
	r->arg = arg;
	list_append(&d->releases, &r->node);
	helper_push(quarantine_helper(d->quarantine), &r->task);
}

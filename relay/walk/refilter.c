/*
 * refilter.c - a message that was held is filtered again: a session that nobody is connected to, with
 * the facts of the one it came in, takes it through steps 5 and 6 once more.
 *
 * All stages are decided anew, by the policy of today: a rule that held it may be gone, and one that
 * refuses its client may be new.  What a client did and cannot be asked for again (its rate, the
 * greylist, whether it waited) counts for nothing.  The spool does with the answer what it says.
 */
#include "policy/recipient/route.h"
#include "relay/base/err.h"
#include "relay/base/log.h"
#include "relay/ipc/held.h"
#include "relay/message/header.h"
#include "relay/walk/findings.h"
#include "relay/walk/walk.h"

#include <unistd.h>

enum { REFILTER_MEMORY = 32 * 1024 * 1024 };

struct refilter {
	struct session session;
	struct list node;          /* front->refilters */
	uint64_t job;              /* the spool's number */
	struct conf_listen listen; /* nothing but its flow */
	struct span received, tls; /* in the transaction's arena, as what follows */
	struct span id, part;      /* as in struct held */
	bool is_last;
};

static void
refilter_free(struct refilter *r)
{
	struct session *s = &r->session;

	list_remove(&r->node);
	inquire_cancel(s);
	session_end_transaction(s);
	pool_release_policy(s->front->workers, snapshot_version(s->snapshot));
	snapshot_release(&s->snapshot);
	mem_free(s->verdict);
	mem_free(s->answers);
	mem_free(s->user);
	mem_free(r);
}

static void
put_back(struct front *f, uint64_t job)
{
	spool_client_tell(f->spool, SPOOL_PUT_BACK, job, (struct span){0});
}

/* --- the session as it was --------------------------------------------------------------------- */

_Static_assert((int)HELD_LIST_OF_LAST == (int)LIST_OF_URL &&
		   (int)HELD_SENDER_LAST == (int)SENDER_PRIVATE &&
		   (int)HELD_LIST_STATE_LAST == (int)LIST_ERROR,
    "what is kept fits its bounds");

static bool
is_same_list(const struct held_list *kept, const struct dns_list *list)
{
	return kept->of == (uint8_t)list->of && span_eq(kept->zone, list->zone);
}

/* What the lists have said, in the order of today's; one that has been found out since is not
 * believed, and one that was not asked then is unknown.  Those of URLs are asked again. */
static void
set_answers(struct session *s, const struct held_facts *facts)
{
	size_t n = snapshot_list_count(s->snapshot);

	if (n == 0)
		return;
	s->answers = mem_array(n, sizeof(*s->answers)); /* LIST_UNKNOWN */
	for (size_t i = 0; i < n; i++) {
		const struct dns_list *list = snapshot_list(s->snapshot, i);
		const struct list_watch *watch =
		    list->of == LIST_OF_CLIENT ? s->front->lists : s->front->domain_lists;

		for (size_t k = 0; k < facts->n_lists; k++)
			if (is_same_list(&facts->lists[k], list) && list->of != LIST_OF_URL &&
			    !list_watch_is_off(watch, list->zone))
				s->answers[i] = (struct list_answer){
				    .state = (enum list_state)facts->lists[k].state,
				    .address = facts->lists[k].address,
				    .name =
					arena_copy(&s->transaction->memory, facts->lists[k].name)};
	}
}

static void
set_session(struct refilter *r, struct front *f, const struct held *h)
{
	struct session *s = &r->session;
	const struct held_facts *facts = &h->facts;

	s->front = f;
	s->again = r;
	s->state = SESSION_WAITING;
	s->listen = &r->listen;
	s->connection.fd = -1;
	s->snapshot = snapshot_hold(f->snapshot);
	pool_hold_policy(f->workers, snapshot_version(s->snapshot));
	s->peer = s->client = facts->client;
	s->has_host = facts->has_host;
	(void)span_copy(facts->host, s->host, sizeof(s->host)); /* as long as it was */
	(void)span_copy(facts->helo, s->helo, sizeof(s->helo));
	s->user = facts->user.n > 0 ? mem_dup(facts->user) : NULL;
}

static struct rcpt
rcpt_of(struct session *s, const struct commit_rcpt *from)
{
	struct arena *memory = &s->transaction->memory;
	struct conf_gateway *gateway = arena_alloc(memory, sizeof(*gateway));
	struct route route;

	/* Its way was found when it came, and stays: step 7 knows what to do when it is gone. */
	gateway->name = arena_copy(memory, from->gateway).p;
	(void)route_find(
	    s->front->config, s->listen->flow, s->front->recipients, from->address, &route);
	return (struct rcpt){.address = arena_copy(memory, from->address),
	    .gateway = gateway,
	    .is_postmaster = route.is_postmaster,
	    .notify = from->notify,
	    .orcpt = arena_copy(memory, from->orcpt)};
}

static void
set_transaction(struct refilter *r, const struct held *h, int fd)
{
	struct session *s = &r->session;
	struct transaction *t = mem_alloc(sizeof(*t));

	s->transaction = t;
	arena_init(&t->memory, REFILTER_MEMORY);
	if (!id_parse(span_take(h->id, ID_LENGTH), &t->id))
		t->id = id_new(); /* the queue had to rename it */
	t->from = arena_copy(&t->memory, h->from);
	t->is_8bit = h->is_8bit;
	t->has_said_utf8 = t->is_utf8 = h->is_utf8;
	t->sender = (enum sender_fact)h->facts.sender;
	content_start(&t->content, s->front->config->hostname);
	content_adopt(&t->content, fd);
	t->content.size = h->size;
	t->content.header = h->section;
	t->content.is_header_done = true;
	t->scan.body_fd = -1;
	r->received = arena_copy(&t->memory, h->received);
	r->tls = arena_copy(&t->memory, h->facts.tls);
	r->id = arena_copy(&t->memory, h->id);
	r->part = arena_copy(&t->memory, h->part);
	r->is_last = h->is_last;
	t->rcpts = mem_array(h->n_rcpts, sizeof(*t->rcpts));
	for (size_t i = 0; i < h->n_rcpts; i++)
		t->rcpts[t->n_rcpts++] = rcpt_of(s, &h->rcpts[i]);
}

/* A file that may change under us, or is not as long as it says, is none. */
static int
read_section(struct content *c)
{
	struct span whole;
	int r = channel_map(c->fd, (size_t)c->size, &whole);

	if (r == 0 && whole.n != c->size)
		r = -E_CORRUPT;
	if (r == 0)
		r = buf_add_span(&c->section, span_take(whole, (size_t)c->header));
	channel_unmap(&whole);
	return r;
}

/* --- the stages before the content -------------------------------------------------------------- */

static void
decide_envelope(struct session *s)
{
	struct transaction *t = s->transaction;
	struct facts facts = session_facts(s);
	struct verdict v = {0};

	session_decide(s, STAGE_CONNECT, &facts, &v);
	session_decide(s, STAGE_HELO, &facts, &v);
	facts.sender = t->sender;
	session_decide(s, STAGE_MAIL, &facts, &v);
	t->verdict = v;
	for (size_t i = 0; i < t->n_rcpts; i++) {
		struct rcpt *r = &t->rcpts[i];

		v = t->verdict;
		facts.to = r->address;
		if (r->is_postmaster)
			findings_spare_postmaster(&v);
		else
			session_decide(s, STAGE_RCPT, &facts, &v);
		if (memcmp(&v, &t->verdict, sizeof(v)) != 0)
			r->verdict = kept_new(&v);
	}
}

void
refilter_begin(struct front *f, uint64_t job, struct span payload, int fd)
{
	static struct held_room room; /* large; used during this call */
	const struct conf_flow *flow;
	struct refilter *r;
	struct held h;

	flow = held_get(payload, &h, &room) < 0 ? NULL : config_flow(f->config, h.flow);
	if (flow == NULL || f->is_draining) {
		if (fd >= 0)
			(void)close(fd); /* memory only */
		put_back(f, job);
		return;
	}
	r = mem_alloc(sizeof(*r));
	r->job = job;
	r->listen.flow = flow;
	list_append(&f->refilters, &r->node);
	set_session(r, f, &h);
	set_transaction(r, &h, fd);
	set_answers(&r->session, &h.facts);
	if (read_section(&r->session.transaction->content) < 0) {
		refilter_free(r);
		put_back(f, job);
		return;
	}
	decide_envelope(&r->session);
	filter_scan(&r->session);
}

/* --- its end ------------------------------------------------------------------------------------ */

void
refilter_answer(struct session *s, struct commit *c, const uint32_t *asked)
{
	struct transaction *t = s->transaction;
	struct refilter *r = s->again;
	struct replacement replacement = {.asked = asked, .is_deadly = t->scan.n_deaths > 0};
	struct buf b = BUF_INIT(CHANNEL_PAYLOAD_MAX);

	for (size_t i = 0; i < t->n_groups; i++)
		record_message(s, "refiltered", &t->groups[i].verdict, 250, &t->groups[i]);
	c->is_inline = false; /* the spool has the bytes */
	c->body = (struct span){0};
	c->skip = t->content.header;
	c->body_size = t->content.size;
	replacement.commit = *c;
	replacement_put(&b, &replacement);
	if (b.failed)
		put_back(s->front, r->job);
	else
		spool_client_tell(s->front->spool, SPOOL_REPLACE, r->job, buf_span(&b));
	buf_free(&b);
	refilter_free(r);
}

void
refilter_keep(struct session *s, const struct verdict *v)
{
	struct transaction *t = s->transaction;
	struct commit_copy copy = {.fate = COPY_HOLD, .why = span_str(v->text)};
	struct commit_rcpt *rcpts = mem_array(t->n_rcpts, sizeof(*rcpts));
	uint32_t *asked = mem_array(t->n_rcpts, sizeof(*asked));
	struct commit c = {.id = id_span(&t->id),
	    .flow = span_str(s->listen->flow->name),
	    .from = t->from,
	    .copies = &copy,
	    .n_copies = 1,
	    .rcpts = rcpts,
	    .n_rcpts = t->n_rcpts};

	commit_regroup(s, v);
	for (size_t i = 0; i < t->n_rcpts; i++) {
		asked[i] = (uint32_t)i;
		rcpts[i] = (struct commit_rcpt){
		    .address = t->rcpts[i].address, .gateway = span_str(t->rcpts[i].gateway->name)};
	}
	refilter_answer(s, &c, asked);
	mem_free(asked);
	mem_free(rcpts);
}

void
refilter_split(struct session *s)
{
	spool_client_tell(s->front->spool, SPOOL_SPLIT, s->again->job, (struct span){0});
	refilter_free(s->again);
}

void
refilter_stop(struct front *f, bool tells)
{
	LIST_FOR_SAFE (it, &f->refilters) {
		struct refilter *r = LIST_ENTRY(it, struct refilter, node);

		if (tells)
			put_back(f, r->job);
		refilter_free(r);
	}
}

struct span
refilter_received(const struct session *s)
{
	return s->again->received;
}

struct span
refilter_tls(const struct session *s)
{
	return s->again->tls;
}

struct span
refilter_name(const struct session *s, bool some_stay)
{
	return s->again->is_last && !some_stay ? s->again->id : s->again->part;
}

/* --- what is kept for it ------------------------------------------------------------------------ */

void
refilter_facts(const struct session *s, struct buf *to)
{
	struct held_list lists[HELD_LISTS_MAX];
	struct held_facts facts = {.client = s->client,
	    .has_host = s->has_host,
	    .host = s->has_host ? span_str(s->host) : (struct span){0},
	    .helo = span_str(s->helo),
	    .user = span_str(s->user),
	    .tls = session_tls(s),
	    .sender = (uint8_t)s->transaction->sender,
	    .lists = lists};
	size_t n = s->answers != NULL ? snapshot_list_count(s->snapshot) : 0;

	for (size_t i = 0; i < n && i < HELD_LISTS_MAX; i++)
		lists[facts.n_lists++] =
		    (struct held_list){.zone = snapshot_list(s->snapshot, i)->zone,
			.of = (uint8_t)snapshot_list(s->snapshot, i)->of,
			.state = (uint8_t)s->answers[i].state,
			.address = s->answers[i].address,
			.name = s->answers[i].name};
	held_facts_put(to, &facts);
}

/*
 * 6_commit.c - what becomes of the message, for each recipient; then it is made durable, and only
 * then the client hears 250.  No other file answers 250 after DATA.
 */
#include "relay/base/clock.h"
#include "relay/ipc/held.h"
#include "relay/message/edit.h"
#include "relay/message/normal_head.h"
#include "relay/message/received.h"
#include "relay/message/strip.h"
#include "relay/message/tags.h"
#include "relay/quarantine/letter.h"
#include "relay/walk/findings.h"
#include "relay/walk/normal.h"
#include "relay/walk/strip.h"
#include "relay/walk/walk.h"

#include <stdio.h>

enum { PREFIX_MAX = COMMIT_HEADER_MAX * 2 };

static const struct verdict unchecked = {.action = ACTION_TEMPFAIL,
    .stage = STAGE_DATA,
    .code = 451,
    .enhanced = "4.7.1",
    .text = "Message could not be checked, try again later",
    .why = "no worker could look at it",
    .by = {"filter", 6}};

static struct verdict
decide(struct session *s, const struct rcpt *r, const struct findings *f)
{
	struct verdict v = r->verdict != NULL ? kept_verdict(r->verdict) : s->transaction->verdict;
	struct facts facts = session_facts(s);

	facts.to = r->address;
	facts.domain = config_domain_of(s->front->config, r->address);
	findings_set(f, &facts);
	session_decide(s, STAGE_DATA, &facts, &v);
	/* Nobody knows whether a rule on the content would refuse it: it waits until somebody does. */
	if (s->transaction->is_unseen && v.action < ACTION_HOLD)
		return unchecked;
	return v;
}

static bool
is_same(const struct verdict *a, const struct verdict *b)
{
	if (a->action != b->action || a->n_tags != b->n_tags || a->is_spam != b->is_spam ||
	    a->score_milli != b->score_milli || strcmp(a->text, b->text) != 0 ||
	    memcmp(a->strips, b->strips, sizeof(a->strips)) != 0)
		return false;
	for (size_t i = 0; i < a->n_tags; i++)
		if (!span_eq(a->tags[i].name, b->tags[i].name) ||
		    !span_eq(a->tags[i].by, b->tags[i].by) ||
		    !span_eq(a->tags[i].why, b->tags[i].why))
			return false;
	return true;
}

/* Tags of filters live in the worker's answer, which is gone when the spool answers. */
static void
keep_tags(struct transaction *t, struct verdict *v)
{
	for (size_t i = 0; i < v->n_tags; i++) {
		struct verdict_tag *tag = &v->tags[i];
		size_t size = tag->name.n + tag->by.n + tag->why.n + 64;

		if (arena_left(&t->memory) < size) {
			v->n_tags =
			    i; /* the sum of all is bounded by the limits of tags: never here */
			return;
		}
		tag->name = arena_copy(&t->memory, tag->name);
		tag->by = arena_copy(&t->memory, tag->by);
		tag->why = arena_copy(&t->memory, tag->why);
	}
	v->by = arena_copy(&t->memory, v->by);
}

/* A rule that is only observed makes no copy of its own. */
static void
add_observed(struct verdict *to, const struct verdict *from)
{
	for (size_t i = 0; i < from->n_observed; i++) {
		size_t k = 0;

		while (k < to->n_observed && to->observed[k] != from->observed[i])
			k++;
		if (k == to->n_observed && k < VERDICT_OBSERVED_MAX)
			to->observed[to->n_observed++] = from->observed[i];
	}
}

static void
add_to_group(struct transaction *t, const struct verdict *v, uint32_t rcpt)
{
	struct group *g = NULL;

	for (size_t i = 0; g == NULL && i < t->n_groups; i++)
		if (is_same(&t->groups[i].verdict, v))
			g = &t->groups[i];
	if (g == NULL) {
		t->groups = mem_grow(t->groups, (t->n_groups + 1) * sizeof(*t->groups));
		g = &t->groups[t->n_groups++];
		*g = (struct group){
		    .verdict = *v, .rcpts = mem_array(t->n_rcpts, sizeof(*g->rcpts))};
		keep_tags(t, &g->verdict);
	} else {
		add_observed(&g->verdict, v);
	}
	g->rcpts[g->n_rcpts++] = rcpt;
}

static bool
is_refusal(const struct verdict *v)
{
	return v->action >= ACTION_TEMPFAIL;
}

/* The strongest refusal when every group refuses, else NULL: somebody's copy is taken. */
static const struct verdict *
refusal_of_all(const struct transaction *t)
{
	const struct verdict *strongest = NULL;

	for (size_t i = 0; i < t->n_groups; i++) {
		const struct verdict *v = &t->groups[i].verdict;

		if (!is_refusal(v))
			return NULL;
		if (strongest == NULL || v->action > strongest->action)
			strongest = v;
	}
	return strongest;
}

/* Whether the spool hears of the group's copy; of a message that is refused, only what `keep` asks.
 * What was held is there, and must be told even to go. */
static bool
is_stored(const struct session *s, const struct verdict *v)
{
	if (s->transaction->refusal != NULL)
		return v->action == ACTION_KEEP;
	return v->action != ACTION_DISCARD || s->again != NULL;
}

static enum copy_fate
fate_of(const struct verdict *v)
{
	switch (v->action) {
	case ACTION_PASS:
	case ACTION_TAG:
	case ACTION_NORMALISE:
	case ACTION_STRIP:
		return COPY_DELIVER;
	case ACTION_HOLD:
	case ACTION_TEMPFAIL:
		return COPY_HOLD;
	case ACTION_DISCARD:
		return COPY_DISCARD;
	case ACTION_QUARANTINE:
	case ACTION_REJECT:
	case ACTION_KEEP:
		break;
	}
	return COPY_QUARANTINE;
}

/* RFC 5321 section 4.4; with one recipient only, so that nobody learns of the others.  All copies
 * have the same, and what was held has it already. */
static void
add_received(const struct session *s, struct buf *to)
{
	const struct transaction *t = s->transaction;
	struct received r = {
	    .helo = span_str(s->helo),
	    .host = s->has_host ? span_str(s->host) : (struct span){0},
	    .client = s->client,
	    .hostname = span_str(s->front->config->hostname),
	    .protocol = session_protocol(s),
	    .tls = session_tls(s),
	    .cipher = secure_is_on(s) ? tls_cipher(s->connection.tls) : (struct span){0},
	    .id = id_span(&t->id),
	    .rcpt = t->n_rcpts == 1 ? t->rcpts[0].address : (struct span){0},
	    .wall_ms = clock_wall_ms(),
	};

	/* Both sticky: make_prefix tests. */
	if (s->again != NULL)
		(void)buf_add_span(to, refilter_received(s));
	else
		(void)received_add(to, &r);
}

static void
add_tags(
    const struct session *s, const struct verdict *v, const struct stripped *cut, struct buf *to)
{
	/* All sticky: make_prefix tests. */
	for (size_t i = 0; i < v->n_tags; i++) {
		struct tag_line line = {
		    v->tags[i].name, v->tags[i].by, v->tags[i].why, v->tags[i].score_milli};

		(void)tags_add(to, &line);
	}
	(void)tags_add_verdict(
	    to, v->action != ACTION_PASS, v->score_milli, id_span(&s->transaction->id));
	if (cut->is_normal)
		(void)tags_add_normalised(to, cut->n_notices, cut->why);
	if (v->is_spam)
		(void)tags_add_spam_flag(to);
}

/* The header section that this group's copy leaves with; `cut` is what it lacks.  One that is held has it
 * as it came in, below our Received: what the filters want of it is found out anew. */
static int
make_prefix(const struct session *s, const struct group *g, const struct scan_result *result,
    struct span received, const struct stripped *cut, struct buf *to)
{
	struct span section = buf_span(&s->transaction->content.section);
	struct buf edited = BUF_INIT(COMMIT_HEADER_MAX);
	int r;

	(void)buf_add_span(to, received); /* sticky, as what follows */
	if (fate_of(&g->verdict) == COPY_HOLD)
		return buf_add_span(to, section) < 0 || to->n > COMMIT_HEADER_MAX ? -E_LIMIT : 0;
	if (!s->listen->flow->strip_tags)
		add_tags(s, &g->verdict, cut, to);
	if (cut->has_head)
		section = span_take(section, cut->section);
	r = edit_apply(section, result->edits, result->n_edits, action_marks(g->verdict.action),
	    cut->is_whole || cut->has_head ? &edited : to);
	if (r == 0 && cut->is_whole)
		r = strip_section(buf_span(&edited), true, to);
	else if (r == 0 && cut->has_head)
		r = normal_head_section(buf_span(&edited), cut->head, to);
	buf_free(&edited);
	return r < 0 || to->failed || to->n > COMMIT_HEADER_MAX ? -E_LIMIT : 0;
}

static void
finish(struct session *s, int code, struct span enhanced, struct span text)
{
	session_refuse(s, code, enhanced, text); /* the reply with the id, whatever it says */
	session_end_transaction(s);
	session_await_command(s);
	session_go_on(s);
}

/* What the journal and the log call the end of a group. */
static const char *
event_of(const struct verdict *v)
{
	switch (fate_of(v)) {
	case COPY_DISCARD:
		return "discarded";
	case COPY_DELIVER:
		return "accepted";
	case COPY_QUARANTINE:
		return "quarantined";
	case COPY_HOLD:
		break;
	}
	return "held";
}

/* Everything that is to be kept is durable. */
static void
have_it(struct session *s)
{
	struct transaction *t = s->transaction;

	if (t->refusal != NULL) {
		commit_refuse(s, t->refusal);
		return;
	}
	s->n_messages++;
	s->n_idle = 0;
	s->front->n_accepted++;
	conduct_sent(s);
	for (size_t i = 0; i < t->n_groups; i++)
		record_message(
		    s, event_of(&t->groups[i].verdict), &t->groups[i].verdict, 250, &t->groups[i]);
	finish(s, 250, SPAN("2.0.0"), SPAN("Queued"));
}

static void
on_committed(struct spool_request *r, const struct refusal *refusal)
{
	struct session *s = r->arg;

	if (refusal == NULL) {
		have_it(s);
		return;
	}
	record_message(s, refusal->code >= 500 ? "refused" : "deferred",
	    &s->transaction->groups[0].verdict, refusal->code, NULL);
	finish(s, refusal->code, refusal->enhanced, refusal->text);
}

/* One record for all groups, so that the spool keeps them together or not at all.  `asked`: which of the
 * transaction's recipients each of the commit's is. */
static void
send_commit(struct session *s, struct commit *c, const uint32_t *asked)
{
	struct transaction *t = s->transaction;
	struct buf facts = BUF_INIT(HELD_FACTS_MAX);

	c->id = id_span(&t->id);
	c->flow = span_str(s->listen->flow->name);
	c->from = t->from;
	c->is_8bit = t->is_8bit;
	c->is_utf8 = t->is_utf8;
	c->ret = t->ret;
	c->envid = t->envid;
	c->data_end_ms = t->data_end_ms;
	c->skip = t->content.header;
	c->body_size = t->content.size;
	c->is_inline = t->content.fd < 0;
	if (c->is_inline)
		c->body = content_inline(&t->content);
	if (s->again != NULL) {
		refilter_answer(s, c, asked);
		return;
	}
	if (c->received > 0)
		refilter_facts(s, &facts);
	c->facts = buf_span(&facts);
	t->commit = (struct spool_request){.on_done = on_committed, .arg = s};
	spool_commit(s->front->spool, &t->commit, c, t->content.fd);
	buf_free(&facts);
}

void
commit_refuse(struct session *s, const struct verdict *v)
{
	struct verdict copy = *v;

	if (s->again != NULL) {
		refilter_keep(s, v);
		return;
	}
	record_message(s, "refused", &copy, copy.code, NULL);
	finish(s, copy.code, span_str(copy.enhanced), span_str(copy.text));
}

/* The filter whose failure holds the copy, "*" when nobody could look at it; empty: a rule does, an
 * outcome or the score. */
static struct span
waits_for(const struct session *s, const struct verdict *v, const struct scan_result *result)
{
	const struct conf_flow *flow = s->listen->flow;

	if (fate_of(v) == COPY_HOLD && span_eq(v->by, unchecked.by) && s->transaction->is_unseen)
		return SPAN("*");
	for (size_t i = 0; i < result->n_outcomes && fate_of(v) == COPY_HOLD; i++) {
		const struct scan_outcome *o = &result->outcomes[i];

		if (o->outcome < 0 &&
		    span_eq(v->by, span_str(flow->filters[o->filter].filter->name)))
			return v->by;
	}
	return (struct span){0};
}

static struct commit_copy
copy_of(const struct session *s, const struct group *g, const struct scan_result *result)
{
	const struct verdict *v = &g->verdict;
	enum copy_fate fate = fate_of(v);

	return (struct commit_copy){.fate = fate,
	    .why = fate == COPY_DELIVER ? (struct span){0} : span_str(v->why),
	    .waits_for = waits_for(s, v, result),
	    .is_tagged = action_marks(v->action) || (fate == COPY_HOLD && v->n_tags > 0)};
}

/* What was held lies in the spool, and stays there if it is held again. */
static bool
needs_prefix(const struct session *s, enum copy_fate fate)
{
	return fate != COPY_DISCARD && (fate != COPY_HOLD || s->again == NULL);
}

/* What one commit is made of. */
struct making {
	struct commit commit;
	struct buf received;
	struct commit_copy *copies; /* two of a group whose message is edited */
	struct commit_rcpt *rcpts;
	uint32_t *asked;           /* of each of rcpts: its index in the transaction */
	struct buf *prefixes;      /* one for each copy */
	struct stripped *stripped; /* the same */
	size_t n_cuts;
};

static void
add_rcpts(const struct transaction *t, const struct group *g, struct making *m)
{
	struct commit *c = &m->commit;

	for (size_t i = 0; i < g->n_rcpts; i++) {
		const struct rcpt *r = &t->rcpts[g->rcpts[i]];

		m->asked[c->n_rcpts] = g->rcpts[i];
		m->rcpts[c->n_rcpts++] = (struct commit_rcpt){.address = r->address,
		    .gateway = span_str(r->gateway->name),
		    .copy = (uint32_t)c->n_copies,
		    .notify = r->notify,
		    .orcpt = r->orcpt};
	}
}

static int
add_copy(struct session *s, const struct scan_result *result, const struct group *g,
    const struct commit_copy *about, struct making *m)
{
	struct commit *c = &m->commit;
	struct commit_copy *copy = &m->copies[c->n_copies];
	struct buf *prefix = &m->prefixes[c->n_copies];
	const struct stripped *cut = &m->stripped[c->n_copies];
	int r = 0;

	if (c->n_rcpts + g->n_rcpts > COMMIT_RCPTS_MAX)
		return -E_FULL;
	*copy = *about;
	copy->cuts = cut->cuts;
	copy->n_cuts = cut->n_cuts;
	m->n_cuts += cut->n_cuts;
	prefix->max = PREFIX_MAX;
	if (needs_prefix(s, copy->fate))
		r = make_prefix(s, g, result, buf_span(&m->received), cut, prefix);
	copy->prefix = buf_span(prefix);
	if (copy->fate == COPY_HOLD)
		c->received = (uint32_t)m->received.n;
	add_rcpts(s->transaction, g, m);
	c->n_copies++;
	return r;
}

/* The originals of what is stripped or normalised.  They come first, so that the ids of their letters are known
 * before the letters are written: see letter_name. */
static int
add_originals(struct session *s, const struct scan_result *result, struct making *m)
{
	const struct transaction *t = s->transaction;
	int r = 0;

	for (size_t i = 0; i < t->n_groups && r == 0; i++) {
		const struct group *g = &t->groups[i];
		char why[VERDICT_WHY_MAX + 64];
		struct commit_copy about = {.fate = COPY_QUARANTINE};

		if (!action_edits(g->verdict.action))
			continue;
		(void)snprintf(why, sizeof(why), "%s, this is the original: %s",
		    g->verdict.action == ACTION_STRIP ? "stripped" : "normalised",
		    g->verdict.why); /* fits */
		about.why = arena_left(&t->memory) > 2 * sizeof(why)
				? arena_copy(&s->transaction->memory, span_str(why))
				: span_str(g->verdict.why);
		r = add_copy(s, result, g, &about, m);
	}
	return r;
}

/* What the letters of the message are called after. */
static struct span
name_of(const struct session *s)
{
	const struct transaction *t = s->transaction;
	bool some_stay = false;

	for (size_t i = 0; i < t->n_groups; i++)
		some_stay = some_stay || fate_of(&t->groups[i].verdict) == COPY_HOLD;
	return s->again != NULL ? refilter_name(s, some_stay) : id_span(&t->id);
}

/* What the group gets instead; `before`: recipients whose originals have letters of their own. */
static int
strip(struct session *s, const struct scan_result *result, const struct group *g, size_t before,
    struct making *m)
{
	const struct transaction *t = s->transaction;
	char letter[LETTER_ID_MAX + 1];
	struct span mapped = {0};
	struct strip_order order = {.result = result,
	    .verdict = &g->verdict,
	    .flow = s->listen->flow,
	    .message = t->content.fd < 0 ? content_inline(&t->content) : (struct span){0},
	    .header = (size_t)t->content.header,
	    .hostname = span_str(s->front->config->hostname),
	    .postmaster = span_str(s->front->config->postmaster),
	    .id = id_span(&t->id),
	    .letter = letter_name(name_of(s), before, letter)};
	int r = 0;

	if (t->content.fd >= 0)
		r = channel_map(t->content.fd, (size_t)t->content.size, &mapped);
	if (mapped.n > 0)
		order.message = mapped;
	if (r == 0)
		r = g->verdict.action == ACTION_STRIP
			? strip_make(&order, &m->stripped[m->commit.n_copies])
			: normal_order(&order, &m->stripped[m->commit.n_copies]);
	channel_unmap(&mapped);
	return r;
}

/* Fills copies and recipients: a copy for each group that is kept, its header section and its cuts. */
static int
add_groups(struct session *s, const struct scan_result *result, struct making *m)
{
	struct transaction *t = s->transaction;
	size_t before = 0;
	int r;

	add_received(s, &m->received);
	if (m->received.failed)
		return -E_LIMIT;
	r = t->refusal == NULL ? add_originals(s, result, m) : 0;
	for (size_t i = 0; i < t->n_groups && r == 0; i++) {
		const struct group *g = &t->groups[i];
		const struct commit_copy about = copy_of(s, g, result);

		if (!is_stored(s, &g->verdict))
			continue;
		if (action_edits(g->verdict.action)) {
			r = strip(s, result, g, before, m);
			before += g->n_rcpts;
		}
		if (r == 0)
			r = add_copy(s, result, g, &about, m);
	}
	if (r == 0 && (commit_prefixes(&m->commit) > COMMIT_PREFIXES_MAX ||
			  commit_envelope_size(&m->commit) > COMMIT_ENVELOPE_MAX ||
			  m->n_cuts > COMMIT_CUTS_MAX))
		r = -E_FULL;
	return r;
}

/* Why a commit cannot be made. */
static const struct verdict *
failed_verdict(int error)
{
	static const struct verdict too_long = {.action = ACTION_REJECT,
	    .stage = STAGE_DATA,
	    .code = 552,
	    .enhanced = "5.3.4",
	    .text = "The message's header section is too long",
	    .by = {"protocol", 8}};
	static const struct verdict not_stripped = {.action = ACTION_TEMPFAIL,
	    .stage = STAGE_DATA,
	    .code = 451,
	    .enhanced = "4.7.1",
	    .text = "Message could not be checked, try again later",
	    .why = "what a worker says of the message cannot be put into it",
	    .by = {"filter", 6}};

	return error == -E_LIMIT ? &too_long : &not_stripped;
}

/* 0: it has been answered or handed on; -E_FULL: the copies differ too much for one message of the spool. */
static int
try_store(struct session *s, const struct scan_result *result)
{
	struct transaction *t = s->transaction;
	size_t n = 2 * t->n_groups;
	struct making m = {.received = BUF_INIT(HELD_RECEIVED_MAX),
	    .copies = mem_array(n, sizeof(*m.copies)),
	    .rcpts = mem_array(2 * t->n_rcpts, sizeof(*m.rcpts)),
	    .asked = mem_array(2 * t->n_rcpts, sizeof(*m.asked)),
	    .prefixes = mem_array(n, sizeof(*m.prefixes)),
	    .stripped = mem_array(n, sizeof(*m.stripped))};
	int r;

	m.commit.copies = m.copies;
	m.commit.rcpts = m.rcpts;
	r = add_groups(s, result, &m);
	if (r == -E_FULL)
		; /* the caller knows */
	else if (r < 0)
		commit_refuse(s, failed_verdict(r));
	else if (m.commit.n_copies == 0 && t->refusal == NULL)
		have_it(s); /* all discarded */
	else if (m.commit.n_copies == 0)
		commit_refuse(s, t->refusal);
	else
		send_commit(s, &m.commit, m.asked);
	for (size_t i = 0; i < n; i++) {
		buf_free(&m.prefixes[i]);
		strip_free(&m.stripped[i]);
	}
	buf_free(&m.received);
	mem_free(m.stripped);
	mem_free(m.prefixes);
	mem_free(m.asked);
	mem_free(m.rcpts);
	mem_free(m.copies);
	return r == -E_FULL ? r : 0;
}

/* Of a message that is refused, those who keep it share one copy. */
static void
merge_kept(struct transaction *t)
{
	struct group *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < t->n_groups; i++) {
		struct group *g = &t->groups[i];

		if (g->verdict.action == ACTION_KEEP && first != NULL) {
			for (size_t k = 0; k < g->n_rcpts; k++)
				first->rcpts[first->n_rcpts++] = g->rcpts[k];
			mem_free(g->rcpts);
			continue;
		}
		t->groups[n] = *g;
		if (g->verdict.action == ACTION_KEEP)
			first = &t->groups[n];
		n++;
	}
	t->n_groups = n;
}

/*
 * What does not fit is held as it came in, one copy for all, and filtered again in rounds that fit.  A
 * client that is told to send it to fewer recipients at once seldom can: it tries the same for days.
 */
static void
store(struct session *s, const struct scan_result *result)
{
	static const struct verdict held = {.action = ACTION_HOLD,
	    .stage = STAGE_DATA,
	    .why = "its recipients' copies differ too much for one message and are made apart",
	    .by = {"protocol", 8}};

	if (try_store(s, result) != -E_FULL)
		return;
	if (s->again != NULL) {
		refilter_split(s);
		return;
	}
	if (s->transaction->refusal != NULL)
		merge_kept(s->transaction); /* the refusal is the first of them: it does not move */
	else
		commit_regroup(s, &held);
	must(try_store(s, result) == 0);
}

void
commit_begin(struct session *s, const struct scan_result *result)
{
	struct transaction *t = s->transaction;
	struct findings *findings = mem_alloc(sizeof(*findings));

	findings_gather(findings, s->listen->flow, result);
	for (size_t i = 0; i < t->n_rcpts; i++) {
		struct verdict v = decide(s, &t->rcpts[i], findings);

		add_to_group(t, &v, (uint32_t)i);
	}
	mem_free(findings);
	t->refusal = s->again == NULL ? refusal_of_all(t) : NULL;
	store(s, result);
}

void
commit_regroup(struct session *s, const struct verdict *v)
{
	struct transaction *t = s->transaction;

	for (size_t i = 0; i < t->n_groups; i++)
		mem_free(t->groups[i].rcpts);
	t->n_groups = 0;
	for (size_t i = 0; i < t->n_rcpts; i++)
		add_to_group(t, v, (uint32_t)i);
}

void
commit_cancel(struct session *s)
{
	spool_forget_request(&s->transaction->commit);
}

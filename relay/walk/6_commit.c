/*
 * 6_commit.c - what becomes of the message, for each recipient; then it is made durable, and only
 * then the client hears 250.  No other file answers 250 after DATA.
 */
#include "relay/base/clock.h"
#include "relay/message/edit.h"
#include "relay/message/received.h"
#include "relay/message/tags.h"
#include "relay/walk/findings.h"
#include "relay/walk/walk.h"

enum { PREFIX_MAX = COMMIT_HEADER_MAX * 2 };

static struct verdict
decide(struct session *s, const struct rcpt *r, const struct findings *f)
{
	struct verdict v = r->verdict != NULL ? *r->verdict : s->transaction->verdict;
	struct facts facts = session_facts(s);

	facts.to = r->address;
	findings_set(f, &facts);
	decide_stage(s->snapshot, STAGE_DATA, &facts, &v, NULL, NULL);
	return v;
}

static bool
is_same(const struct verdict *a, const struct verdict *b)
{
	if (a->action != b->action || a->n_tags != b->n_tags || a->is_spam != b->is_spam ||
	    a->score_milli != b->score_milli || strcmp(a->text, b->text) != 0)
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
	}
	g->rcpts[g->n_rcpts++] = rcpt;
}

static bool
is_delivered(const struct verdict *v)
{
	return v->action == ACTION_PASS || v->action == ACTION_TAG;
}

/* The strongest refusal when no group is delivered, else NULL. */
static const struct verdict *
refusal_of_all(const struct transaction *t)
{
	const struct verdict *strongest = NULL;

	for (size_t i = 0; i < t->n_groups; i++) {
		const struct verdict *v = &t->groups[i].verdict;

		if (is_delivered(v))
			return NULL;
		if (strongest == NULL || v->action > strongest->action)
			strongest = v;
	}
	return strongest;
}

/* RFC 5321 section 4.4; with one recipient only, so that nobody learns of the others. */
static void
add_received(const struct session *s, const struct group *g, struct buf *to)
{
	const struct transaction *t = s->transaction;
	struct received r = {
	    .helo = span_str(s->helo),
	    .host = s->has_host ? span_str(s->host) : (struct span){0},
	    .client = s->client,
	    .hostname = span_str(s->front->config->hostname),
	    .protocol = session_protocol(s),
	    .id = id_span(&t->id),
	    .rcpt = t->n_rcpts == 1 ? t->rcpts[g->rcpts[0]].address : (struct span){0},
	    .wall_ms = clock_wall_ms(),
	};

	(void)received_add(to, &r); /* sticky: make_prefix tests */
}

static void
add_tags(const struct session *s, const struct verdict *v, struct buf *to)
{
	/* All sticky: make_prefix tests. */
	for (size_t i = 0; i < v->n_tags; i++) {
		struct tag_line line = {
		    v->tags[i].name, v->tags[i].by, v->tags[i].why, v->tags[i].score_milli};

		(void)tags_add(to, &line);
	}
	(void)tags_add_verdict(
	    to, v->action != ACTION_PASS, v->score_milli, id_span(&s->transaction->id));
	if (v->is_spam)
		(void)tags_add_spam_flag(to);
}

/* The header section that this group's copy leaves with. */
static int
make_prefix(const struct session *s, const struct group *g, const struct scan_result *result,
    struct buf *to)
{
	add_received(s, g, to);
	if (!s->listen->flow->strip_tags)
		add_tags(s, &g->verdict, to);
	if (to->failed || edit_apply(buf_span(&s->transaction->content.section), result->edits,
			      result->n_edits, g->verdict.action == ACTION_TAG, to) < 0)
		return -E_LIMIT;
	return to->n > COMMIT_HEADER_MAX ? -E_LIMIT : 0;
}

static void
finish(struct session *s, int code, struct span enhanced, struct span text)
{
	session_refuse(s, code, enhanced, text); /* the reply with the id, whatever it says */
	session_end_transaction(s);
	session_await_command(s);
	session_go_on(s);
}

static void
on_committed(struct spool_request *r, const struct refusal *refusal)
{
	struct session *s = r->arg;
	struct transaction *t = s->transaction;

	t->n_committed++;
	if (refusal != NULL && !t->was_refused) {
		t->was_refused = true;
		t->refusal_code = refusal->code;
		(void)span_copy(
		    refusal->enhanced, t->refusal_enhanced, sizeof(t->refusal_enhanced));
		(void)span_copy(refusal->text, t->refusal_text, sizeof(t->refusal_text));
	}
	if (t->n_committed < t->n_to_commit)
		return;
	if (t->was_refused) {
		record_message(s, "deferred", &t->groups[0].verdict, t->refusal_code, NULL);
		finish(
		    s, t->refusal_code, span_str(t->refusal_enhanced), span_str(t->refusal_text));
		return;
	}
	s->n_messages++;
	s->front->n_accepted++;
	for (size_t i = 0; i < t->n_groups; i++)
		record_message(s, is_delivered(&t->groups[i].verdict) ? "accepted" : "held",
		    &t->groups[i].verdict, 250, &t->groups[i]);
	finish(s, 250, SPAN("2.0.0"), SPAN("Queued"));
}

static void
commit_group(struct session *s, size_t index, struct span prefix)
{
	struct transaction *t = s->transaction;
	struct group *g = &t->groups[index];
	struct commit_rcpt *rcpts = mem_array(g->n_rcpts, sizeof(*rcpts));
	struct spool_request *request = &t->commits[index];
	struct buf id = BUF_INIT(64);
	struct commit c = {.flow = span_str(s->listen->flow->name),
	    .from = t->from,
	    .is_8bit = t->is_8bit,
	    .is_tagged = g->verdict.action == ACTION_TAG,
	    .rcpts = rcpts,
	    .n_rcpts = g->n_rcpts,
	    .prefix = prefix,
	    .skip = t->content.header,
	    .body_size = t->content.size,
	    .is_inline = t->content.fd < 0};

	(void)buf_addf(&id, index == 0 ? "%s" : "%s-%zu", t->id.text, index + 1); /* short */
	c.id = buf_span(&id);
	if (c.is_inline)
		c.body = content_inline(&t->content);
	for (size_t i = 0; i < g->n_rcpts; i++) {
		const struct rcpt *r = &t->rcpts[g->rcpts[i]];

		rcpts[i] = (struct commit_rcpt){r->address, span_str(r->gateway->name),
		    is_delivered(&g->verdict) ? FATE_DELIVER : FATE_HELD,
		    is_delivered(&g->verdict) ? (struct span){0} : span_str(g->verdict.why)};
	}
	*request = (struct spool_request){.on_done = on_committed, .arg = s};
	spool_commit(s->front->spool, request, &c, t->content.fd);
	mem_free(rcpts);
	buf_free(&id);
}

void
commit_refuse(struct session *s, const struct verdict *v)
{
	struct verdict copy = *v;

	record_message(s, "refused", &copy, copy.code, NULL);
	finish(s, copy.code, span_str(copy.enhanced), span_str(copy.text));
}

/* All prefixes first: a group whose copy cannot be made refuses the whole message. */
static void
commit_groups(struct session *s, const struct scan_result *result)
{
	static const struct verdict too_long = {.action = ACTION_REJECT,
	    .stage = STAGE_DATA,
	    .code = 552,
	    .enhanced = "5.3.4",
	    .text = "The message's header section is too long",
	    .by = {"protocol", 8}};
	struct transaction *t = s->transaction;
	size_t n = t->n_groups;
	struct buf *prefixes = mem_array(n, sizeof(*prefixes));
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		prefixes[i].max = PREFIX_MAX;
		r = make_prefix(s, &t->groups[i], result, &prefixes[i]);
	}
	if (r < 0) {
		commit_refuse(s, &too_long);
	} else {
		t->n_to_commit = n;
		t->commits = mem_array(n, sizeof(*t->commits));
		for (size_t i = 0; i < n; i++)
			commit_group(s, i, buf_span(&prefixes[i]));
	}
	for (size_t i = 0; i < n; i++)
		buf_free(&prefixes[i]);
	mem_free(prefixes);
}

void
commit_begin(struct session *s, const struct scan_result *result)
{
	struct transaction *t = s->transaction;
	struct findings *findings = mem_alloc(sizeof(*findings));
	const struct verdict *refusal;

	findings_gather(findings, s->listen->flow, result);
	for (size_t i = 0; i < t->n_rcpts; i++) {
		struct verdict v = decide(s, &t->rcpts[i], findings);

		add_to_group(t, &v, (uint32_t)i);
	}
	mem_free(findings);
	refusal = refusal_of_all(t);
	if (refusal != NULL)
		commit_refuse(s, refusal);
	else
		commit_groups(s, result);
}

void
commit_cancel(struct session *s)
{
	for (size_t i = 0; s->transaction->commits != NULL && i < s->transaction->n_to_commit; i++)
		spool_forget_request(&s->transaction->commits[i]);
}

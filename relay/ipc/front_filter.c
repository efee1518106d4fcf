#include "relay/ipc/front_filter.h"
#include "relay/ipc/channel.h"

/* Texts that may end in a log line, a reply or a header: no control character can be in them. */
static struct span
get_line(struct wire *w, size_t max)
{
	struct span s = get_span(w, max);

	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) {
			w->failed = true;
			return (struct span){0};
		}
	return s;
}

void
worker_death_put(struct buf *to, const struct worker_death *d)
{
	put_u32(to, (uint32_t)d->signal);
	put_u32(to, (uint32_t)d->exit_status);
	put_u32(to, (uint32_t)d->filter);
	put_u64(to, d->scan);
	put_u8(to, d->was_deadline);
}

int
worker_death_get(struct span payload, struct worker_death *d)
{
	struct wire w = wire_over(payload);

	d->signal = (int32_t)get_u32(&w);
	d->exit_status = (int32_t)get_u32(&w);
	d->filter = (int32_t)get_u32(&w);
	d->scan = get_u64(&w);
	d->was_deadline = get_bool(&w);
	if (d->filter < -1 || d->filter >= CONFIG_FILTERS_MAX || d->signal < 0)
		w.failed = true;
	return wire_end(&w);
}

void
scan_request_put(struct buf *to, const struct scan_request *r)
{
	put_span(to, r->id);
	put_u32(to, r->flow);
	put_u64(to, r->policy);
	put_u32(to, r->skip);
	put_ip(to, &r->client);
	put_span(to, r->host);
	put_span(to, r->helo);
	put_span(to, r->from);
	put_u32(to, (uint32_t)r->n_rcpts);
	for (size_t i = 0; i < r->n_rcpts; i++)
		put_span(to, r->rcpts[i]);
	put_u8(to, r->wants_hosts);
	put_u8(to, r->is_inline);
	if (r->is_inline)
		put_span(to, r->body);
}

int
scan_request_get(struct span payload, struct scan_request *r, struct span *rcpts, size_t max)
{
	struct wire w = wire_over(payload);

	*r = (struct scan_request){0};
	r->id = get_span(&w, SCAN_TEXT_MAX);
	r->flow = get_u32(&w);
	r->policy = get_u64(&w);
	r->skip = get_u32(&w);
	r->client = get_ip(&w);
	r->host = get_span(&w, SCAN_TEXT_MAX);
	r->helo = get_span(&w, SCAN_TEXT_MAX);
	r->from = get_span(&w, SCAN_TEXT_MAX);
	r->n_rcpts = get_count(&w, max < SCAN_RCPTS_MAX ? (uint32_t)max : SCAN_RCPTS_MAX);
	for (size_t i = 0; i < r->n_rcpts; i++)
		rcpts[i] = get_span(&w, SCAN_TEXT_MAX);
	r->rcpts = rcpts;
	r->wants_hosts = get_bool(&w);
	r->is_inline = get_bool(&w);
	if (r->is_inline)
		r->body = get_span(&w, CHANNEL_INLINE_MAX);
	return wire_end(&w);
}

static void
put_edit(struct buf *to, const struct header_edit *e)
{
	put_u8(to, (uint8_t)e->kind);
	put_u8(to, e->filter);
	put_u8(to, e->only_tagged);
	put_u32(to, e->index);
	put_span(to, e->name);
	put_span(to, e->value);
}

static void
put_part(struct buf *to, const struct scan_part *p)
{
	put_u64(to, p->at);
	put_u64(to, p->n);
	put_u32(to, p->head);
	put_span(to, p->name);
	put_span(to, p->declared);
	put_span(to, p->type);
	put_u64(to, p->size);
	put_span(to, span_of(p->hash, sizeof(p->hash)));
}

void
scan_parts_put(struct buf *to, const struct scan_part *parts, size_t n)
{
	put_u32(to, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		put_part(to, &parts[i]);
}

void
scan_result_put(struct buf *to, const struct scan_result *r)
{
	put_u32(to, r->not_run);
	put_u32(to, (uint32_t)r->n_outcomes);
	for (size_t i = 0; i < r->n_outcomes; i++) {
		put_u8(to, r->outcomes[i].filter);
		put_u8(to, (uint8_t)r->outcomes[i].outcome);
		put_span(to, r->outcomes[i].why);
		put_span(to, r->outcomes[i].uncut);
	}
	put_u32(to, (uint32_t)r->n_tags);
	for (size_t i = 0; i < r->n_tags; i++) {
		put_u8(to, r->tags[i].filter);
		put_span(to, r->tags[i].name);
		put_span(to, r->tags[i].why);
		put_u32(to, (uint32_t)r->tags[i].score_milli);
	}
	put_u32(to, (uint32_t)r->n_edits);
	for (size_t i = 0; i < r->n_edits; i++)
		put_edit(to, &r->edits[i]);
	scan_parts_put(to, r->parts, r->n_parts);
	put_u32(to, (uint32_t)r->n_marks);
	for (size_t i = 0; i < r->n_marks; i++) {
		put_u16(to, r->marks[i].outcome);
		put_u16(to, r->marks[i].part);
		put_span(to, r->marks[i].why);
	}
	put_span(to, r->truths);
	put_u32(to, (uint32_t)r->n_hosts);
	for (size_t i = 0; i < r->n_hosts; i++)
		put_span(to, r->hosts[i]);
	put_span(to, r->rewrite);
}

/* The index of a filter of this flow; anything else fails the reader. */
static uint8_t
get_filter(struct wire *w, const struct conf_flow *flow)
{
	uint8_t filter = get_u8(w);

	if (filter < flow->n_filters)
		return filter;
	w->failed = true;
	return 0;
}

static const struct pnf_about *
about_of(const struct conf_flow *flow, uint8_t filter)
{
	return flow->filters[filter].filter->plugin;
}

/* Returns how long `uncut` is. */
static size_t
get_outcome(struct wire *w, const struct conf_flow *flow, struct scan_outcome *o)
{
	const struct pnf_outcome *known;
	int n = 0;

	o->filter = get_filter(w, flow);
	o->outcome = (int8_t)get_u8(w);
	o->why = get_line(w, SCAN_WHY_MAX);
	o->uncut = get_line(w, SCAN_UNCUT_MAX);
	if (w->failed)
		return 0;
	known = about_of(flow, o->filter)->outcomes;
	while (known != NULL && known[n].name != NULL)
		n++;
	if (o->outcome < -1 || o->outcome >= n)
		w->failed = true;
	return o->uncut.n;
}

bool
scan_tag_name_is_valid(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = char_lower(s.p[i]);

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return s.n > 0 && s.n <= SCAN_TAG_NAME_MAX;
}

static void
get_tag(struct wire *w, const struct conf_flow *flow, struct scan_tag *t)
{
	uint32_t may;

	t->filter = get_filter(w, flow);
	t->name = get_span(w, SCAN_TAG_NAME_MAX);
	t->why = get_line(w, SCAN_WHY_MAX);
	t->score_milli = (int32_t)get_u32(w);
	if (w->failed)
		return;
	may = about_of(flow, t->filter)->may;
	if (!scan_tag_name_is_valid(t->name) || !(may & PNF_MAY_TAG) ||
	    (t->score_milli != 0 && !(may & PNF_MAY_SCORE)))
		w->failed = true;
}

static size_t
get_edit(struct wire *w, const struct conf_flow *flow, struct header_edit *e)
{
	e->kind = (enum edit_kind)get_enum(w, EDIT_REMOVE);
	e->filter = get_filter(w, flow);
	e->only_tagged = get_bool(w);
	e->index = get_u32(w);
	e->name = get_span(w, SCAN_EDIT_MAX);
	e->value = get_span(w, SCAN_EDIT_MAX);
	if (w->failed)
		return 0;
	if (!(about_of(flow, e->filter)->may & PNF_MAY_EDIT_HEADERS) ||
	    e->name.n + e->value.n > SCAN_EDIT_MAX || e->index >= HEADER_INDEX_MAX ||
	    span_is_empty(e->name) == (e->kind == EDIT_ADD))
		w->failed = true;
	return e->name.n + e->value.n;
}

static void
get_edits(struct wire *w, const struct conf_flow *flow, struct scan_result *r)
{
	size_t bytes = 0;

	r->n_edits = get_count(w, SCAN_EDITS_MAX);
	for (size_t i = 0; i < r->n_edits && !w->failed; i++)
		bytes += get_edit(w, flow, &r->edits[i]);
	if (bytes > SCAN_EDITS_BYTES)
		w->failed = true;
}

/* Whether they lie in the message is for who has it. */
size_t
scan_parts_get(struct wire *w, struct scan_part *parts, uint32_t max, size_t *n)
{
	uint64_t last = 0;
	size_t bytes = 0;

	*n = get_count(w, max);
	for (size_t i = 0; i < *n && !w->failed; i++) {
		struct scan_part *p = &parts[i];
		struct span hash;

		p->at = get_u64(w);
		p->n = get_u64(w);
		p->head = get_u32(w);
		p->name = get_line(w, SCAN_PART_NAME_MAX);
		p->declared = get_line(w, SCAN_PART_TYPE_MAX);
		p->type = get_line(w, SCAN_PART_TYPE_MAX);
		p->size = get_u64(w);
		hash = get_span(w, sizeof(p->hash));
		if (hash.n != sizeof(p->hash) || p->at < last || p->n > UINT64_MAX - p->at ||
		    p->head > p->n || p->head > SCAN_PART_HEAD_MAX)
			w->failed = true;
		else
			memcpy(p->hash, hash.p, hash.n);
		last = p->at;
		bytes += p->name.n + p->declared.n + p->type.n;
	}
	return bytes;
}

/* Only of outcomes whose filter may name parts. */
static void
get_marks(struct wire *w, const struct conf_flow *flow, struct scan_result *r, size_t *bytes)
{
	r->n_marks = get_count(w, SCAN_MARKS_MAX);
	for (size_t i = 0; i < r->n_marks && !w->failed; i++) {
		struct scan_mark *m = &r->marks[i];

		m->outcome = get_u16(w);
		m->part = get_u16(w);
		m->why = get_line(w, SCAN_WHY_MAX);
		*bytes += m->why.n;
		if (m->outcome >= r->n_outcomes || m->part >= r->n_parts ||
		    !(about_of(flow, r->outcomes[m->outcome].filter)->may & PNF_MAY_NAME_PARTS))
			w->failed = true;
	}
}

/* What a DNS list is asked for and a reply may hold: nothing but letters, digits, '.', ':', '-', '_'. */
static struct span
get_host(struct wire *w)
{
	struct span s = get_span(w, SCAN_HOST_MAX);

	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') &&
		    s.p[i] != '.' && s.p[i] != ':' && s.p[i] != '-' && s.p[i] != '_')
			w->failed = true;
	if (s.n == 0)
		w->failed = true;
	return s;
}

int
scan_result_get(struct span payload, const struct conf_flow *flow, struct scan_result *r)
{
	struct wire w = wire_over(payload);
	size_t bytes = 0, uncut = 0;

	*r = (struct scan_result){0};
	r->not_run = get_u32(&w);
	if ((uint64_t)r->not_run >> flow->n_filters != 0)
		w.failed = true;
	r->n_outcomes = get_count(&w, SCAN_OUTCOMES_MAX);
	for (size_t i = 0; i < r->n_outcomes && !w.failed; i++)
		uncut += get_outcome(&w, flow, &r->outcomes[i]);
	r->n_tags = get_count(&w, SCAN_TAGS_MAX);
	for (size_t i = 0; i < r->n_tags && !w.failed; i++)
		get_tag(&w, flow, &r->tags[i]);
	get_edits(&w, flow, r);
	bytes = scan_parts_get(&w, r->parts, SCAN_PARTS_MAX, &r->n_parts);
	get_marks(&w, flow, r, &bytes);
	if (bytes > SCAN_PARTS_BYTES || uncut > SCAN_UNCUT_BYTES)
		w.failed = true;
	r->truths = get_span(&w, SCAN_TRUTHS_MAX);
	for (size_t i = 0; i < r->truths.n; i++)
		if ((unsigned char)r->truths.p[i] > SCAN_TRUTH_LAST)
			w.failed = true;
	r->n_hosts = get_count(&w, SCAN_HOSTS_MAX);
	for (size_t i = 0; i < r->n_hosts && !w.failed; i++)
		r->hosts[i] = get_host(&w);
	r->rewrite = get_span(&w, SCAN_REWRITE_MAX);
	return wire_end(&w);
}

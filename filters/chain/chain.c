#include "filters/chain/abi.h"
#include "filters/chain/run.h"
#include "filters/unpack/kind.h"
#include "policy/rules/effort.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"

#include <stdio.h>

static struct chain_filter *
chain_find(struct chain *c, const struct conf_filter *conf)
{
	for (size_t i = 0; i < c->n_filters; i++)
		if (c->filters[i].conf == conf)
			return &c->filters[i];
	return NULL;
}

struct chain *
chain_new(const struct config *config, chain_plugins *plugins, const char *tmpdir)
{
	struct chain *c = mem_alloc(sizeof(*c));
	size_t most = 0;

	c->config = config;
	c->effort = EFFORT_MESSAGE;
	c->tmpdir = mem_dup(span_str(tmpdir));
	for (size_t f = 0; f < config->n_flows; f++)
		most += config->flows[f].n_filters;
	c->filters = mem_array(most, sizeof(c->filters[0]));
	for (size_t f = 0; f < config->n_flows; f++)
		for (size_t i = 0; i < config->flows[f].n_filters; i++) {
			const struct conf_filter *conf = config->flows[f].filters[i].filter;
			struct chain_filter *to = &c->filters[c->n_filters];

			if (chain_find(c, conf) != NULL)
				continue;
			to->conf = conf;
			to->plugin = plugins(conf->plugin);
			c->n_filters++;
		}
	return c;
}

void
chain_free(struct chain **c)
{
	if (*c == NULL)
		return;
	for (size_t i = 0; i < (*c)->n_filters; i++) {
		const struct chain_filter *f = &(*c)->filters[i];

		if (f->self != NULL && f->plugin->unload != NULL)
			f->plugin->unload(f->self);
	}
	mem_free((*c)->filters);
	mem_free((*c)->tmpdir);
	mem_free(*c);
	*c = NULL;
}

static int
filter_load(struct chain *c, struct chain_filter *f)
{
	struct pnf_config config = {.conf = f->conf, .tmpdir = c->tmpdir};
	struct err err = {0};
	int r = PNF_LOADED;

	f->why[0] = '\0';
	/* What an attempt before this one has made. */
	if (f->self != NULL && f->plugin->unload != NULL)
		f->plugin->unload(f->self);
	f->self = NULL;
	if (f->plugin == NULL ||
	    (f->plugin != &f->own && abi_accept(f->plugin, &f->own, &err) < 0)) {
		(void)span_copy(
		    span_str(f->plugin == NULL ? "there is no code for it; install its plugin"
					       : err.text),
		    f->why, sizeof(f->why));
		return PNF_BROKEN;
	}
	f->plugin = &f->own;
	if (f->plugin->load != NULL)
		r = f->plugin->load(host_table(), &config, &f->self, f->why, sizeof(f->why));
	f->is_loaded = r == PNF_LOADED;
	return r;
}

void
chain_on_load(
    struct chain *c, void (*on_load)(void *arg, const struct conf_filter *filter), void *arg)
{
	c->on_load = on_load;
	c->on_load_arg = arg;
}

static void
tell_load(const struct chain *c, const struct conf_filter *filter)
{
	if (c->on_load != NULL)
		c->on_load(c->on_load_arg, filter);
}

void
chain_bar(struct chain *c, const struct conf_filter *filter, struct span why)
{
	struct chain_filter *f = chain_find(c, filter);

	if (f == NULL)
		return;
	f->is_barred = true;
	(void)span_copy(span_take(why, sizeof(f->why) - 1), f->why, sizeof(f->why)); /* fits */
}

/* As load says; what neither it nor we know is no success. */
static int
load_one(struct chain *c, struct chain_filter *f)
{
	int r = PNF_BROKEN;

	if (f->is_loaded)
		return PNF_LOADED;
	if (!f->is_barred) {
		tell_load(c, f->conf);
		r = filter_load(c, f);
	}
	f->is_broken = r == PNF_BROKEN;
	return r;
}

int
chain_load(struct chain *c, struct err *err)
{
	struct err unknown = {0};
	int result = 0;

	/* For the policy's attachment-type; a filter that needs it says so itself. */
	if (kind_load(&unknown) < 0)
		log_event(LOG_WARN, "types unknown", KV_STR("why", unknown.text));

	for (size_t i = 0; i < c->n_filters; i++) {
		const struct chain_filter *f = &c->filters[i];
		int r = load_one(c, &c->filters[i]);

		if (r == PNF_BROKEN && result == 0)
			result = err_set(err, E_CONFIG, "filter %s: %s", f->conf->name, f->why);
		if (r != PNF_LOADED && r != PNF_BROKEN && result != -E_AGAIN)
			result = err_set(err, E_AGAIN, "filter %s: %s", f->conf->name, f->why);
	}
	tell_load(c, NULL);
	return result;
}

int
chain_start(struct chain *c, const char *tmpdir, struct err *err)
{
	char why[CHAIN_WHY_MAX] = "";

	c->tmpdir = mem_dup(span_str(tmpdir)); /* the zygote's stays where it is shared */
	for (size_t i = 0; i < c->n_filters; i++) {
		const struct chain_filter *f = &c->filters[i];

		if (!f->is_loaded || f->plugin->start == NULL)
			continue;
		tell_load(c, f->conf);
		if (f->plugin->start(f->self,
			f->plugin->about->needs & PNF_NEEDS_TMPDIR ? tmpdir : NULL, why,
			sizeof(why)) != 0)
			return err_set(err, E_IO, "filter %s: %s", f->conf->name, why);
	}
	tell_load(c, NULL);
	return 0;
}

static struct pnf_span
to_pnf(struct span s)
{
	return (struct pnf_span){s.p, s.n};
}

static void
decode_headers(struct pnf_msg *m)
{
	struct buf text = BUF_INIT(HEADER_DECODED_MAX);

	m->decoded =
	    arena_alloc(&m->header_memory, (m->mime.n_headers + 1) * sizeof(m->decoded[0]));
	for (size_t i = 0; i < m->mime.n_headers; i++) {
		buf_clear(&text);
		header_decode(m->mime.headers[i].value, &text);
		if (arena_left(&m->header_memory) > text.n + 64)
			m->decoded[i] = arena_copy(&m->header_memory, buf_span(&text));
	}
	buf_free(&text);
}

static void
note_anomalies(struct pnf_msg *m)
{
	struct buf text = BUF_INIT(SCAN_WHY_MAX);

	mime_anomalies(m->mime.anomalies, &text);
	if (text.n > 0)
		(void)host_table()->note_set(m, "message.anomalies", to_pnf(buf_span(&text)));
	buf_free(&text);
}

static void
run_headers(struct pnf_msg *m, const struct chain_filter *f)
{
	if (f->plugin->header == NULL)
		return;
	for (size_t i = 0; i < m->mime.n_headers; i++) {
		const struct header_field *field = &m->mime.headers[i];
		struct pnf_header h = {.name = to_pnf(field->name),
		    .value = to_pnf(field->value),
		    .decoded = to_pnf(m->decoded[i]),
		    .index = (uint32_t)i};

		f->plugin->header(f->self, m, &h);
	}
}

static uint32_t
part_flags(const struct pnf_msg *m, size_t i)
{
	const struct mime_part *p = &m->mime.parts[i];
	uint32_t flags = 0;

	if (p->is_truncated || (i == 0 && mime_is_truncated(&m->mime)))
		flags |= PNF_PART_TRUNCATED;
	if (p->is_malformed || (i == 0 && mime_is_malformed(&m->mime)))
		flags |= PNF_PART_MALFORMED;
	if (p->is_reading)
		flags |= PNF_PART_READING;
	if (p->is_multipart)
		flags |= PNF_PART_MULTIPART;
	else if (span_starts(p->type, SPAN("text/")))
		flags |= PNF_PART_TEXT;
	return flags;
}

static void
run_parts(struct pnf_msg *m, const struct chain_filter *f)
{
	bool is_decoded = f->plugin->about->needs & PNF_NEEDS_DECODED;

	if (f->plugin->part == NULL)
		return;
	for (size_t i = 0; i < m->mime.n_parts; i++) {
		const struct mime_part *p = &m->mime.parts[i];
		struct pnf_span names[MIME_NAMES];
		struct pnf_part part = {.id = (uint32_t)i,
		    .parent = p->parent,
		    .depth = p->depth,
		    .type = to_pnf(p->type),
		    .charset = to_pnf(p->charset),
		    .filename = to_pnf(p->filename),
		    .raw = to_pnf(p->raw),
		    .decoded = is_decoded ? to_pnf(p->decoded) : (struct pnf_span){0},
		    .text = is_decoded ? to_pnf(p->text) : (struct pnf_span){0},
		    .flags = part_flags(m, i),
		    .names = names,
		    .n_names = p->n_names};

		for (size_t k = 0; k < p->n_names; k++)
			names[k] = to_pnf(p->names[k]);
		f->plugin->part(f->self, m, &part);
	}
}

const struct unpack *
run_unpack(struct pnf_msg *m, bool with_types)
{
	if (!m->is_unpacked)
		unpack_message(&m->mime, &m->unpack_memory, &m->unpack);
	m->is_unpacked = true;
	if (with_types)
		unpack_types(&m->unpack, &m->unpack_memory);
	return &m->unpack;
}

_Static_assert((int)PNF_MEMBER_ENCRYPTED == (int)UNPACK_ENCRYPTED &&
		   (int)PNF_MEMBER_MACRO == (int)UNPACK_MACRO &&
		   (int)PNF_MEMBER_BROKEN == (int)UNPACK_BROKEN &&
		   (int)PNF_MEMBER_LIMIT == (int)UNPACK_LIMIT &&
		   (int)PNF_MEMBER_ARCHIVE == (int)UNPACK_ARCHIVE &&
		   (int)PNF_MEMBER_UNUSUAL == (int)UNPACK_UNUSUAL,
    "members carry the flags of items as they are");

static void
run_members(struct pnf_msg *m, const struct chain_filter *f)
{
	const struct unpack *all;

	if (f->plugin->member == NULL)
		return;
	all = run_unpack(m, !(f->plugin->about->needs & PNF_NEEDS_NO_TYPES));
	for (size_t i = 0; i < all->n; i++) {
		const struct unpack_item *item = &all->items[i];
		struct pnf_member member = {.part = item->part,
		    .depth = item->depth,
		    .name = to_pnf(item->name),
		    .type = to_pnf(item->type),
		    .size = item->size,
		    .flags = item->flags,
		    .sha256 = item->has_hash ? item->hash : NULL,
		    .bytes = to_pnf(item->bytes)};

		f->plugin->member(f->self, m, &member);
	}
}

static void
run_filter(struct pnf_msg *m, const struct chain_filter *f, const struct scan_request *r)
{
	const struct pnf_filter *p = f->plugin;
	char ip[IP_TEXT_MAX];
	struct pnf_client client = {.ip = to_pnf(ip_format(&r->client, ip)),
	    .host = to_pnf(r->host),
	    .helo = to_pnf(r->helo),
	    .flow = to_pnf(span_str(m->flow->name))};

	m->now = f;
	memset(m->may_strip, 0, sizeof(m->may_strip));
	m->deadline_mono_ms = clock_mono_ms() + f->conf->deadline_ms;
	if (p->connect != NULL)
		p->connect(f->self, m, &client);
	if (p->mail != NULL)
		p->mail(f->self, m, to_pnf(r->from));
	for (size_t i = 0; p->rcpt != NULL && i < r->n_rcpts; i++)
		p->rcpt(f->self, m, to_pnf(r->rcpts[i]));
	run_headers(m, f);
	if (p->eoh != NULL)
		p->eoh(f->self, m);
	run_parts(m, f);
	run_members(m, f);
	if (p->eom != NULL)
		p->eom(f->self, m, to_pnf(m->body));
	if (p->done != NULL)
		p->done(f->self, m);
}

static void
run_filters(struct chain *c, struct pnf_msg *m, const struct scan_request *r,
    chain_progress *progress, void *arg)
{
	for (size_t i = 0; i < m->flow->n_filters; i++) {
		const struct chain_filter *f = chain_find(c, m->flow->filters[i].filter);

		m->filter = (uint8_t)i;
		if (r->skip & 1u << i) {
			run_record(m, m->filter, -1, SPAN("not asked: it has failed before"));
			m->result.not_run |= 1u << i;
		} else if (f == NULL || !f->is_loaded) {
			run_record(m, m->filter, -1, span_str(f != NULL ? f->why : "not loaded"));
			m->result.not_run |= 1u << i;
		} else {
			if (progress != NULL)
				progress(arg, (int)i);
			run_filter(m, f, r);
		}
	}
	if (progress != NULL)
		progress(arg, -1);
}

int
chain_scan(struct chain *c, const struct scan_request *request, struct span body,
    const struct snapshot *snapshot, chain_progress *progress, void *arg, struct chain_run **out)
{
	struct chain_run *run;
	struct pnf_msg *m;

	*out = NULL;
	if (request->flow >= c->config->n_flows)
		return -E_NOT_FOUND;
	run = mem_alloc(sizeof(*run));
	m = &run->msg;
	arena_init(&m->memory, CHAIN_FILTER_MEMORY);
	arena_init(&m->mime_memory, CHAIN_MIME_MEMORY);
	arena_init(&m->header_memory, CHAIN_HEADER_MEMORY);
	arena_init(&m->unpack_memory, CHAIN_UNPACK_MEMORY);
	m->chain = c;
	m->flow = &c->config->flows[request->flow];
	m->id = request->id;
	m->body = body;
	if (progress != NULL)
		progress(arg, -1);
	mime_parse(body, &(struct mime_limits){0}, &m->mime_memory, &m->mime);
	decode_headers(m);
	note_anomalies(m);
	run_filters(c, m, request, progress, arg);
	strips_place(m);
	normals_make(m);
	if (snapshot != NULL)
		truths_fill(m, snapshot);
	if (request->wants_hosts)
		hosts_fill(m);
	*out = run;
	return 0;
}

const struct scan_result *
chain_result(const struct chain_run *run)
{
	return &run->msg.result;
}

bool
chain_was_rough(const struct chain_run *run)
{
	return run->msg.is_rough;
}

void
chain_run_free(struct chain_run **run)
{
	if (*run == NULL)
		return;
	arena_free(&(*run)->msg.memory);
	arena_free(&(*run)->msg.mime_memory);
	arena_free(&(*run)->msg.header_memory);
	arena_free(&(*run)->msg.unpack_memory);
	arena_free(&(*run)->msg.host_memory);
	arena_free(&(*run)->msg.normal_memory);
	mem_free(*run);
	*run = NULL;
}

#include "relay/ipc/held.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

enum {
	HELD_ID_MAX = 40,   /* of a message: SPOOL_ID_MAX */
	HELD_CONF_MAX = 256 /* flow and gateway */
};

void
held_facts_put(struct buf *to, const struct held_facts *f)
{
	put_ip(to, &f->client);
	put_u8(to, f->has_host);
	put_span(to, f->host);
	put_span(to, f->helo);
	put_span(to, f->user);
	put_span(to, f->tls);
	put_u8(to, f->sender);
	put_u32(to, (uint32_t)f->n_lists);
	for (size_t i = 0; i < f->n_lists; i++) {
		put_span(to, f->lists[i].zone);
		put_u8(to, f->lists[i].state);
		put_u32(to, f->lists[i].address);
		put_u8(to, f->lists[i].of);
		put_span(to, f->lists[i].name);
	}
}

static void
get_facts(struct wire *w, struct held_facts *f, struct held_list *lists)
{
	*f = (struct held_facts){.client = get_ip(w)};
	f->has_host = get_bool(w);
	f->host = get_span(w, HELD_NAME_MAX);
	f->helo = get_span(w, HELD_NAME_MAX);
	f->user = get_span(w, HELD_NAME_MAX);
	f->tls = get_span(w, HELD_NAME_MAX);
	f->sender = (uint8_t)get_enum(w, HELD_SENDER_LAST);
	f->n_lists = get_count(w, HELD_LISTS_MAX);
	f->lists = lists;
	for (size_t i = 0; i < f->n_lists && !w->failed; i++) {
		lists[i].zone = get_span(w, HELD_NAME_MAX);
		lists[i].state = (uint8_t)get_enum(w, HELD_LIST_STATE_LAST);
		lists[i].address = get_u32(w);
		lists[i].of = (uint8_t)get_enum(w, HELD_LIST_OF_LAST);
		lists[i].name = get_span(w, HELD_NAME_MAX);
	}
}

int
held_facts_get(struct span bytes, struct held_facts *f, struct held_list lists[HELD_LISTS_MAX])
{
	struct wire w = wire_over(bytes);

	get_facts(&w, f, lists);
	if (wire_end(&w) == 0)
		return 0;
	*f = (struct held_facts){0};
	return -E_CORRUPT;
}

void
held_put(struct buf *to, const struct held *h, struct span facts)
{
	put_span(to, h->id);
	put_span(to, h->part);
	put_u8(to, h->is_last);
	put_span(to, h->flow);
	put_span(to, h->from);
	put_u8(to, h->is_8bit);
	put_u8(to, h->is_utf8);
	put_span(to, h->received);
	put_u64(to, h->section);
	put_u64(to, h->size);
	put_span(to, facts);
	put_u32(to, (uint32_t)h->n_rcpts);
	for (size_t i = 0; i < h->n_rcpts; i++) {
		put_span(to, h->rcpts[i].address);
		put_span(to, h->rcpts[i].gateway);
		put_u8(to, (uint8_t)h->rcpts[i].notify);
		put_span(to, h->rcpts[i].orcpt);
	}
}

static void
get_rcpts(struct wire *w, struct held *h, struct commit_rcpt *rcpts)
{
	h->n_rcpts = get_count(w, COMMIT_RCPTS_MAX);
	h->rcpts = rcpts;
	if (h->n_rcpts == 0)
		w->failed = true;
	for (size_t i = 0; i < h->n_rcpts && !w->failed; i++) {
		rcpts[i] = (struct commit_rcpt){.address = get_span(w, COMMIT_ADDRESS_MAX)};
		rcpts[i].gateway = get_span(w, HELD_CONF_MAX);
		rcpts[i].notify = get_enum(w, NOTIFY_ALL);
		rcpts[i].orcpt = get_span(w, NOTIFY_ORCPT_MAX);
		if (rcpts[i].address.n == 0)
			w->failed = true;
	}
}

int
held_get(struct span payload, struct held *h, struct held_room *room)
{
	struct wire w = wire_over(payload);
	struct span facts;

	*h = (struct held){0};
	h->id = get_span(&w, HELD_ID_MAX);
	h->part = get_span(&w, HELD_ID_MAX);
	h->is_last = get_bool(&w);
	h->flow = get_span(&w, HELD_CONF_MAX);
	h->from = get_span(&w, COMMIT_ADDRESS_MAX);
	h->is_8bit = get_bool(&w);
	h->is_utf8 = get_bool(&w);
	h->received = get_span(&w, HELD_RECEIVED_MAX);
	h->section = get_u64(&w);
	h->size = get_u64(&w);
	facts = get_span(&w, HELD_FACTS_MAX);
	get_rcpts(&w, h, room->rcpts);
	if (h->section > h->size || h->section > COMMIT_HEADER_MAX || h->id.n == 0 ||
	    h->part.n == 0)
		w.failed = true;
	if (wire_end(&w) == 0 && held_facts_get(facts, &h->facts, room->lists) == 0)
		return 0;
	*h = (struct held){0};
	return -E_CORRUPT;
}

void
replacement_put(struct buf *to, const struct replacement *r)
{
	put_u8(to, r->is_deadly);
	put_u32(to, (uint32_t)r->commit.n_rcpts);
	for (size_t i = 0; i < r->commit.n_rcpts; i++)
		put_u32(to, r->asked[i]);
	commit_put(to, &r->commit);
}

/* How often each of those who were asked about is there: at least once, and twice when the message is
 * stripped for it. */
static size_t
get_asked(struct wire *w, size_t n_asked, struct replacement_room *room)
{
	uint8_t *said = mem_array(n_asked, sizeof(*said));
	size_t n = get_count(w, COMMIT_RCPTS_MAX), n_said = 0;

	for (size_t i = 0; i < n && !w->failed; i++) {
		room->asked[i] = get_u32(w);
		if (w->failed || room->asked[i] >= n_asked || said[room->asked[i]]++ == 2)
			w->failed = true;
		else
			n_said += said[room->asked[i]] == 1;
	}
	if (n_said != n_asked)
		w->failed = true;
	mem_free(said);
	return n;
}

/* Of who is there twice, one copy is the original for quarantine and one lacks parts of it. */
static bool
twins_are_stripped(const struct replacement *r, size_t n_asked)
{
	uint8_t *kinds = mem_array(n_asked, sizeof(*kinds));
	bool is_fine = true;

	for (size_t i = 0; i < r->commit.n_rcpts; i++) {
		const struct commit_copy *c = &r->commit.copies[r->commit.rcpts[i].copy];
		uint8_t *kind = &kinds[r->asked[i]];
		uint8_t own = c->n_cuts > 0 ? 1 : c->fate == COPY_QUARANTINE ? 2 : 4;

		is_fine = is_fine && (*kind == 0 || (*kind | own) == 3) && *kind != own;
		*kind |= own;
	}
	mem_free(kinds);
	return is_fine;
}

int
replacement_get(
    struct span payload, size_t n_asked, struct replacement *r, struct replacement_room *room)
{
	struct wire w = wire_over(payload);
	size_t n;

	*r = (struct replacement){.asked = room->asked, .is_deadly = get_bool(&w)};
	must(n_asked <= COMMIT_RCPTS_MAX);
	n = get_asked(&w, n_asked, room);
	if (!w.failed && commit_get(w.rest, &r->commit, &room->commit) == 0 &&
	    r->commit.n_rcpts == n && twins_are_stripped(r, n_asked))
		return 0;
	*r = (struct replacement){0};
	return -E_CORRUPT;
}

bool
replacement_is_of(const struct replacement *r, uint64_t section, uint64_t size)
{
	const struct commit *c = &r->commit;

	return c->skip == section && c->body_size == size && !c->is_inline;
}

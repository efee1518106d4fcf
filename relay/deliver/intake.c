#include "relay/deliver/intake.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"

#include <unistd.h>

/* What front has been allowed to send, the spool takes. */
_Static_assert((int)COMMIT_ENVELOPE_MAX <= (int)SPOOL_ENVELOPE_MAX, "an envelope fits");

struct intake {
	struct map *by_cookie, *by_id;
	uint64_t last_cookie;
	void (*on_done)(void *arg, struct arrival *a, const struct err *err);
	void *arg;
};

struct intake *
intake_new(void (*on_done)(void *arg, struct arrival *a, const struct err *err), void *arg)
{
	struct intake *in = mem_alloc(sizeof(*in));

	in->by_cookie = map_new();
	in->by_id = map_new();
	in->on_done = on_done;
	in->arg = arg;
	return in;
}

void
intake_free(struct intake **in)
{
	size_t at = 0;
	void *value;

	if (*in == NULL)
		return;
	while (map_next((*in)->by_cookie, &at, NULL, &value)) {
		struct arrival *a = value;

		if (!a->is_kept)
			entry_free(&a->entry);
		mem_free(a);
	}
	map_free(&(*in)->by_cookie);
	map_free(&(*in)->by_id);
	mem_free(*in);
	*in = NULL;
}

static struct queue_entry *
new_entry(struct span id, const struct envelope *envelope, struct buf *bytes)
{
	envelope_put(bytes, envelope);
	return bytes->failed ? NULL : entry_new(id, buf_span(bytes));
}

/* All copies' header sections in a row; one alone as it is. */
static struct span
join_prefixes(const struct envelope *e, struct buf *room)
{
	if (e->n_copies == 1 && e->copies[0].n_cuts == 0)
		return e->copies[0].prefix;
	(void)envelope_put_prefixes(room, e); /* sticky: the caller tests */
	return buf_span(room);
}

static uint64_t
expect(struct intake *in, const struct arrival *about, struct queue_entry *e)
{
	struct arrival *a = mem_alloc(sizeof(*a));
	uint64_t cookie = ++in->last_cookie;

	*a = *about;
	a->entry = e;
	(void)map_set_u64(in->by_cookie, cookie, a); /* a new number: nothing stood there */
	(void)map_set(in->by_id, span_str(e->id), a);
	return cookie;
}

int
intake_put(struct intake *in, struct spool *spool, const struct arrival *about, struct span id,
    const struct envelope *envelope, const struct intake_body *body)
{
	struct buf bytes = BUF_INIT(SPOOL_ENVELOPE_MAX), room = BUF_INIT(COMMIT_PREFIXES_MAX);
	struct queue_entry *e = new_entry(id, envelope, &bytes);
	struct span prefix = join_prefixes(envelope, &room);

	if (e == NULL || room.failed) {
		if (body->fd >= 0)
			(void)close(body->fd); /* memory only */
		entry_free(&e);
		buf_free(&room);
		buf_free(&bytes);
		return -E_CORRUPT;
	}
	spool_put(spool, expect(in, about, e), id, buf_span(&bytes), prefix, body->body, body->fd,
	    body->skip, body->size);
	buf_free(&room);
	buf_free(&bytes);
	return 0;
}

void
intake_keep(struct intake *in, struct spool *spool, const struct arrival *about,
    struct queue_entry *e, struct span envelope, struct span prefix, const struct intake_body *body)
{
	struct arrival kept = *about;

	kept.is_kept = true;
	spool_put(spool, expect(in, &kept, e), span_str(e->id), envelope, prefix, body->body,
	    body->fd, body->skip, body->size);
}

void
intake_committed(struct intake *in, uint64_t cookie, struct spool_message *m, const struct err *err)
{
	struct arrival *a = map_remove_u64(in->by_cookie, cookie);

	must(a != NULL);
	(void)map_remove(in->by_id, span_str(a->entry->id)); /* it is a */
	if (err == NULL) {
		a->entry->msg = m;
		entry_set_size(a->entry, spool_message_size(m));
	} else if (!a->is_kept) {
		entry_free(&a->entry);
	}
	in->on_done(in->arg, a, err);
	mem_free(a);
}

bool
intake_has(const struct intake *in, struct span id)
{
	return map_get(in->by_id, id) != NULL;
}

size_t
intake_count(const struct intake *in)
{
	return map_count(in->by_cookie);
}

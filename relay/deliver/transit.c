#include "relay/deliver/transit.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static uint64_t held; /* by all transits of the process, bytes */

bool
transit_has_room(uint64_t bytes)
{
	return held <= TRANSIT_BYTES_MAX && bytes <= TRANSIT_BYTES_MAX - held;
}

static bool
take_bytes(struct transit *t, const struct envelope *e, const struct intake_body *body)
{
	t->envelope.max = SPOOL_ENVELOPE_MAX;
	t->bytes.max = COMMIT_PREFIXES_MAX + TRANSIT_INLINE_MAX;
	envelope_put(&t->envelope, e);
	(void)envelope_put_prefixes(&t->bytes, e); /* sticky: tested below */
	(void)buf_add_span(&t->bytes, body->body);
	return !t->envelope.failed && !t->bytes.failed;
}

struct transit *
transit_new(struct span id, const struct envelope *envelope, const struct intake_body *body)
{
	struct transit *t = mem_alloc(sizeof(*t));

	t->fd = -1;
	list_init(&t->node);
	if (take_bytes(t, envelope, body))
		t->entry = entry_new(id, buf_span(&t->envelope));
	if (t->entry == NULL) {
		transit_free(&t);
		return NULL;
	}
	t->fd = body->fd;
	t->skip = body->skip;
	t->body_bytes = body->fd >= 0 ? body->size - body->skip : 0;
	t->entry->transit = t;
	entry_set_size(t->entry, transit_size(t));
	held += transit_size(t);
	return t;
}

void
transit_free(struct transit **t)
{
	struct transit *gone = *t;

	if (gone == NULL)
		return;
	if (gone->entry != NULL) {
		held -= transit_size(gone);
		gone->entry->transit = NULL;
	}
	timer_cancel(&gone->wait);
	list_remove(&gone->node);
	if (gone->fd >= 0)
		(void)close(gone->fd); /* memory only */
	buf_free(&gone->envelope);
	buf_free(&gone->bytes);
	mem_free(gone);
	*t = NULL;
}

uint64_t
transit_size(const struct transit *t)
{
	return t->bytes.n + t->body_bytes;
}

int
transit_store(struct transit *t, struct intake *in, struct spool *spool)
{
	size_t prefix = (size_t)t->entry->prefixes;
	struct span bytes = buf_span(&t->bytes);
	struct intake_body body = {.body = span_skip(bytes, prefix), .fd = -1};

	body.size = body.body.n;
	if (t->fd >= 0) {
		/* A descriptor of its own: the gateway may be reading meanwhile. */
		body.fd = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);
		if (body.fd < 0)
			return -E_IO;
		body.skip = t->skip;
		body.size = t->skip + t->body_bytes;
	}
	t->state = TRANSIT_STORING;
	intake_keep(in, spool, &t->arrival, t->entry, buf_span(&t->envelope),
	    span_take(bytes, prefix), &body);
	return 0;
}

/* From the memory file behind the bytes. */
static int
read_file(const struct transit *t, uint64_t offset, char *to, size_t n)
{
	while (n > 0) {
		ssize_t got = pread(t->fd, to, n, (off_t)(t->skip + offset));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -E_IO;
		to += got;
		offset += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

int
transit_read(struct spool *spool, const struct queue_entry *e, uint64_t offset, void *to, size_t n)
{
	const struct transit *t = e->transit;
	size_t here;

	if (t == NULL)
		return spool_read(spool, e->msg, offset, to, n);
	if (offset > transit_size(t) || n > transit_size(t) - offset)
		return -E_CORRUPT;
	here = offset < t->bytes.n ? t->bytes.n - (size_t)offset : 0;
	if (here > n)
		here = n;
	if (here > 0)
		memcpy(to, t->bytes.p + offset, here);
	if (here == n)
		return 0;
	return read_file(t, offset + here - t->bytes.n, (char *)to + here, n - here);
}

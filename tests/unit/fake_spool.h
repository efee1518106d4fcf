/*
 * fake_spool.h - a spool in memory, in the place of relay/spool: messages are durable when the
 * test says so, and every note is kept for it to look at.
 */
#ifndef TEST_FAKE_SPOOL_H
#define TEST_FAKE_SPOOL_H
#include "relay/base/mem.h"
#include "relay/spool/spool.h"

#include <unistd.h>

enum { FAKE_MESSAGES = 4096 };

struct spool_message {
	bool is_live, is_committed, is_damaged;
	unsigned verify_steps; /* answered with -E_AGAIN first: it is large */
	uint64_t cookie;
	char id[SPOOL_ID_MAX + 1];
	struct buf envelope, bytes, note;
	struct buf unwritten; /* the newest note, while `refuses_notes` */
	bool has_unwritten, is_done_unwritten;
	uint32_t prefix;
};

struct spool {
	struct spool_message messages[FAKE_MESSAGES];
	size_t n; /* ever put */
	size_t n_forgotten, n_notes;
	uint64_t asked_room;         /* last */
	bool is_full, is_unreadable; /* nothing is taken; nothing is given back */
	bool refuses_notes;          /* they wait in memory, until fake_spool_write */
};

static struct spool fake_spool;

void
spool_put(struct spool *s, uint64_t cookie, struct span id, struct span envelope,
    struct span prefix, struct span body, int body_fd, uint64_t body_skip, uint64_t body_size)
{
	struct spool_message *m = &s->messages[s->n++];

	must(s->n <= FAKE_MESSAGES && body.n <= body_size);
	m->is_live = true;
	m->cookie = cookie;
	must(span_copy(id, m->id, sizeof(m->id)));
	m->envelope.max = m->bytes.max = 1 << 20;
	m->note.max = m->unwritten.max = SPOOL_NOTE_MAX;
	must(buf_add_span(&m->envelope, envelope) == 0);
	must(buf_add_span(&m->bytes, prefix) == 0 && buf_add_span(&m->bytes, body) == 0);
	if (body_fd >= 0) {
		size_t n = (size_t)(body_size - body_skip);
		char *room = buf_room(&m->bytes, n);

		must(room != NULL && pread(body_fd, room, n, (off_t)body_skip) == (ssize_t)n);
		m->bytes.n += n;
		(void)close(body_fd);
	}
	m->prefix = (uint32_t)prefix.n;
}

bool
spool_has_room(const struct spool *s, uint64_t size)
{
	fake_spool.asked_room = size;
	return !s->is_full;
}

void
spool_note(struct spool *s, struct spool_message *m, struct span note)
{
	struct buf *to;

	must(m->is_live);
	s->n_notes++;
	m->has_unwritten = s->refuses_notes;
	to = s->refuses_notes ? &m->unwritten : &m->note;
	buf_clear(to);
	must(buf_add_span(to, note) == 0);
}

void
spool_forget(struct spool *s, struct spool_message **m)
{
	must((*m)->is_live);
	(*m)->is_live = false;
	(*m)->is_done_unwritten = s->refuses_notes;
	s->n_forgotten++;
	*m = NULL;
}

uint64_t
spool_message_serial(const struct spool_message *m)
{
	return (uint64_t)(m - fake_spool.messages) + 1;
}

uint64_t
spool_message_size(const struct spool_message *m)
{
	return m->bytes.n;
}

uint32_t
spool_message_prefix(const struct spool_message *m)
{
	return m->prefix;
}

int
spool_read(struct spool *s, const struct spool_message *m, uint64_t offset, void *to, size_t n)
{
	(void)s;
	must(offset + n <= m->bytes.n);
	memcpy(to, m->bytes.p + offset, n);
	return 0;
}

int
spool_verify(struct spool *s, const struct spool_message *m)
{
	struct spool_message *own = &s->messages[m - s->messages];

	if (own->verify_steps > 0) {
		own->verify_steps--;
		return -E_AGAIN;
	}
	return m->is_damaged ? -E_CORRUPT : 0;
}

int
spool_recall(struct spool *s, const struct spool_message *m, struct buf *head, struct span *id,
    struct span *envelope, struct buf *note)
{
	buf_clear(head);
	buf_clear(note);
	must(buf_add_span(head, buf_span(&m->envelope)) == 0);
	must(buf_add_span(note, buf_span(&m->note)) == 0);
	*id = span_str(m->id);
	*envelope = buf_span(head);
	return s->is_unreadable ? -E_IO : 0; /* is_damaged speaks of the body */
}

bool
spool_is_noted(const struct spool *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->messages[i].is_live && s->messages[i].has_unwritten)
			return false;
	return !s->is_full;
}

/* The disk takes notes again: what has waited is written, or (a kill) is lost. */
static inline void
fake_spool_write(bool is_lost)
{
	fake_spool.refuses_notes = false;
	for (size_t i = 0; i < fake_spool.n; i++) {
		struct spool_message *m = &fake_spool.messages[i];

		if (is_lost && m->is_done_unwritten)
			m->is_live = true;
		if (!is_lost && m->has_unwritten) {
			buf_clear(&m->note);
			must(buf_add_span(&m->note, buf_span(&m->unwritten)) == 0);
		}
		m->has_unwritten = m->is_done_unwritten = false;
	}
}

static inline void
fake_spool_clear(void)
{
	for (size_t i = 0; i < fake_spool.n; i++) {
		buf_free(&fake_spool.messages[i].envelope);
		buf_free(&fake_spool.messages[i].bytes);
		buf_free(&fake_spool.messages[i].note);
		buf_free(&fake_spool.messages[i].unwritten);
	}
	fake_spool = (struct spool){0};
}

#endif

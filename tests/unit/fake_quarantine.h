/*
 * fake_quarantine.h - a quarantine in memory, in the place of relay/quarantine: letters are durable,
 * or fail, when the test says so.
 */
#ifndef TEST_FAKE_QUARANTINE_H
#define TEST_FAKE_QUARANTINE_H
#include "relay/base/mem.h"
#include "relay/quarantine/quarantine.h"

enum { FAKE_LETTERS = 2048 };

struct fake_letter {
	bool is_put, is_durable;
	struct quarantine_source from;
	struct letter letter; /* its own copy */
	struct buf bytes;
};

struct quarantine {
	const struct quarantine_events *events;
	void *arg;
	bool is_full; /* has_room says no */
	struct fake_letter letters[FAKE_LETTERS];
	size_t n;
};

static struct quarantine fake_quarantine;

bool
quarantine_has_room(const struct quarantine *q)
{
	return !q->is_full;
}

int
quarantine_put(struct quarantine *q, const struct quarantine_source *from, const struct letter *l)
{
	struct fake_letter *f = &q->letters[q->n++];
	struct buf head = BUF_INIT(LETTER_HEAD_MAX);

	must(q->n <= FAKE_LETTERS);
	letter_put(&head, l);
	must(letter_get(buf_span(&head), &f->letter) == 0);
	buf_free(&head);
	f->from = *from;
	f->is_put = true;
	f->bytes.max = 1 << 20;
	return 0;
}

const struct shelf *
quarantine_shelf(const struct quarantine *q)
{
	(void)q;
	return NULL;
}

struct helper *
quarantine_helper(const struct quarantine *q)
{
	(void)q;
	return NULL;
}

bool
quarantine_has(const struct quarantine *q, struct span id)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->letters[i].is_durable && span_eq(q->letters[i].letter.id, id))
			return true;
	return false;
}

struct quarantine_totals
quarantine_totals(const struct quarantine *q)
{
	(void)q;
	return (struct quarantine_totals){0};
}

void
quarantine_gone(struct quarantine *q, struct span id)
{
	(void)q;
	(void)id;
}

/* Everything that is on its way becomes durable (code 0) or fails.  True: there was something. */
static inline bool
fake_quarantine_end(int code)
{
	struct quarantine *q = &fake_quarantine;
	bool has_any = false;

	for (size_t i = 0; i < q->n; i++) {
		struct fake_letter *f = &q->letters[i];
		struct err err = {.code = code, .text = "as the test says"};
		int r;

		if (!f->is_put)
			continue;
		has_any = true;
		f->is_put = false;
		r = q->events->on_read(q->arg, &f->from, 0, buf_room(&f->bytes, f->letter.size),
		    (size_t)f->letter.size);
		f->bytes.n = f->letter.size;
		if (r < 0)
			err.code = -r;
		f->is_durable = err.code == 0;
		q->events->on_stored(q->arg, &f->from, f->letter.id, f->is_durable ? NULL : &err);
	}
	return has_any;
}

static inline void
fake_quarantine_clear(void)
{
	for (size_t i = 0; i < fake_quarantine.n; i++) {
		letter_free(&fake_quarantine.letters[i].letter);
		buf_free(&fake_quarantine.letters[i].bytes);
	}
	fake_quarantine = (struct quarantine){0};
}

#endif

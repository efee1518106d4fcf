/* Envelopes and notes as a damaged disk would give them back: u16 length of the envelope, the
 * envelope, the note. */
#include "relay/base/clock.h"
#include "relay/deliver/show.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use(struct queue_entry *e)
{
	struct queue *q = queue_new();
	struct buf line = BUF_INIT(1 << 24), note = BUF_INIT(1 << 24);

	must(queue_add(q, e) == 0);
	for (size_t i = 0; i < e->n_legs; i++)
		queue_defer(q, &e->legs[i], e->legs[i].due.ms);
	show_entry(&line, e, true, SPAN("Subject: x\r\n"));
	note_put(&note, e);
	must(!line.failed && !note.failed);
	must(note_get(buf_span(&note), e) == 0); /* what we write we can read */
	while (queue_take_due(q, INT64_MAX) != NULL)
		;
	buf_free(&line);
	buf_free(&note);
	queue_free(&q);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire w = wire_over(span_of(data, size));
	size_t n = get_u16(&w);
	struct queue_entry *e;

	clock_fake(1000, 1700000000000LL);
	if (w.failed || n > w.rest.n)
		return 0;
	e = entry_new(SPAN("ID"), span_take(w.rest, n));
	if (e == NULL)
		return 0;
	(void)note_get(span_skip(w.rest, n), e); /* a bad one is no error here */
	use(e);
	return 0;
}

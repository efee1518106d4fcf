/* A quarantine file's head of arbitrary bytes: read or refused; what is read is written the same. */
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/quarantine/letter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must_be_same(const struct letter *a, const struct letter *b)
{
	must(span_eq(a->id, b->id) && span_eq(a->flow, b->flow) && span_eq(a->from, b->from) &&
	     span_eq(a->envid, b->envid) && span_eq(a->reason, b->reason) &&
	     span_eq(a->subject, b->subject));
	must(a->received_ms == b->received_ms && a->stored_ms == b->stored_ms &&
	     a->is_8bit == b->is_8bit && a->is_utf8 == b->is_utf8 && a->ret == b->ret &&
	     a->releases == b->releases && a->section == b->section && a->size == b->size);
	must(a->n_rcpts == b->n_rcpts);
	for (size_t i = 0; i < a->n_rcpts; i++)
		must(span_eq(a->rcpts[i].address, b->rcpts[i].address) &&
		     span_eq(a->rcpts[i].gateway, b->rcpts[i].gateway) &&
		     a->rcpts[i].notify == b->rcpts[i].notify &&
		     span_eq(a->rcpts[i].orcpt, b->rcpts[i].orcpt));
}

/* The length that the first line gives is made the true one, so that the inside is reached. */
static void
put_length_right(char *bytes, size_t n)
{
	static const char begin[] = "X-Postern-Quarantine: v=1 head=";
	static const char digits[] = "0123456789abcdef";

	if (n < LETTER_LINE || memcmp(bytes, begin, sizeof(begin) - 1) != 0)
		return;
	for (size_t i = 0; i < 8; i++)
		bytes[sizeof(begin) - 1 + i] = digits[n >> (28 - 4 * i) & 15];
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *bytes = mem_dup(span_of(data, n));
	struct buf again = BUF_INIT(LETTER_HEAD_MAX), shown = BUF_INIT(LETTER_HEAD_MAX);
	struct letter l, m;

	put_length_right(bytes, n);
	if (letter_get(span_of(bytes, n), &l) == 0) {
		must(letter_id_is_fine(l.id) && l.head == n && l.section <= l.size);
		letter_put(&again, &l);
		must(!again.failed && letter_get(buf_span(&again), &m) == 0);
		must_be_same(&l, &m);
		letter_show(&shown, &l, 1000, true);
		letter_free(&m);
		letter_free(&l);
	}
	buf_free(&shown);
	buf_free(&again);
	mem_free(bytes);
	return 0;
}

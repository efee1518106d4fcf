#include "relay/ipc/control.h"

void
control_request_put(struct buf *to, const struct control_request *r)
{
	put_u32(to, (uint32_t)r->n_words);
	for (size_t i = 0; i < r->n_words; i++)
		put_span(to, r->words[i]);
	put_span(to, r->asker);
}

int
control_request_get(struct span payload, struct control_request *r)
{
	struct wire w = wire_over(payload);

	r->n_words = get_count(&w, CONTROL_WORDS_MAX);
	for (size_t i = 0; i < r->n_words; i++)
		r->words[i] = get_span(&w, CONTROL_WORD_MAX);
	r->asker = get_span(&w, CONTROL_ASKER_MAX);
	return wire_end(&w);
}

void
control_end_put(struct buf *to, const struct control_end *e)
{
	put_u8(to, e->status);
	put_span(to, e->text);
}

int
control_end_get(struct span payload, struct control_end *e)
{
	struct wire w = wire_over(payload);

	e->status = get_u8(&w);
	e->text = get_span(&w, CONTROL_WORD_MAX);
	return wire_end(&w);
}

/* normalising.h - the bytes of a rewritten message as its recipients get them, for tests and fuzzers. */
#ifndef TESTS_NORMALISING_H
#define TESTS_NORMALISING_H
#include "relay/base/err.h"
#include "relay/message/normal.h"
#include "relay/message/strip.h"

/* As 6_commit.c and the queue make it, but for the fields that are put on top; notices say nothing. */
static inline void
normalising_apply(struct span message, const struct normal *n, struct buf *to)
{
	const struct scan_part none = {0};
	const struct strip_notice notice = {.hostname = SPAN("postern"), .part = &none};
	size_t header = header_section_length(message);
	uint64_t from = header;

	if (n->has_head)
		must(normal_head_section(span_take(message, n->section), n->head, to) == 0);
	else
		must(buf_add_span(to, span_take(message, header)) == 0);
	for (size_t i = 0; i < n->n_cuts; i++) {
		const struct normal_cut *cut = &n->cuts[i];

		must(cut->at >= from && cut->n <= message.n && cut->at <= message.n - cut->n);
		must(buf_add(to, message.p + from, (size_t)(cut->at - from)) == 0);
		must(buf_add_span(to, cut->text) == 0);
		if (cut->notice != NORMAL_NO_NOTICE)
			must(strip_text(&notice, to) == 0);
		from = cut->at + cut->n;
	}
	must(buf_add_span(to, span_skip(message, (size_t)from)) == 0);
}

/* Whether a message that is read in one way, of which `m` was parsed, is what would be made of it: every byte. */
static inline bool
normalising_is_settled(struct span message, const struct mime_message *m)
{
	struct normal *made = mem_alloc(sizeof(*made));
	struct buf bytes = BUF_INIT(2 * NORMAL_MESSAGE_MAX + NORMAL_TEXT_MAX);
	struct arena memory;
	bool is_settled = message.n == 0;

	arena_init(&memory, 8 * NORMAL_TEXT_MAX);
	if (!is_settled && normal_make(message, m, &memory, made) == 0) {
		normalising_apply(message, made, &bytes);
		is_settled = span_eq(buf_span(&bytes), message);
	}
	buf_free(&bytes);
	arena_free(&memory);
	mem_free(made);
	return is_settled;
}

#endif

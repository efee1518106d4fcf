/*
 * fuzz_normal.c - any message: what the rewriter makes of it is read in one way, by the parser that found
 * the others, rewriting that changes nothing, and every leaf of it was there before, or is a notice.
 */
#include "relay/message/decode.h"
#include "tests/lib/normalising.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY = 32 * 1024 * 1024, MADE_MAX = 16 * 1024 * 1024 };

static bool
is_old(const struct mime_message *before, const struct mime_part *p)
{
	for (size_t i = 0; i < before->n_parts; i++)
		if (span_eq(p->decoded, before->parts[i].decoded) ||
		    (p->text.n > 0 && span_eq(p->text, before->parts[i].text)))
			return true;
	return span_starts(p->decoded, SPAN("An attachment was removed here by postern."));
}

static void
check_leaves(const struct mime_message *before, const struct mime_message *after)
{
	for (size_t i = 0; i < after->n_parts; i++) {
		const struct mime_part *p = &after->parts[i];

		must(p->is_multipart || p->is_message || is_old(before, p));
	}
}

/* Of a part that is rewritten nothing that is not mail may come: no bare CR or LF that was not there. */
static void
check_texts(struct span message, const struct normal *made)
{
	uint64_t end = header_section_length(message);

	must(!made->has_head || normal_head_is_fine(made->head));
	must(made->n_cuts > 0 && made->section <= end);
	for (size_t i = 0; i < made->n_cuts; i++) {
		const struct normal_cut *c = &made->cuts[i];

		must(c->at >= end && normal_text_is_fine(c->text, true));
		end = c->at + c->n;
	}
	must(end <= message.n);
}

static void
check(struct span message, const struct mime_message *m, const struct normal *made)
{
	struct buf bytes = BUF_INIT(MADE_MAX);
	struct mime_message again;
	struct arena memory;

	check_texts(message, made);
	normalising_apply(message, made, &bytes);
	arena_init(&memory, MEMORY);
	mime_parse(buf_span(&bytes), NULL, &memory, &again);
	must(normal_is_plain(&again) && !mime_is_malformed(&again) && !mime_is_truncated(&again));
	must(normalising_is_settled(buf_span(&bytes), &again));
	check_leaves(m, &again);
	arena_free(&memory);
	buf_free(&bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct normal made; /* large */
	static bool is_warm;
	struct span message = span_of(data, size);
	struct arena parsed, memory;
	struct mime_message m;

	if (!is_warm)
		decode_warm_up();
	is_warm = true;
	arena_init(&parsed, MEMORY);
	arena_init(&memory, 8 * NORMAL_TEXT_MAX);
	mime_parse(message, NULL, &parsed, &m);
	if (normal_make(message, &m, &memory, &made) == 0)
		check(message, &m, &made);
	arena_free(&memory);
	arena_free(&parsed);
	return 0;
}

/*
 * fuzz_content.c - a message that is received in pieces of any size is the one received at once:
 * the same header section, cleaned, the same body, the same word where it is too long.
 */
#include "relay/front/content.h"
#include "relay/message/edit.h"
#include "relay/message/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
receive(struct content *c, struct span message, size_t first, size_t step)
{
	size_t n = first;
	int r = 0;

	content_start(c, "mx.example");
	while (r == 0 && message.n > 0) {
		r = content_add(c, span_take(message, n));
		message = span_skip(message, n);
		n = step;
	}
	return r == 0 ? content_end(c) : r;
}

static void
check_same(struct span message, const struct content *whole, int r, size_t first, size_t step)
{
	struct content c;

	must(receive(&c, message, first, step) == r);
	if (r == 0) {
		must(c.size == whole->size && c.header == whole->header && c.hops == whole->hops);
		must(span_eq(content_inline(&c), content_inline(whole)));
		must(span_eq(buf_span(&c.section), buf_span(&whole->section)));
	}
	content_free(&c);
}

/* What is kept is the cleaned section and, byte for byte, what stood behind the old one. */
static void
check_whole(struct span message, const struct content *c)
{
	size_t length = header_section_length(message);
	struct span body = span_skip(message, length);

	must(c->header == c->section.n && c->header <= length);
	must(span_starts(content_inline(c), buf_span(&c->section)));
	must(span_eq(span_skip(content_inline(c), c->header), body));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span message;
	struct content whole;
	int r;

	if (size < 3)
		return 0;
	/* Two bytes for the sizes of the pieces. */
	message = span_take(span_of(data + 2, size - 2), 60000); /* in memory as a whole */
	r = receive(&whole, message, message.n, 1);
	if (r == 0)
		check_whole(message, &whole);
	check_same(message, &whole, r, 1U + data[0], 1U + data[1]);
	check_same(message, &whole, r, message.n * data[0] / 256, message.n + 1);
	if (message.n < 2000)
		check_same(message, &whole, r, 1, 1);
	content_free(&whole);
	must(content_held() == 0);
	return 0;
}

/* fuzz_smtp_reply.c - any split gives the same reply; what we write our own reader takes. */
#include "relay/base/err.h"
#include "relay/smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ssize_t
push_cut(struct smtp_reply *r, struct span input, size_t step)
{
	size_t used = 0;

	while (used < input.n && !r->is_complete) {
		ssize_t got = smtp_reply_push(r, span_take(span_skip(input, used), step));

		if (got < 0)
			return got;
		used += (size_t)got;
	}
	return (ssize_t)used;
}

static void
check_written(const struct smtp_reply *r, struct span text)
{
	struct buf out = BUF_INIT(1 << 20);
	struct smtp_reply again = {.code = 0};
	struct span rest;

	must(smtp_reply_add(&out, r->is_complete ? r->code : 451, smtp_reply_enhanced(r), text,
		 SPAN("01JD0000000000000000000000")) == 0);
	rest = buf_span(&out);
	while (rest.n > 0)
		must(span_cut(&rest, '\n').n + 1 <= 512);
	/* More lines than a reply may have is the one thing that may be refused. */
	if (smtp_reply_push(&again, buf_span(&out)) != -E_LIMIT)
		must(again.is_complete && again.lines >= 1);
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct smtp_reply a, b;
	struct span input, line;
	ssize_t used;

	if (size < 2)
		return 0;
	a = b = (struct smtp_reply){.code = 0};
	input = span_of(data + 1, size - 1);
	used = push_cut(&a, input, input.n);
	must(push_cut(&b, input, data[0] % 16 + 1U) == used);
	if (used < 0)
		return 0;
	must(a.code == b.code && a.lines == b.lines && a.is_complete == b.is_complete);
	must(span_eq(span_of(a.text, a.text_n), span_of(b.text, b.text_n)));
	must(strlen(a.text) == a.text_n);
	for (size_t i = 0; smtp_reply_line(&a, i, &line); i++)
		must(i < a.lines);
	check_written(&a, input);
	return 0;
}

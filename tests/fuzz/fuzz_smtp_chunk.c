/*
 * fuzz_smtp_chunk.c - a message in chunks: any split says the same of it, no byte behind a chunk is
 * taken, and what is not found fault with goes out by DATA as it came.
 */
#include "relay/base/err.h"
#include "relay/smtp/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each chunk: a byte that says how long it is, then its bytes. */
static void
read_chunks(struct span input, size_t step, struct reader_chunks *c, struct buf *out)
{
	*c = (struct reader_chunks){0};
	while (input.n > 0) {
		size_t length = (unsigned char)input.p[0];

		input = span_skip(input, 1);
		if (length > input.n)
			length = input.n;
		reader_chunk_start(c, length, length == input.n);
		while (c->left > 0) {
			uint64_t left = c->left;
			struct span got = reader_chunk_push(c, span_take(input, step));

			must(got.n > 0 && got.n <= left && c->left == left - got.n);
			must(got.p == input.p);
			(void)buf_add_span(out, got); /* there is room */
			input = span_skip(input, got.n);
		}
	}
}

static void
check_goes_out(struct span message)
{
	struct buf wire = BUF_INIT(1 << 24), again = BUF_INIT(1 << 24);
	struct reader_data d;
	bool at_start = true;

	if (message.n > 0)
		(void)reader_data_stuff(message, &at_start, &wire); /* there is room */
	must(reader_data_stuff(SPAN(""), &at_start, &wire) == 0);
	reader_data_start(&d);
	must(reader_data_push(&d, buf_span(&wire), &again) == wire.n && d.is_ended && !d.has_bare);
	must(span_starts(buf_span(&again), message) && again.n <= message.n + 2);
	buf_free(&wire);
	buf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT(1 << 24), cut = BUF_INIT(1 << 24);
	struct reader_chunks a, b;
	struct span input, line;
	size_t used;

	if (size < 2)
		return 0;
	input = span_of(data + 1, size - 1);
	read_chunks(input, input.n, &a, &whole);
	read_chunks(input, data[0] % 16 + 1U, &b, &cut);
	must(a.has_bare == b.has_bare && a.has_nul == b.has_nul && a.size == b.size);
	must(a.is_after_cr == b.is_after_cr || a.has_bare);
	must(span_eq(buf_span(&whole), buf_span(&cut)) && a.size == whole.n);
	if (!a.has_bare && a.is_last)
		check_goes_out(buf_span(&whole));
	if (reader_skip_line(input, &used))
		must(used >= 2 && input.p[used - 1] == '\n' && input.p[used - 2] == '\r');
	else
		must(used + 1 >= input.n && reader_line(input, input.n + 1, &line, &used) != 1);
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}

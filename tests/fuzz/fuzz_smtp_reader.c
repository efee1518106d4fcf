/*
 * fuzz_smtp_reader.c - any split gives the same message; what was read, stuffed again and read
 * again, is the same message, and no lenient server would see an end inside it.
 */
#include "relay/base/err.h"
#include "relay/smtp/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
read_cut(struct reader_data *d, struct span input, size_t step, struct buf *out)
{
	size_t used = 0;

	reader_data_start(d);
	while (used < input.n && !d->is_ended) {
		struct span piece = span_take(span_skip(input, used), step);
		size_t before = out->n, got = reader_data_push(d, piece, out);

		must(got == piece.n || d->is_ended);
		must(out->n - before <= piece.n + 4);
		used += got;
	}
	return used;
}

static void
check_same(const struct reader_data *a, const struct reader_data *b)
{
	must(a->is_ended == b->is_ended && a->has_bare == b->has_bare);
	must(a->has_nul == b->has_nul && a->size == b->size);
	must(a->longest_line == b->longest_line);
}

static void
check_round_trip(struct span message, bool has_bare, size_t step)
{
	struct buf wire = BUF_INIT(1 << 24), again = BUF_INIT(1 << 24);
	struct reader_data d;
	bool at_start = true;

	for (size_t at = 0; at < message.n; at += step)
		(void)reader_data_stuff(span_take(span_skip(message, at), step), &at_start, &wire);
	must(reader_data_stuff(SPAN(""), &at_start, &wire) == 0);
	(void)read_cut(&d, buf_span(&wire), wire.n, &again);
	/* A last piece of one byte: see reader.h. */
	must(!has_bare || step == 1 || message.n % step == 1 || d.is_ended);
	if (!has_bare) {
		must(d.is_ended);
		must(again.n == message.n || again.n == message.n + 2); /* + CRLF */
		must(span_starts(buf_span(&again), message));
	}
	/* "\n.\r\n" and "\n.\n" only at the very end. */
	for (size_t i = 0; i + 3 < wire.n; i++)
		if (wire.p[i] == '\n' && wire.p[i + 1] == '.')
			must((wire.p[i + 2] != '\n' && wire.p[i + 2] != '\r') || i + 4 == wire.n ||
			     (wire.p[i + 2] == '\r' && wire.p[i + 3] != '\n'));
	buf_free(&wire);
	buf_free(&again);
}

static void
check_lines(struct span input, size_t max)
{
	struct span line, rest;
	size_t used, n = 0;
	int whole = reader_line(input, max, &line, &used), cut = 0;
	size_t cut_used = 0;

	must(used <= input.n && line.n <= max);
	must(whole != 1 || used == line.n + 2);
	/* A growing input comes to the same end. */
	while (n < input.n && cut_used == 0 && cut != -E_LIMIT)
		cut = reader_line(span_take(input, ++n), max, &rest, &cut_used);
	if (input.n > 0)
		must(cut == whole && cut_used == used);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT(1 << 24), cut = BUF_INIT(1 << 24);
	struct reader_data a, b;
	struct span input;
	size_t step, used;

	if (size < 2)
		return 0;
	step = data[0] % 16 + 1U;
	input = span_of(data + 1, size - 1);
	used = read_cut(&a, input, input.n, &whole);
	must(read_cut(&b, input, step, &cut) == used);
	check_same(&a, &b);
	must(span_eq(buf_span(&whole), buf_span(&cut)));
	must(a.size == whole.n);
	check_round_trip(buf_span(&whole), a.has_bare, step);
	check_lines(span_take(input, 300), data[0]);
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}

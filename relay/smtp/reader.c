#include "relay/smtp/reader.h"
#include "relay/base/err.h"

/* Where the DATA section stands between two bytes. */
enum data_state {
	DATA_LINE_START, /* behind a true CRLF, or at the very beginning */
	DATA_TEXT,       /* inside a line */
	DATA_CR,         /* behind a CR that was given out */
	DATA_DOT,        /* behind a dot at a line's start, which is withheld for good */
	DATA_DOT_CR      /* behind such a dot and a CR, which is withheld until the next byte */
};

/* Length of the line with its CRLF; s.n + 1 when it has no end in s. */
static size_t
crlf_end(struct span s)
{
	size_t at = 0;

	while (at < s.n) {
		at += span_find(span_skip(s, at), '\n');
		if (at < s.n && at > 0 && s.p[at - 1] == '\r')
			return at + 1;
		at++;
	}
	return s.n + 1;
}

/* A CR as the last byte may still get its LF. */
static bool
has_stray_byte(struct span s)
{
	size_t cr = span_find(s, '\r');

	return cr + 1 < s.n || span_find(s, '\n') < s.n || span_find(s, '\0') < s.n;
}

int
reader_line(struct span input, size_t max, struct span *line, size_t *used)
{
	struct span window = span_take(input, max);
	size_t end = crlf_end(window);

	*used = 0;
	*line = span_take(input, 0);
	if (end <= window.n) {
		*line = span_take(window, end - 2);
		*used = end;
		return has_stray_byte(*line) || span_find(*line, '\r') < line->n ? -E_SYNTAX : 1;
	}
	if (input.n > max)
		return -E_LIMIT;
	return has_stray_byte(input) ? -E_SYNTAX : 0;
}

bool
reader_skip_line(struct span input, size_t *used)
{
	size_t end = crlf_end(input);

	if (end <= input.n) {
		*used = end;
		return true;
	}
	*used = input.n > 0 && input.p[input.n - 1] == '\r' ? input.n - 1 : input.n;
	return false;
}

void
reader_data_start(struct reader_data *d)
{
	*d = (struct reader_data){.state = DATA_LINE_START};
}

static void
give_out(struct reader_data *d, struct span bytes, struct buf *out)
{
	d->size += bytes.n;
	(void)buf_add_span(out, bytes); /* sticky: the caller looks at out->failed */
}

static void
grow_line(struct reader_data *d, size_t n)
{
	d->line_length += n;
	if (d->line_length > d->longest_line)
		d->longest_line = d->line_length;
}

/*
 * One line's text up to the CR or LF that stops it.  *lf is the place of the next LF known so far
 * and is searched once for each LF: two memchr over everything, instead of a switch on each byte.
 */
static size_t
take_text(struct reader_data *d, struct span input, size_t at, size_t *lf)
{
	size_t stop;

	if (*lf < at || *lf == SIZE_MAX)
		*lf = at + span_find(span_skip(input, at), '\n');
	stop = at + span_find(span_of(input.p + at, *lf - at), '\r');
	grow_line(d, stop - at);
	if (stop == input.n)
		return stop;
	if (input.p[stop] == '\r') {
		d->state = DATA_CR;
	} else {
		d->has_bare = true;
		grow_line(d, 1);
	}
	return stop + 1;
}

/* A CR that was no line end. */
static void
take_bare_cr(struct reader_data *d)
{
	d->has_bare = true;
	d->state = DATA_TEXT;
	grow_line(d, 1);
}

size_t
reader_data_push(struct reader_data *d, struct span input, struct buf *out)
{
	size_t at = 0, from = 0; /* from: what is not given out yet */
	size_t lf = SIZE_MAX;

	if (input.n == 0)
		return 0;
	while (at < input.n && !d->is_ended) {
		char c = input.p[at];

		switch ((enum data_state)d->state) {
		case DATA_LINE_START:
			d->state = DATA_TEXT;
			if (c != '.')
				break;
			give_out(d, span_of(input.p + from, at - from), out);
			from = ++at;
			d->state = DATA_DOT;
			break;
		case DATA_TEXT:
			at = take_text(d, input, at, &lf);
			break;
		case DATA_CR:
			if (c != '\n') {
				take_bare_cr(d);
				break;
			}
			d->state = DATA_LINE_START;
			d->line_length = 0;
			at++;
			break;
		case DATA_DOT:
			d->state = DATA_TEXT;
			if (c != '\r')
				break;
			from = ++at;
			d->state = DATA_DOT_CR;
			break;
		case DATA_DOT_CR:
			if (c == '\n') {
				from = ++at;
				d->is_ended = true;
				break;
			}
			give_out(d, SPAN("\r"), out);
			take_bare_cr(d);
			break;
		}
	}
	give_out(d, span_of(input.p + from, at - from), out);
	if (!d->has_nul)
		d->has_nul = memchr(input.p, '\0', at) != NULL;
	return at;
}

void
reader_chunk_start(struct reader_chunks *c, uint64_t size, bool is_last)
{
	c->left = size;
	c->is_last = is_last;
	if (is_last && size == 0 && c->is_after_cr)
		c->has_bare = true;
}

/* Whether every CR in s is followed by an LF and every LF led by a CR, at its edges as told. */
static bool
has_bare(struct span s, bool *is_after_cr)
{
	size_t at = 0;

	if (s.n > 0 && *is_after_cr) {
		if (s.p[0] != '\n')
			return true;
		at = 1;
	}
	*is_after_cr = false;
	while (at < s.n) {
		size_t lf = at + span_find(span_skip(s, at), '\n');
		size_t cr = at + span_find(span_of(s.p + at, lf - at), '\r');

		if (cr == lf)
			return lf < s.n;
		if (cr + 1 == s.n) {
			*is_after_cr = true;
			return false;
		}
		if (cr + 1 != lf)
			return true;
		at = lf + 1;
	}
	return false;
}

struct span
reader_chunk_push(struct reader_chunks *c, struct span input)
{
	struct span bytes = span_take(input, c->left < input.n ? (size_t)c->left : input.n);

	c->left -= bytes.n;
	c->size += bytes.n;
	if (!c->has_bare)
		c->has_bare = has_bare(bytes, &c->is_after_cr);
	if (!c->has_nul)
		c->has_nul = span_find(bytes, '\0') < bytes.n;
	if (c->left == 0 && c->is_last && c->is_after_cr)
		c->has_bare = true;
	return bytes;
}

/* Whether the LF that ends `piece` is bare.  A piece of this one byte gets the benefit of the doubt:
 * its CR may have ended the piece before. */
static bool
ends_with_bare_lf(struct span piece, bool at_line_start)
{
	if (piece.p[piece.n - 1] != '\n')
		return false;
	return piece.n > 1 ? piece.p[piece.n - 2] != '\r' : at_line_start;
}

int
reader_data_stuff(struct span piece, bool *at_line_start, struct buf *out)
{
	size_t from = 0;
	bool was_at_start = *at_line_start;

	if (piece.n == 0) {
		if (!was_at_start)
			(void)buf_add_str(out, "\r\n"); /* sticky */
		*at_line_start = true;
		return buf_add_str(out, ".\r\n");
	}
	/* Dots are rarer than lines, so they are what is searched. */
	for (size_t at = 0; at < piece.n; at++) {
		at += span_find(span_skip(piece, at), '.');
		if (at == piece.n)
			break;
		if (at == 0 ? !was_at_start : piece.p[at - 1] != '\n')
			continue;
		(void)buf_add(out, piece.p + from, at - from); /* sticky, as all below */
		(void)buf_add_char(out, '.');
		from = at;
	}
	*at_line_start = piece.p[piece.n - 1] == '\n';
	if (!ends_with_bare_lf(piece, was_at_start))
		return buf_add(out, piece.p + from, piece.n - from);
	(void)buf_add(out, piece.p + from, piece.n - 1 - from);
	return buf_add_str(out, "\r\n");
}

/*
 * reader.h - framing of what an SMTP client sends: lines, and the DATA section up to its true end.
 *
 * Only CRLF ends a line, only CRLF.CRLF ends DATA (RFC 5321 sections 2.3.8 and 4.1.1.4).  Pure:
 * bytes in, events out, any split of the input gives the same events.
 */
#ifndef SMTP_READER_H
#define SMTP_READER_H
#include "relay/base/buf.h"

/* A command line: finds it at the start of `input`.  Returns 1 and the line without CRLF (and in
 * *used the bytes taken), 0 when it is not complete, -E_LIMIT when more than `max` bytes hold no
 * CRLF, -E_SYNTAX for a line that holds a bare CR, a bare LF or a NUL (*used says where it ends:
 * behind the next CRLF; 0 when that has not come yet and the caller should wait, or drop at max).
 * The line's bytes and its CRLF together are at most max. */
int reader_line(struct span input, size_t max, struct span *line, size_t *used);

/* Drops a line that is too long, up to and with its CRLF; bytes to consume in *used.  False: its end
 * has not come yet (of what may be half a CRLF, the CR stays). */
bool reader_skip_line(struct span input, size_t *used);

/* The DATA section.  All zeros, then reader_data_start. */
struct reader_data {
	unsigned state;
	bool has_bare; /* a bare CR or LF was seen: 550 5.6.0 after the true end */
	bool has_nul;
	bool is_ended;
	size_t line_length, longest_line; /* without CRLF */
	uint64_t size;                    /* bytes given out so far */
};

void reader_data_start(struct reader_data *d);
/* Consumes input up to the true end at most; appends the message's bytes, un-dotted, CRLF lines
 * kept, to `out`; never more than input.n + 4 bytes.  Returns bytes consumed (all of the input
 * unless the end came).  d->is_ended tells.  The CRLF before the final dot belongs to the
 * message; an empty message is empty. */
size_t reader_data_push(struct reader_data *d, struct span input, struct buf *out);

/*
 * A message in chunks (RFC 3030): bytes are counted, never searched for an end.  They are text all the
 * same (BINARYMIME is not offered): what holds a bare CR or LF is refused behind the last chunk, since
 * what leaves for a gateway by DATA must not hold one.  All zeros before the first chunk.
 */
struct reader_chunks {
	uint64_t left; /* of the chunk at hand */
	bool is_last;
	bool is_after_cr; /* across chunks too: a CRLF may be cut by them */
	bool has_bare, has_nul;
	uint64_t size; /* bytes so far */
};

void reader_chunk_start(struct reader_chunks *c, uint64_t size, bool is_last);
/* The bytes of input that belong to the chunk, counted and looked at; c->left tells what is missing.
 * Behind the last byte of the last chunk a CR that waits for its LF is a bare one. */
struct span reader_chunk_push(struct reader_chunks *c, struct span input);

/*
 * The other direction: dot-stuffs a message, which has CRLF lines, and appends it to `out`.
 * *at_line_start is true before the first piece and carries the state between calls.  An EMPTY
 * piece ends the message: a last line without CRLF gets one, then comes the final dot.  0, or
 * -E_LIMIT when `out` is full.
 *
 * Messages with a bare LF are refused on their way in.  If one came here by another way, a dot behind
 * it is doubled, so that no lenient gateway takes "\n.\n" for an end, and one that ends a piece of
 * two bytes or more becomes CRLF, so that the final dot always has a line of its own.
 */
int reader_data_stuff(struct span piece, bool *at_line_start, struct buf *out);

#endif

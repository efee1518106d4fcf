/* stripping.h - the bytes of a stripped message as its recipients get them, for tests and fuzzers. */
#ifndef TESTS_STRIPPING_H
#define TESTS_STRIPPING_H
#include "relay/base/err.h"
#include "relay/message/strip.h"
#include "relay/walk/strip.h"

/* As 6_commit.c and the queue make it, but for the fields that are put on top. */
static inline void
stripping_apply(struct span message, size_t header, const struct stripped *s, struct buf *to)
{
	struct span body = span_skip(message, header);
	uint64_t from = 0;

	if (s->is_whole)
		must(strip_section(span_take(message, header), true, to) == 0);
	else
		must(buf_add_span(to, span_take(message, header)) == 0);
	for (size_t i = 0; i < s->n_cuts; i++) {
		const struct commit_cut *cut = &s->cuts[i];

		must(cut->at >= from && cut->n <= body.n && cut->at <= body.n - cut->n);
		must(buf_add(to, body.p + from, (size_t)(cut->at - from)) == 0);
		must(buf_add_span(to, cut->text) == 0);
		from = cut->at + cut->n;
	}
	must(buf_add_span(to, span_skip(body, (size_t)from)) == 0);
}

/* Every line ends with CRLF, and CR and LF stand nowhere else: but for the last line. */
static inline bool
stripping_has_bare(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r')) ||
		    (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
			return true;
	return false;
}

#endif

#include "relay/message/tags.h"
#include "relay/base/err.h"

#include <inttypes.h>

int
tags_add_score(struct buf *to, int64_t score_milli)
{
	uint64_t size = score_milli < 0 ? 0 - (uint64_t)score_milli : (uint64_t)score_milli;
	unsigned part = (unsigned)(size % 1000);
	int digits = 3;

	while (digits > 0 && part % 10 == 0) {
		part /= 10;
		digits--;
	}
	(void)buf_addf(to, "%s%" PRIu64, score_milli < 0 ? "-" : "", size / 1000); /* sticky */
	if (digits > 0)
		(void)buf_addf(to, ".%0*u", digits, part);
	return to->failed ? -E_LIMIT : 0;
}

/* A word that needs no quotes, so that ';' and '=' divide nothing else. */
static void
add_word(struct buf *to, struct span word)
{
	word = span_take(word, TAGS_NAME_MAX);
	for (size_t i = 0; i < word.n; i++) {
		char c = word.p[i];
		bool is_plain = c > 0x20 && c < 0x7f && strchr("\"\\;=(),<>", c) == NULL;

		(void)buf_add_char(to, is_plain ? c : '?'); /* sticky */
	}
}

static void
add_quoted(struct buf *to, struct span text)
{
	text = span_take(text, TAGS_WHY_MAX);
	(void)buf_add_char(to, '"'); /* sticky, as all below */
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '"' || c == '\\')
			(void)buf_add_char(to, '\\');
		(void)buf_add_char(to, c < 0x20 || c > 0x7e ? '?' : c);
	}
	(void)buf_add_char(to, '"');
}

int
tags_add(struct buf *to, const struct tag_line *tag)
{
	(void)buf_add_str(to, "X-Postern-Tag: "); /* sticky, as all below */
	add_word(to, tag->name);
	(void)buf_add_str(to, "; by=");
	add_word(to, tag->by);
	(void)buf_add_str(to, "; score=");
	(void)tags_add_score(to, tag->score_milli);
	(void)buf_add_str(to, "; why=");
	add_quoted(to, tag->why);
	return buf_add_str(to, "\r\n");
}

int
tags_add_verdict(struct buf *to, bool is_tagged, int64_t score_milli, struct span id)
{
	(void)buf_add_str(to, "X-Postern-Verdict: "); /* sticky, as all below */
	(void)buf_add_str(to, is_tagged ? "tag; score=" : "pass; score=");
	(void)tags_add_score(to, score_milli);
	(void)buf_add_str(to, "; id=");
	add_word(to, id);
	return buf_add_str(to, "\r\n");
}

int
tags_add_normalised(struct buf *to, size_t removed, struct span why)
{
	(void)buf_addf(
	    to, "X-Postern-Normalised: removed=%zu; why=", removed); /* sticky, as all below */
	add_quoted(to, why);
	return buf_add_str(to, "\r\n");
}

int
tags_add_spam_flag(struct buf *to)
{
	return buf_add_str(to, "X-Spam-Flag: YES\r\n");
}

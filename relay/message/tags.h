/*
 * tags.h - the fields by which a message tells the next system what was found (the outer contract,
 * section 5): X-Postern-Tag, X-Postern-Verdict, X-Postern-Normalised, X-Spam-Flag.
 *
 * Pure.  Each stands on one line, never folded, so that a script with a simple pattern can read it;
 * names and reasons are cut, so a line stays far below 998 bytes.
 */
#ifndef MESSAGE_TAGS_H
#define MESSAGE_TAGS_H
#include "relay/base/buf.h"

enum { TAGS_NAME_MAX = 64, TAGS_WHY_MAX = 200 };

struct tag_line {
	struct span name; /* of the tag */
	struct span by;   /* filter or source that set it */
	struct span why;  /* empty: no why */
	int64_t score_milli;
};

/* X-Postern-Tag: NAME; by=FILTER; score=N; why="…".  0, or -E_LIMIT when `to` is full. */
int tags_add(struct buf *to, const struct tag_line *tag);
/* X-Postern-Verdict: pass|tag; score=N; id=ID */
int tags_add_verdict(struct buf *to, bool is_tagged, int64_t score_milli, struct span id);
/* X-Postern-Normalised: removed=N; why="…": the message is not as it was sent.  `removed`: parts that
 * became texts. */
int tags_add_normalised(struct buf *to, size_t removed, struct span why);
/* X-Spam-Flag: YES */
int tags_add_spam_flag(struct buf *to);
/* Thousandths as a decimal without needless zeros: 2500 is "2.5", -500 is "-0.5". */
int tags_add_score(struct buf *to, int64_t score_milli);

#endif

/*
 * reply.h - SMTP replies (RFC 5321 section 4.2, RFC 2034): read from a gateway, written to a client.
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H
#include "relay/base/buf.h"

#include <sys/types.h>

enum { SMTP_REPLY_LINE_MAX = 1024, SMTP_REPLY_LINES_MAX = 128, SMTP_REPLY_TEXT_MAX = 2048 };

/* Collects one reply over any split of input; all zeros is a fresh one. */
struct smtp_reply {
	int code; /* 200..599 once is_complete */
	bool is_complete;
	size_t lines;
	char text[SMTP_REPLY_TEXT_MAX +
		  1]; /* lines joined by \n, without codes, cut to fit, printable */
	size_t text_n;
	/* smtp_reply_push's own: the line that has not ended yet */
	char line[SMTP_REPLY_LINE_MAX];
	size_t line_n;
};

/*
 * Feeds bytes: returns how many were used (the rest belongs to the next reply; 0 once complete), or
 * -E_SYNTAX for what is no reply (a code outside 200..599, codes that differ between lines), or
 * -E_LIMIT for a line or a count of lines over the limits above; after an error `r` is spent.  Look
 * at is_complete.  Lines may end with LF alone.
 */
ssize_t smtp_reply_push(struct smtp_reply *r, struct span input);
/* Line `i` of the text, false past the end; for EHLO keywords. */
bool smtp_reply_line(const struct smtp_reply *r, size_t i, struct span *line);
/* The enhanced status code (RFC 3463 section 2) that `text` begins with, empty when there is none or
 * when its class is not that of the reply code: `class` is its first digit. */
struct span smtp_enhanced_code(struct span text, char class);
/* The enhanced status code ("5.1.1") at the start of the text, empty when there is none or when its
 * class is not the code's (RFC 2034 section 4). */
struct span smtp_reply_enhanced(const struct smtp_reply *r);

/*
 * Appends "550 5.7.1 text [ID]\r\n".  code is 200..599; enhanced and id may be empty.  Text is cut
 * at SMTP_REPLY_TEXT_MAX; \n in it begins a new reply line (what smtp_reply_push joins, and EHLO
 * keywords), other bytes that a reply may not hold become '?'; lines over 512 bytes are folded, at a
 * blank where there is one.  0, or -E_LIMIT when `to` is full.
 */
int smtp_reply_add(
    struct buf *to, int code, struct span enhanced, struct span text, struct span id);

#endif

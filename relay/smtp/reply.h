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
};

/* Feeds bytes: returns how many were used (the rest belongs to the next reply), or -E_SYNTAX,
 * -E_LIMIT for what is no reply.  Look at is_complete. */
ssize_t smtp_reply_push(struct smtp_reply *r, struct span input);
/* Line `i` of the text, false past the end; for EHLO keywords. */
bool smtp_reply_line(const struct smtp_reply *r, size_t i, struct span *line);
/* The enhanced status code ("5.1.1") at the start of the text, empty when there is none. */
struct span smtp_reply_enhanced(const struct smtp_reply *r);

/* Appends "550 5.7.1 text [ID]\r\n".  enhanced and id may be empty. Bytes that a reply may not
 * hold become '?'; text is folded into several lines of at most 512 bytes where needed. */
int smtp_reply_add(
    struct buf *to, int code, struct span enhanced, struct span text, struct span id);

#endif

/*
 * page.h - the console's pages as HTML text.  Pure: JSON in, HTML out.
 *
 * Every text from the relay is escaped; no script, no inline style, nothing from elsewhere.
 */
#ifndef WEB_PAGE_H
#define WEB_PAGE_H
#include "relay/base/buf.h"

enum { PAGE_BYTES_MAX = 8 * 1024 * 1024 };

struct json_t;

/* Before the sandbox closes: jansson would read /dev/urandom for its first object. */
void page_prepare(void);

/* For "/style.css". */
struct span page_style(void);

/* The status of the relay: state, problems with what to do, roles, and every further part of the
 * object as a table, so that a new part needs no change here. */
void page_status(struct buf *to, const struct json_t *status);

/* How to sign in.  `note` is NULL or one sentence about what went wrong. */
void page_sign_in(struct buf *to, const char *note);

/* One sentence under a heading. */
void page_message(struct buf *to, const char *heading, const char *text);

void page_add_escaped(struct buf *to, struct span text);

#endif

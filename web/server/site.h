/*
 * site.h - what the console answers to which request, without HTTP's plumbing.
 *
 * Tokens and sessions are passed on to the supervisor and decided there.
 */
#ifndef WEB_SITE_H
#define WEB_SITE_H
#include "web/server/ask.h"
#include "web/server/page.h"

enum { SITE_TOKEN_MAX = 128, SITE_COOKIE_SIZE = 256 };

#define SITE_COOKIE "postern_session"

struct site_request {
	struct span method, path;
	struct span token;   /* of the query; empty: none */
	struct span session; /* of the cookie; empty: none */
};

struct site_reply {
	unsigned status;
	const char *type;
	const char *location; /* NULL: no redirection */
	const char *allow;    /* NULL, or the methods there are */
	char cookie[SITE_COOKIE_SIZE];
	struct buf body;
};

struct site_wait;

/*
 * Begins a reply.  Returns NULL when `reply` is complete; otherwise `done` is called once, from
 * the loop, when it is, unless cancelled.  The caller frees reply->body.  The request's spans are
 * used during the call only.
 */
struct site_wait *site_begin(struct asks *asks, const struct site_request *request,
    struct site_reply *reply, void (*done)(void *arg), void *arg);
void site_cancel(struct site_wait **w); /* NULL is fine */

/* A reply of its own for a request that is not looked at further. */
void site_refuse(struct site_reply *reply, unsigned status, const char *heading, const char *text);

#endif

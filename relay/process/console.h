/*
 * console.h - who may see the console: one-time sign-in tokens and the sessions they start.
 *
 * Kept here, behind the control socket, so that an owned web role is nobody.
 */
#ifndef PROCESS_CONSOLE_H
#define PROCESS_CONSOLE_H
#include "relay/base/span.h"

enum { CONSOLE_TOKEN_BYTES = 24, CONSOLE_TOKEN_TEXT = 48, CONSOLE_SESSIONS_MAX = 32 };
enum { CONSOLE_SESSION_MS = 12 * 3600 * 1000 };

struct console_session {
	char token[CONSOLE_TOKEN_TEXT + 1]; /* empty: free */
	int64_t ends_ms;                    /* monotonic */
};

struct console {
	char sign_in[CONSOLE_TOKEN_TEXT + 1]; /* empty: used up */
	struct console_session sessions[CONSOLE_SESSIONS_MAX];
};

/* Makes a new one-time token; returns it. */
struct span console_offer(struct console *c);
/* Uses the one-time token up and starts a session: its token, empty when the token was wrong. */
struct span console_sign_in(struct console *c, struct span token);
bool console_is_signed_in(const struct console *c, struct span session);

#endif

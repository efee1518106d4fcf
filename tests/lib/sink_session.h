/*
 * sink_session.h - one SMTP connection of a sink: a server that takes everything but what its
 * rules say it should not.
 *
 * Written apart from the relay's own SMTP code on purpose: it is the other side's opinion of what
 * a command and a message are.  A session frees itself when its connection ends.
 */
#ifndef SINK_SESSION_H
#define SINK_SESSION_H
#include "relay/base/loop.h"
#include "tests/lib/sink_store.h"

#include <sys/socket.h>

enum sink_stage {
	SINK_BANNER,
	SINK_EHLO,
	SINK_MAIL,
	SINK_RCPT,
	SINK_DATA,
	SINK_DOT,
	SINK_STAGES /* how many there are; also "none of them" */
};

enum { SINK_RULES_MAX = 64, SINK_MESSAGE_MAX = 256 * 1024 * 1024, SINK_LINE_MAX = 65536 };

struct sink_rcpt_rule {
	const char *address;
	int code;
};

/* How this sink behaves; shared by all sessions, never changed. */
struct sink_rules {
	int code_at[SINK_STAGES]; /* 0: the usual answer */
	bool is_closed_at[SINK_STAGES];
	struct sink_rcpt_rule rcpts[SINK_RULES_MAX];
	size_t n_rcpts;
	int64_t delay_ms; /* before every reply */
	bool has_no_pipelining;
	bool is_lenient; /* takes a bare LF for a line's end, as careless servers do */
	struct sink_store *store;
};

/* Takes the fd, which is non-blocking. */
void sink_session_new(
    struct loop *loop, int fd, const struct sockaddr_storage *peer, const struct sink_rules *rules);
void sink_sessions_end(void); /* all of them, at once, when the program ends */
/* SINK_STAGES when there is no such stage. */
enum sink_stage sink_stage_parse(struct span name);

#endif

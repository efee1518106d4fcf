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

/* Where a rule may stand: before the answer to this command, or instead of it. */
enum sink_stage {
	SINK_BANNER,
	SINK_EHLO,
	SINK_STARTTLS,
	SINK_TLS, /* the handshake, behind the 220 of STARTTLS: closing and silence only */
	SINK_MAIL,
	SINK_RCPT,
	SINK_DATA,
	SINK_DOT,   /* the end of a message, by DATA or BDAT */
	SINK_STAGES /* how many there are; also "none of them" */
};

enum sink_fault {
	FAULT_NONE,
	FAULT_REPLY,   /* a code of its own; 421 hangs up behind it */
	FAULT_CLOSE,   /* hangs up */
	FAULT_MUTE,    /* says nothing, now or later */
	FAULT_GARBAGE, /* says what is no reply */
	FAULT_ENDLESS  /* says one reply line that never ends */
};

enum { SINK_RULES_MAX = 64, SINK_MESSAGE_MAX = 256 * 1024 * 1024, SINK_LINE_MAX = 65536 };

struct sink_stage_rule {
	enum sink_fault fault;
	int code;         /* of FAULT_REPLY */
	int64_t delay_ms; /* before the answer, whatever it is */
};

struct sink_rcpt_rule {
	const char *address;
	int code;
};

/* How this sink behaves; shared by all sessions, never changed. */
struct sink_rules {
	struct sink_stage_rule at[SINK_STAGES + 1]; /* the last: all other commands, delay only */
	struct sink_rcpt_rule rcpts[SINK_RULES_MAX];
	size_t n_rcpts;
	const char *offers[SINK_RULES_MAX]; /* further lines of the reply to EHLO */
	size_t n_offers;
	bool has_no_pipelining, has_no_8bitmime;
	bool is_lenient;        /* takes a bare LF for a line's end, as careless servers do */
	bool is_stalling;       /* reads nothing of a message */
	struct ssl_ctx_st *tls; /* NULL: no STARTTLS */
	struct sink_store *store;
};

/* Takes the fd, which is non-blocking. */
void sink_session_new(
    struct loop *loop, int fd, const struct sockaddr_storage *peer, const struct sink_rules *rules);
void sink_sessions_end(void); /* all of them, at once, when the program ends */
/* SINK_STAGES when there is no such stage. */
enum sink_stage sink_stage_parse(struct span name);

#endif

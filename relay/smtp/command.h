/*
 * command.h - one SMTP command line (RFC 5321 section 4.1) as data.  Pure.
 */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H
#include "relay/smtp/address.h"

enum {
	SMTP_COMMAND_MAX =
	    2048, /* a command line with its CRLF; RFC 5321 4.5.3.1.4 plus extensions */
	SMTP_PARAMS_MAX = 16
};

enum smtp_verb {
	SMTP_EHLO,
	SMTP_HELO,
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_DATA,
	SMTP_BDAT,
	SMTP_RSET,
	SMTP_NOOP,
	SMTP_QUIT,
	SMTP_VRFY,
	SMTP_HELP,
	SMTP_XCLIENT,
	SMTP_STARTTLS,
	SMTP_AUTH,
	SMTP_KNOWN_ELSEWHERE, /* EXPN, TURN …: 502 */
	SMTP_UNKNOWN          /* 500 */
};

struct smtp_param {
	struct span name, value; /* value empty when there is no '=' */
};

struct smtp_command {
	enum smtp_verb verb;
	struct span argument; /* trimmed, for all but MAIL and RCPT */
	struct span path;     /* MAIL, RCPT: without <>, source route removed */
	struct smtp_param params[SMTP_PARAMS_MAX]; /* MAIL, RCPT, XCLIENT */
	size_t n_params;
	uint64_t chunk_size; /* BDAT */
	bool is_last;
};

/*
 * `line` without CRLF; all spans of the result point into it.  0, or -E_SYNTAX with the verb set
 * where it was known (501), or -E_LIMIT: too long a path (553), or too many parameters (555; then
 * n_params is SMTP_PARAMS_MAX, else 0).  The null path is fine for MAIL only; "postmaster" without a
 * domain is fine for RCPT only.
 *
 * The grammar is RFC 5321 section 4.1.2, with blanks allowed behind "FROM:" and "TO:" and at the
 * line's end since many clients send them; a path without <> is refused, and so is an argument of
 * DATA, RSET and QUIT.  Paths and values of parameters may hold UTF-8 (RFC 6531), which the caller
 * accepts or not.  A BDAT that is no syntax says nothing of where the next command begins.  An EHLO or HELO argument must be there; what it is worth is for
 * smtp_helo_is_valid to say.
 */
int smtp_command_parse(struct span line, struct smtp_command *out);

#endif

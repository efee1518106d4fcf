/*
 * command.h - one SMTP command line (RFC 5321 section 4.1) as data.  Pure.
 */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H
#include "relay/base/span.h"
#include "relay/base/err.h"

enum {
	SMTP_COMMAND_MAX =
	    2048,            /* a command line with its CRLF; RFC 5321 4.5.3.1.4 plus extensions */
	SMTP_PATH_MAX = 320, /* address without <>: local part 64, @, domain 255 */
	SMTP_PARAMS_MAX = 16
};

enum smtp_verb {
	SMTP_EHLO,
	SMTP_HELO,
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_DATA,
	SMTP_RSET,
	SMTP_NOOP,
	SMTP_QUIT,
	SMTP_VRFY,
	SMTP_HELP,
	SMTP_XCLIENT,
	SMTP_STARTTLS,
	SMTP_AUTH,
	SMTP_KNOWN_ELSEWHERE, /* EXPN, TURN, BDAT …: 502 */
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
};

/*
 * `line` without CRLF; all spans of the result point into it.  0, or -E_SYNTAX with the verb set
 * where it was known (501), or -E_LIMIT: too long a path (553), or too many parameters (555; then
 * n_params is SMTP_PARAMS_MAX, else 0).  The null path is fine for MAIL only; "postmaster" without a
 * domain is fine for RCPT only.
 *
 * The grammar is RFC 5321 section 4.1.2, with blanks allowed behind "FROM:" and "TO:" and at the
 * line's end since many clients send them; a path without <> is refused, and so is an argument of
 * DATA, RSET and QUIT.  An EHLO or HELO argument must be there; what it is worth is for
 * smtp_helo_is_valid to say.
 */
int smtp_command_parse(struct span line, struct smtp_command *out);

/* Mailbox of RFC 5321 section 4.1.2 within its limits (64, 255, SMTP_PATH_MAX); quoted local parts
 * and address literals are fine; 8-bit bytes are refused (SMTPUTF8 is not offered). */
bool smtp_address_is_valid(struct span address);
/* Part after the last @, empty when there is none. */
struct span smtp_address_domain(struct span address);
/* A name; an address literal is none. */
bool smtp_domain_is_valid(struct span domain);
/* EHLO/HELO argument: domain or address literal, leniently: printable ASCII without blanks. */
bool smtp_helo_is_valid(struct span name);
/* xtext of RFC 3461 section 4, as XCLIENT uses it; false on bad escapes or when it does not fit. */
bool smtp_xtext_decode(struct span value, char *to, size_t size, size_t *n);

#endif

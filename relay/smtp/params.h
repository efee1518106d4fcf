/*
 * params.h - what MAIL and RCPT say behind their paths, as values: SIZE (RFC 1870), BODY (RFC 6152),
 * SMTPUTF8 (RFC 6531), RET, ENVID, NOTIFY and ORCPT (RFC 3461), AUTH (RFC 4954).  Pure.
 */
#ifndef SMTP_PARAMS_H
#define SMTP_PARAMS_H
#include "relay/smtp/command.h"
#include "relay/smtp/notify.h"

/* Why a command is refused; constants. */
struct smtp_fault {
	int code;
	const char *enhanced, *text;
};

struct smtp_mail_params {
	bool has_size, is_8bit, is_utf8;
	bool has_auth; /* for a server that offers AUTH; who it names is not believed */
	uint64_t size; /* bytes, as the client declares */
	enum notify_ret ret;
	struct span envid; /* xtext of printable characters, in the command's line; empty: none */
};

struct smtp_rcpt_params {
	unsigned notify;   /* NOTIFY_ bits, 0: not given */
	struct span orcpt; /* "type;xtext", as given, in the command's line; empty: none */
};

/* NULL: all is well.  A parameter given twice or with a wrong value is 501, an unknown one 555, an
 * address beyond ASCII without SMTPUTF8 553 (RFC 6531 section 3.5). */
const struct smtp_fault *smtp_mail_params(
    const struct smtp_command *c, struct smtp_mail_params *out);
/* is_utf8: SMTPUTF8 was said at MAIL. */
const struct smtp_fault *smtp_rcpt_params(
    const struct smtp_command *c, bool is_utf8, struct smtp_rcpt_params *out);

/* ORCPT as it goes on: ASCII only; characters beyond it, which type utf-8 may hold, become \x{HEX}
 * (RFC 6533 section 3).  0, or -E_LIMIT: over NOTIFY_ORCPT_MAX bytes now. */
int smtp_orcpt_ascii(struct span orcpt, char to[NOTIFY_ORCPT_MAX], size_t *n);

#endif

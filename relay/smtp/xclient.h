/*
 * xclient.h - XCLIENT, by which a trusted relay in front of us says whose session it forwards
 * (Postfix's XCLIENT_README).  Pure.
 */
#ifndef SMTP_XCLIENT_H
#define SMTP_XCLIENT_H
#include "relay/base/ip.h"
#include "relay/smtp/command.h"

enum { XCLIENT_NAME_MAX = 253, XCLIENT_LOGIN_MAX = 255 };

/* Texts are empty when not given, or given as [UNAVAILABLE] or [TEMPUNAVAIL]. */
struct xclient {
	bool has_addr;
	struct ip addr;
	bool is_name_told; /* NAME was given, if only to say that there is none */
	char name[XCLIENT_NAME_MAX + 1];
	char helo[SMTP_HELO_MAX + 1];
	char login[XCLIENT_LOGIN_MAX + 1];
	bool has_proto, is_esmtp;
};

#define XCLIENT_ATTRIBUTES "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"

/* Reads the command's attributes; PORT, DESTADDR and DESTPORT are checked and dropped.  False: one is
 * unknown, wrong or given twice. */
bool xclient_parse(const struct smtp_command *c, struct xclient *out);

#endif

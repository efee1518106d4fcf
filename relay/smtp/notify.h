/*
 * notify.h - what a sender asks for in reports about its mail (RFC 3461): NOTIFY and RET as values.
 */
#ifndef SMTP_NOTIFY_H
#define SMTP_NOTIFY_H

/* NOTIFY of one recipient; 0: not given, which means failure and, as we like, delay. */
enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };
enum { NOTIFY_ALL = 15 };

/* RET of a message. */
enum notify_ret { RET_NOT_GIVEN, RET_FULL, RET_HDRS };

enum {
	NOTIFY_ENVID_MAX = 100, /* RFC 3461 section 4.4, as xtext */
	NOTIFY_ORCPT_MAX = 500  /* section 4.2, as xtext with its address type: "rfc822;..." */
};

#endif

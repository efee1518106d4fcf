/*
 * dsn.h - the text of a bounce or a delay notice: multipart/report (RFC 6522) with an explanation for
 * people, message/delivery-status (RFC 3464) and the header section of the original message.
 *
 * Pure: time, id and boundary are given.  All that came from outside (addresses, the gateway's
 * words, the original header section) is cleaned to 7-bit text; lines end with CRLF.
 */
#ifndef MESSAGE_DSN_H
#define MESSAGE_DSN_H
#include "relay/base/buf.h"

enum dsn_action { DSN_FAILED, DSN_DELAYED };

struct dsn_recipient {
	struct span address;
	struct span status; /* "5.1.1"; anything else is written as "5.0.0" or "4.0.0" */
	struct span
	    reply; /* what the remote server said, with its code; may be empty, may hold \n */
	struct span server; /* the remote server's name or address; may be empty */
	enum dsn_action action;
};

struct dsn {
	struct span reporting_mta; /* our host name */
	struct span postmaster;    /* address of the people behind it */
	struct span sender;        /* who gets it: the original's reverse path, never empty */
	struct span id;            /* of this notice */
	struct span boundary;      /* 1 to 70 letters and digits, not to be guessed by the sender */
	struct span envelope_id;   /* ENVID of RFC 3461, may be empty */
	const struct dsn_recipient *recipients;
	size_t n_recipients;
	struct span headers;    /* the original header section; cut at DSN_HEADERS_MAX */
	int64_t arrival_ms;     /* wall; when the original came */
	int64_t now_ms;         /* wall */
	int64_t retry_until_ms; /* wall; for DSN_DELAYED, 0: not said */
};

enum { DSN_HEADERS_MAX = 65536 };

/*
 * Appends the whole message to `to`.  0; -E_LIMIT when `to` is full; -E_EXISTS when the boundary
 * stands in the original header section (choose another); -E_SYNTAX for a boundary of other bytes
 * or no recipient.
 */
int dsn_write(const struct dsn *d, struct buf *to);

#endif

/*
 * dsn.h - the text of a report about mail: multipart/report (RFC 6522) with an explanation for people,
 * message/delivery-status (RFC 3464) and the original message or its header section.
 *
 * Pure: time, id and boundary are given.  All that came from outside (addresses, the gateway's
 * words, the original) is cleaned.  Lines end with CRLF.  A report is 7-bit, in two ways not: an
 * original with 8-bit bytes that is sent back whole is there as it came (dsn_write says so), and the
 * address of the sender may itself be UTF-8.  Of an internationalized message (is_utf8) the parts
 * are those of RFC 6533, in base64, so that the report needs no SMTPUTF8 for their sake.  Our own fields
 * of the original (X-Postern-*, X-Spam-Flag) never go back.
 */
#ifndef MESSAGE_DSN_H
#define MESSAGE_DSN_H
#include "relay/base/buf.h"

enum dsn_action {
	DSN_FAILED,
	DSN_DELAYED,
	DSN_RELAYED /* RFC 3461 section 5.2.2: passed on to a server that sends no reports */
};

struct dsn_recipient {
	struct span address;
	struct span orcpt;    /* RFC 3461 section 4.2: address type, ";", xtext; may be empty */
	struct span reply;    /* what was said last, for dsn_status; may be empty, may hold \n */
	struct span server;   /* the remote server that said it; may be empty */
	int64_t attempted_ms; /* wall; the last attempt; 0: not known */
	enum dsn_action action;
};

struct dsn {
	struct span reporting_mta; /* our host name */
	struct span postmaster;    /* address of the people behind it */
	struct span sender;        /* who gets it: the original's reverse path, never empty */
	struct span id;            /* of this report */
	struct span original_id;   /* of the message it is about */
	struct span boundary;      /* 1 to 70 letters and digits, not to be guessed by the sender */
	struct span envelope_id;   /* ENVID of RFC 3461 as xtext, may be empty */
	bool is_utf8;              /* SMTPUTF8 was said for the original */
	const struct dsn_recipient *recipients;
	size_t n_recipients;
	struct span original;   /* the whole message, or its header section */
	bool is_whole;          /* the former; else cut at DSN_HEADERS_MAX */
	int64_t arrival_ms;     /* wall; when the original came */
	int64_t now_ms;         /* wall */
	int64_t retry_until_ms; /* wall; for DSN_DELAYED, 0: not said */
};

enum { DSN_HEADERS_MAX = 65536 };

/*
 * Appends the whole report to `to`; *is_8bit: it holds 8-bit bytes of the original (BODY=8BITMIME).
 * An original that no mail may hold as it is (lines over 998 bytes, NUL) goes back as its
 * header section.  0; -E_LIMIT when `to` is full; -E_EXISTS when the boundary stands in the original
 * (choose another); -E_SYNTAX for a boundary of other bytes or no recipient.
 */
int dsn_write(const struct dsn *d, struct buf *to, bool *is_8bit);

#endif

/*
 * sasl.h - what clients say to sign in: PLAIN (RFC 4616), SCRAM (RFC 5802, RFC 7677), and the lines of
 * AUTH (RFC 4954).  Pure; nothing here knows a password's record.
 */
#ifndef SMTP_SASL_H
#define SMTP_SASL_H
#include "relay/base/buf.h"
#include "relay/base/err.h"

enum {
	SASL_MESSAGE_MAX = 2048,                            /* one message, decoded */
	SASL_LINE_MAX = (SASL_MESSAGE_MAX + 2) / 3 * 4 + 2, /* and as a line, with its CRLF */
	SASL_NAME_MAX = 255,
	SASL_PASSWORD_MAX = 1024,
	SASL_NONCE_MAX = 128,
	SASL_PROOF = 32
};

enum sasl_mechanism { SASL_PLAIN, SASL_LOGIN, SASL_SCRAM_SHA256, SASL_UNKNOWN };

/* "PLAIN dGVzdA==": the mechanism and what follows it.  *has_initial false: nothing does. */
enum sasl_mechanism sasl_command_parse(
    struct span argument, struct span *initial, bool *has_initial);
const char *sasl_mechanism_name(enum sasl_mechanism m);

/* One line of the exchange: base64, or "=" for an empty initial response.  0, -E_SYNTAX, -E_LIMIT. */
int sasl_line_decode(struct span line, bool is_initial, struct buf *to);

struct sasl_plain {
	struct span authorize; /* on whose behalf; empty: its own */
	struct span name, password;
};

/* 0 or -E_SYNTAX: not three parts, no name, or longer than the limits. */
int sasl_plain_parse(struct span message, struct sasl_plain *out);

/* The client's first message; spans point into it. */
struct scram_first {
	struct span header; /* "n,,": with its commas */
	struct span bare;   /* all behind it */
	struct span nonce;
	char name[SASL_NAME_MAX]; /* =2C and =3D undone */
	size_t name_n;
};

/* 0, -E_SYNTAX, or -E_UNSUPPORTED: channel binding ("p=") or another user's rights are asked for. */
int scram_first_parse(struct span message, struct scram_first *out);

struct scram_final {
	struct span binding;       /* decode it: the first message's header */
	struct span nonce;         /* the client's and ours, joined */
	struct span without_proof; /* all before ",p=" */
	char proof[SASL_PROOF];
};

int scram_final_parse(struct span message, struct scram_final *out);

#endif

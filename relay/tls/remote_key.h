/*
 * remote_key.h - private keys that are elsewhere: to OpenSSL a key like any other, but what it has
 * to sign goes to a function of ours, which asks the process that holds the key.
 *
 * It is a provider of OpenSSL 3 (provider(7)) inside this process, with the two kinds of keys TLS
 * certificates have.  RSA_METHOD and EC_KEY_METHOD, which are older, would do as well, but get a
 * digest or a padded block: the other side could not see what it signs.
 */
#ifndef TLS_REMOTE_KEY_H
#define TLS_REMOTE_KEY_H
#include "relay/base/buf.h"
#include "relay/base/err.h"

struct evp_pkey_st;
struct x509_st;

enum { REMOTE_FINGERPRINT = 32 };

/* A signature over `content` by the key of this fingerprint (SHA-256 of the certificate's
 * SubjectPublicKeyInfo) that a handshake needs; `scheme` is TLS's SignatureScheme.  Valid until it is
 * answered or dropped. */
struct remote_signing {
	const unsigned char *fingerprint; /* REMOTE_FINGERPRINT bytes */
	unsigned scheme;
	struct span content;
	void *asked; /* the asker's own */

	/* remote_key.c's: */
	struct buf signature;
	int result;
	bool is_answered;
	int (*go_on)(void *arg); /* NULL: nobody waits yet */
	void *go_on_arg;
};

/*
 * Both are called from inside a handshake, on a small stack (tls_sign_later) and with OpenSSL in the
 * middle of something: they may ask, note and answer, but call nobody's session.
 */
struct remote_key_asker {
	/* Asks for it.  Answers at once or later with remote_key_answer. */
	void (*ask)(void *arg, struct remote_signing *s);
	/* The handshake has ended before the answer: s is no more. */
	void (*drop)(void *arg, struct remote_signing *s);
};

/* Once for the process, before anything else of OpenSSL is used and before the sandbox closes. */
int remote_key_setup(const struct remote_key_asker *asker, void *arg, struct err *err);
/* 0 with the signature, or an error: the handshake fails.  s may be gone when this returns. */
void remote_key_answer(struct remote_signing *s, int result, struct span signature);
/* The private key of this certificate, wherever it is.  NULL: not RSA or ECDSA. */
struct evp_pkey_st *remote_key_of(const struct x509_st *certificate);

#endif

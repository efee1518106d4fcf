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

/* Appends the signature over `content` by the key of this fingerprint (SHA-256 of the certificate's
 * SubjectPublicKeyInfo); `scheme` is TLS's SignatureScheme.  0 or an error: the handshake fails. */
typedef int remote_key_sign(void *arg, const unsigned char fingerprint[REMOTE_FINGERPRINT],
    unsigned scheme, struct span content, struct buf *signature);

/* Once for the process, before anything else of OpenSSL is used and before the sandbox closes. */
int remote_key_setup(remote_key_sign *sign, void *arg, struct err *err);
/* The private key of this certificate, wherever it is.  NULL: not RSA or ECDSA. */
struct evp_pkey_st *remote_key_of(const struct x509_st *certificate);

#endif

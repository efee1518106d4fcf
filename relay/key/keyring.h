/*
 * keyring.h - private keys of TLS certificates, and signatures by them for the server's side of a
 * handshake and nothing else.
 *
 * Belongs to the key role.  Signs only what has the form of TLS 1.3's CertificateVerify (RFC 8446
 * section 4.4.3) or of TLS 1.2's ServerKeyExchange with an elliptic curve (RFC 8422 section 5.4):
 * whoever talks to it can pass for us to a client that connects here, but has no key and cannot
 * have anything else signed.
 */
#ifndef KEY_KEYRING_H
#define KEY_KEYRING_H
#include "relay/base/buf.h"
#include "relay/base/err.h"

struct keyring;

struct keyring *keyring_new(void);
void keyring_free(struct keyring **k); /* the keys' memory is overwritten */

/* Takes the key of this certificate (the first of the PEM text; what follows is its chain).
 * `*_file` name them in err: 0, or -E_CONFIG: no certificate, no key, one with a passphrase, of a
 * kind that we do not use, or not this certificate's. */
int keyring_add(struct keyring *k, struct span certificate, const char *certificate_file,
    struct span key, const char *key_file, struct err *err);

/* Appends the signature.  0, -E_NOT_FOUND (no such key), -E_DENIED (not what TLS signs, or a scheme
 * that is not this key's), -E_IO (OpenSSL failed). */
int keyring_sign(const struct keyring *k, struct span fingerprint, unsigned scheme,
    struct span content, struct buf *signature);

/* Whether `content` has the form of what a TLS server signs, in the version that `scheme` may be
 * used with. */
bool keyring_is_tls(unsigned scheme, struct span content);

#endif

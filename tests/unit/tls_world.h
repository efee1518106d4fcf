/*
 * tls_world.h - certificates made at run time and both ends of a socketpair, for tests of TLS.
 */
#ifndef UNIT_TLS_WORLD_H
#define UNIT_TLS_WORLD_H
#include "relay/base/err.h"
#include "relay/tls/tls.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/socket.h>

/* A certificate with its key; `names` as subjectAltName says it: "DNS:mx.example,IP:127.0.0.1". */
struct fake_cert {
	EVP_PKEY *key;
	X509 *x509;
};

static inline void
fake_cert_extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	must(e != NULL && X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
}

/* Signed by `issuer` (NULL: by itself, as an authority), valid from `from_s` to `to_s` from now. */
static inline struct fake_cert
fake_cert_new(const struct fake_cert *issuer, const char *names, long from_s, long to_s)
{
	static long serial;
	char subject[48];
	struct fake_cert c = {.key = EVP_EC_gen("P-256"), .x509 = X509_new()};
	X509_NAME *name = X509_get_subject_name(c.x509);

	(void)snprintf(
	    subject, sizeof(subject), "Test %s %ld", issuer == NULL ? "CA" : "server", ++serial);
	must(c.key != NULL && c.x509 != NULL && X509_set_version(c.x509, 2) == 1);
	must(ASN1_INTEGER_set(X509_get_serialNumber(c.x509), serial) == 1);
	must(X509_NAME_add_entry_by_txt(
		 name, "CN", MBSTRING_ASC, (const unsigned char *)subject, -1, -1, 0) == 1);
	must(X509_set_issuer_name(
		 c.x509, issuer == NULL ? name : X509_get_subject_name(issuer->x509)) == 1);
	must(X509_gmtime_adj(X509_getm_notBefore(c.x509), from_s) != NULL);
	must(X509_gmtime_adj(X509_getm_notAfter(c.x509), to_s) != NULL);
	must(X509_set_pubkey(c.x509, c.key) == 1);
	if (issuer == NULL)
		fake_cert_extend(c.x509, NID_basic_constraints, "critical,CA:TRUE");
	if (names != NULL)
		fake_cert_extend(c.x509, NID_subject_alt_name, names);
	must(X509_sign(c.x509, issuer == NULL ? c.key : issuer->key, EVP_sha256()) > 0);
	return c;
}

static inline void
fake_cert_free(struct fake_cert *c)
{
	EVP_PKEY_free(c->key);
	X509_free(c->x509);
	*c = (struct fake_cert){0};
}

static inline SSL_CTX *
fake_server_ctx(const struct fake_cert *c)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	must(ctx != NULL && SSL_CTX_use_certificate(ctx, c->x509) == 1 &&
	     SSL_CTX_use_PrivateKey(ctx, c->key) == 1);
	return ctx;
}

/* `authority` NULL: verifies nothing. */
static inline SSL_CTX *
fake_client_ctx(const struct fake_cert *authority)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	must(ctx != NULL);
	if (authority != NULL) {
		must(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), authority->x509) == 1);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	}
	return ctx;
}

/* The certificate as a PEM file; with its key behind it when asked for. */
static inline void
fake_cert_write(const struct fake_cert *c, const char *path, bool has_key)
{
	FILE *f = fopen(path, "we");

	must(f != NULL && PEM_write_X509(f, c->x509) == 1);
	if (has_key)
		must(PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL) == 1);
	must(fclose(f) == 0);
}

#endif

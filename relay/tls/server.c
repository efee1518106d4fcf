#include "relay/tls/server.h"
#include "relay/base/buf.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/tls/remote_key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum { CHAIN_MAX = 16 };

/* Only what gives forward secrecy: RSA key exchange would also ask the key role to decrypt.  CBC
 * stands last, for old clients that would otherwise come without TLS. */
static const char ciphers_12[] = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES256:ECDHE+AES128:!aNULL";
static const char groups[] = "X25519:P-256:P-384:P-521";
static const char signatures[] =
    "ECDSA+SHA256:RSA-PSS+SHA256:ECDSA+SHA384:RSA-PSS+SHA384:ECDSA+SHA512:RSA-PSS+SHA512:"
    "RSA+SHA256:RSA+SHA384:RSA+SHA512";

/* One certificate with its chain. */
struct shown {
	X509 *certificate;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
	bool is_rsa;
};

/* One context for each certificate; the first is whose SSL objects are made. */
struct choices {
	struct shown shown[TLS_SERVER_CERTIFICATES_MAX];
	SSL_CTX *contexts[TLS_SERVER_CERTIFICATES_MAX]; /* [0] is not held: it holds us */
	size_t n;
};

/* --- certificates ------------------------------------------------------------------------------- */

static void
shown_free(struct shown *s)
{
	X509_free(s->certificate);
	sk_X509_pop_free(s->chain, X509_free);
	EVP_PKEY_free(s->key);
}

static int
read_chain(struct span pem, const char *file, struct shown *s, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem.p, pem.n > INT32_MAX ? INT32_MAX : (int)pem.n);
	X509 *x;

	must(bio != NULL); /* as everywhere: no memory ends the process */
	s->certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	s->chain = sk_X509_new_null();
	while (s->certificate != NULL && sk_X509_num(s->chain) < CHAIN_MAX &&
	       (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		must(sk_X509_push(s->chain, x) > 0);
	BIO_free(bio);
	s->key = s->certificate != NULL ? remote_key_of(s->certificate) : NULL;
	ERR_clear_error();
	if (s->certificate == NULL)
		return err_set(err, E_CONFIG,
		    "%s: no certificate in PEM form; name the file with the certificate and its "
		    "chain",
		    file);
	if (s->key == NULL)
		return err_set(
		    err, E_CONFIG, "%s: neither an RSA nor an ECDSA certificate; use one", file);
	s->is_rsa = EVP_PKEY_is_a(s->key, "RSA");
	return 0;
}

static bool
has_name(X509 *x, const char *name)
{
	return X509_check_host(x, name, strlen(name), 0, NULL) == 1;
}

/* Whether b has every DNS name that a has. */
static bool
has_names_of(X509 *b, X509 *a)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(a, NID_subject_alt_name, NULL, NULL);
	bool has_all = names != NULL;

	for (int i = 0; has_all && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		const ASN1_STRING *text = name->type == GEN_DNS ? name->d.dNSName : NULL;

		if (text != NULL)
			has_all = X509_check_host(b, (const char *)ASN1_STRING_get0_data(text),
				      (size_t)ASN1_STRING_length(text), 0, NULL) == 1;
	}
	GENERAL_NAMES_free(names);
	return has_all;
}

/* The one to be shown beside shown[i], NULL: none.  The first, which strangers get, takes any. */
static const struct shown *
companion(const struct choices *c, size_t i)
{
	const struct shown *any = NULL;

	for (size_t k = 0; k < c->n; k++) {
		const struct shown *other = &c->shown[k];

		if (other->is_rsa == c->shown[i].is_rsa)
			continue;
		if (has_names_of(other->certificate, c->shown[i].certificate))
			return other;
		if (any == NULL && i == 0)
			any = other;
	}
	return any;
}

static int
on_name(SSL *ssl, int *alert, void *arg)
{
	const struct choices *c = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < c->n; i++)
		if (has_name(c->shown[i].certificate, name)) {
			(void)SSL_set_SSL_CTX(ssl, c->contexts[i]); /* NULL only without memory */
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_NOACK; /* a stranger's name: mail servers do not insist */
}

/* --- contexts ----------------------------------------------------------------------------------- */

static void
set_up(SSL_CTX *ctx, bool is_13_only, struct tls_tickets *tickets)
{
	static const unsigned char id[] = "postern";

	must(
	    SSL_CTX_set_min_proto_version(ctx, is_13_only ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
	    SSL_CTX_set_cipher_list(ctx, ciphers_12) == 1 &&
	    SSL_CTX_set1_groups_list(ctx, groups) == 1 &&
	    SSL_CTX_set1_sigalgs_list(ctx, signatures) == 1 &&
	    SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1) == 1);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					   SSL_OP_CIPHER_SERVER_PREFERENCE |
					   SSL_OP_PRIORITIZE_CHACHA);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	tls_tickets_use(tickets, ctx);
}

/* OpenSSL refuses what is too weak: short keys, SHA-1. */
static bool
show(SSL_CTX *ctx, const struct shown *s)
{
	return s == NULL || SSL_CTX_use_cert_and_key(ctx, s->certificate, s->key, s->chain, 1) == 1;
}

static void
choices_free(struct choices *c)
{
	for (size_t i = 0; i < c->n; i++) {
		shown_free(&c->shown[i]);
		if (i > 0)
			SSL_CTX_free(c->contexts[i]); /* NULL: not yet made */
	}
	mem_free(c);
}

static void
on_context_gone(
    void *parent, void *value, CRYPTO_EX_DATA *data, int index, long number, void *pointer)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)number;
	(void)pointer;
	if (value != NULL)
		choices_free(value);
}

static int
make_context(
    struct choices *c, size_t i, bool is_13_only, struct tls_tickets *tickets, struct err *err)
{
	const char *reason;

	c->contexts[i] = SSL_CTX_new(TLS_server_method());
	must(c->contexts[i] != NULL);
	set_up(c->contexts[i], is_13_only, tickets);
	if (show(c->contexts[i], companion(c, i)) && show(c->contexts[i], &c->shown[i]))
		return 0;
	reason = ERR_reason_error_string(ERR_peek_error());
	(void)err_set(err, E_CONFIG, "OpenSSL refuses the certificate (%s); use a stronger one",
	    reason != NULL ? reason : "no reason given");
	ERR_clear_error();
	return -E_CONFIG;
}

SSL_CTX *
tls_server_new(const struct span *chains, const char *const *files, size_t n, bool is_13_only,
    struct tls_tickets *tickets, struct err *err)
{
	static int slot = -1; /* of all contexts, never given back */
	struct choices *c = mem_alloc(sizeof(*c));

	must(n > 0 && n <= TLS_SERVER_CERTIFICATES_MAX);
	if (slot < 0)
		slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_gone);
	for (; c->n < n; c->n++)
		if (read_chain(chains[c->n], files[c->n], &c->shown[c->n], err) < 0) {
			shown_free(&c->shown[c->n]);
			choices_free(c);
			return NULL;
		}
	for (size_t i = 0; i < n; i++)
		if (make_context(c, i, is_13_only, tickets, err) < 0) {
			(void)err_add(err, "%s", files[i]);
			SSL_CTX_free(c->contexts[0]);
			choices_free(c);
			return NULL;
		}
	must(slot >= 0 && SSL_CTX_set_ex_data(c->contexts[0], slot, c) == 1);
	(void)SSL_CTX_set_tlsext_servername_callback(c->contexts[0], on_name);
	(void)SSL_CTX_set_tlsext_servername_arg(c->contexts[0], c);
	return c->contexts[0];
}

void
tls_server_free(SSL_CTX **ctx)
{
	SSL_CTX_free(*ctx);
	*ctx = NULL;
}

#include "relay/key/keyring.h"
#include "policy/config/config.h"
#include "relay/base/mem.h"
#include "relay/ipc/front_key.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

enum {
	RSA_BITS_MIN = 2048,
	RSA_BITS_MAX = KEY_SIGNATURE_MAX * 8,
	TLS13_PADDING = 64,
	TLS12_RANDOMS = 64,
	NAMED_CURVE = 3 /* ECCurveType of RFC 8422 section 5.4 */
};

struct key {
	EVP_PKEY *pkey;
	bool is_rsa;
	unsigned char fingerprint[KEY_FINGERPRINT];
};

struct keyring {
	struct key keys[CONFIG_CERTIFICATES_MAX];
	size_t n;
};

static const struct scheme {
	unsigned id;
	const char *digest;
	bool is_rsa, is_pss;
} schemes[] = {
    {0x0401, "SHA256", true, false},
    {0x0501, "SHA384", true, false},
    {0x0601, "SHA512", true, false},
    {0x0403, "SHA256", false, false},
    {0x0503, "SHA384", false, false},
    {0x0603, "SHA512", false, false},
    {0x0804, "SHA256", true, true},
    {0x0805, "SHA384", true, true},
    {0x0806, "SHA512", true, true},
};

static const struct scheme *
scheme_of(unsigned id)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (schemes[i].id == id)
			return &schemes[i];
	return NULL;
}

struct keyring *
keyring_new(void)
{
	return mem_alloc(sizeof(struct keyring));
}

void
keyring_free(struct keyring **k)
{
	if (*k == NULL)
		return;
	for (size_t i = 0; i < (*k)->n; i++)
		EVP_PKEY_free((*k)->keys[i].pkey);
	mem_free(*k);
	*k = NULL;
}

/* --- taking keys -------------------------------------------------------------------------------- */

/* There is nobody to ask. */
static int
no_passphrase(char *to, int size, int is_writing, void *arg)
{
	bool *was_asked = arg;

	(void)to;
	(void)size;
	(void)is_writing;
	*was_asked = true;
	return -1;
}

static EVP_PKEY *
read_key(struct span pem, const char *file, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	bool was_asked = false;
	EVP_PKEY *pkey;

	must(bio != NULL); /* as everywhere: no memory ends the process */
	pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &was_asked);
	BIO_free(bio);
	if (pkey == NULL && was_asked)
		(void)err_set(err, E_CONFIG,
		    "%s: the key has a passphrase; write it without, for root's eyes only", file);
	else if (pkey == NULL)
		(void)err_set(
		    err, E_CONFIG, "%s: no private key in PEM form; name the key's file", file);
	ERR_clear_error();
	return pkey;
}

static X509 *
read_certificate(struct span pem, const char *file, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *x;

	must(bio != NULL);
	x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	if (x == NULL)
		(void)err_set(err, E_CONFIG,
		    "%s: no certificate in PEM form; name the file with the certificate and its "
		    "chain",
		    file);
	ERR_clear_error();
	return x;
}

static int
check_kind(const struct key *key, const char *file, struct err *err)
{
	int bits = EVP_PKEY_get_bits(key->pkey);

	if (key->is_rsa && (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX))
		return err_set(err, E_CONFIG, "%s: an RSA key of %d bits; use %d to %d", file, bits,
		    RSA_BITS_MIN, RSA_BITS_MAX);
	if (!key->is_rsa && !EVP_PKEY_is_a(key->pkey, "EC"))
		return err_set(err, E_CONFIG, "%s: neither an RSA nor an ECDSA key; use one", file);
	return 0;
}

/* SHA-256 of the SubjectPublicKeyInfo as it stands in the certificate. */
static void
take_fingerprint(struct key *key, const X509 *x)
{
	unsigned char *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	unsigned size = 0;

	must(n > 0 && EVP_Digest(der, (size_t)n, key->fingerprint, &size, EVP_sha256(), NULL) == 1);
	OPENSSL_free(der);
}

int
keyring_add(struct keyring *k, struct span certificate, const char *certificate_file,
    struct span pem, const char *key_file, struct err *err)
{
	struct key key = {0};
	X509 *x;
	int r;

	must(k->n < CONFIG_CERTIFICATES_MAX && certificate.n <= INT32_MAX && pem.n <= INT32_MAX);
	x = read_certificate(certificate, certificate_file, err);
	if (x == NULL)
		return -E_CONFIG;
	key.pkey = read_key(pem, key_file, err);
	if (key.pkey == NULL) {
		X509_free(x);
		return -E_CONFIG;
	}
	key.is_rsa = EVP_PKEY_is_a(key.pkey, "RSA");
	r = check_kind(&key, key_file, err);
	if (r == 0 && X509_check_private_key(x, key.pkey) != 1)
		r = err_set(err, E_CONFIG, "%s: not the key of the certificate in %s; name its own",
		    key_file, certificate_file);
	take_fingerprint(&key, x);
	X509_free(x);
	ERR_clear_error();
	if (r == 0)
		k->keys[k->n++] = key;
	else
		EVP_PKEY_free(key.pkey);
	return r;
}

/* --- signing ------------------------------------------------------------------------------------ */

static bool
is_tls13(struct span content)
{
	static const char context[] = "TLS 1.3, server CertificateVerify"; /* and its NUL */
	size_t hash = content.n - TLS13_PADDING - sizeof(context);

	if (content.n < TLS13_PADDING + sizeof(context) || (hash != 32 && hash != 48))
		return false;
	for (size_t i = 0; i < TLS13_PADDING; i++)
		if (content.p[i] != ' ')
			return false;
	return memcmp(content.p + TLS13_PADDING, context, sizeof(context)) == 0;
}

/* Two randoms, then the curve and a point on it, of the length that the curve has. */
static bool
is_tls12(struct span content)
{
	static const struct {
		unsigned group;
		size_t point;
	} groups[] = {{23, 65}, {24, 97}, {25, 133}, {29, 32}, {30, 56}};
	const unsigned char *p = (const unsigned char *)content.p + TLS12_RANDOMS;

	if (content.n < TLS12_RANDOMS + 4 || p[0] != NAMED_CURVE ||
	    content.n != TLS12_RANDOMS + 4U + p[3])
		return false;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (groups[i].group == (unsigned)(p[1] << 8 | p[2]) && groups[i].point == p[3])
			return true;
	return false;
}

bool
keyring_is_tls(unsigned id, struct span content)
{
	const struct scheme *scheme = scheme_of(id);

	/* TLS 1.3 knows no PKCS #1 here (RFC 8446 section 4.2.3). */
	return scheme != NULL &&
	       (is_tls12(content) || (is_tls13(content) && (!scheme->is_rsa || scheme->is_pss)));
}

static int
sign(const struct key *key, const struct scheme *scheme, struct span content, struct buf *to)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;
	unsigned char signature[KEY_SIGNATURE_MAX];
	size_t n = sizeof(signature);
	bool is_fine;

	must(ctx != NULL);
	is_fine =
	    EVP_DigestSignInit_ex(ctx, &pctx, scheme->digest, NULL, NULL, key->pkey, NULL) == 1;
	if (is_fine && scheme->is_pss)
		is_fine = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
			  EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	if (is_fine)
		is_fine = EVP_DigestSign(
			      ctx, signature, &n, (const unsigned char *)content.p, content.n) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return is_fine ? buf_add(to, signature, n) : -E_IO;
}

int
keyring_sign(const struct keyring *k, struct span fingerprint, unsigned id, struct span content,
    struct buf *signature)
{
	const struct scheme *scheme = scheme_of(id);

	for (size_t i = 0; i < k->n; i++) {
		const struct key *key = &k->keys[i];

		if (!span_eq(span_of(key->fingerprint, KEY_FINGERPRINT), fingerprint))
			continue;
		if (scheme == NULL || scheme->is_rsa != key->is_rsa || !keyring_is_tls(id, content))
			return -E_DENIED;
		return sign(key, scheme, content, signature);
	}
	return -E_NOT_FOUND;
}

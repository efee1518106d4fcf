/* Keys are taken with their certificates only, and sign nothing but a TLS server's handshake. */
#include "relay/key/keyring.h"
#include "relay/base/mem.h"
#include "relay/ipc/front_key.h"
#include "tests/unit/tls_world.h"

#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What TLS signs, made up. */
struct content {
	char bytes[KEY_SIGNED_MAX + 1];
	size_t n;
};

static struct content
tls13(size_t hash, const char *who)
{
	struct content c = {.n = 64};

	memset(c.bytes, ' ', 64);
	(void)snprintf(c.bytes + 64, 64, "TLS 1.3, %s CertificateVerify", who); /* fits */
	c.n += strlen(c.bytes + 64) + 1 + hash;
	return c;
}

static struct content
tls12(unsigned type, unsigned group, size_t point, size_t said)
{
	struct content c = {.n = 68 + point};

	memset(c.bytes, 'r', sizeof(c.bytes));
	c.bytes[64] = (char)type;
	c.bytes[65] = (char)(group >> 8);
	c.bytes[66] = (char)group;
	c.bytes[67] = (char)said;
	return c;
}

static void
test_what_is_tls(void **state)
{
	enum { ECDSA = 0x0403, PSS = 0x0804, PKCS1 = 0x0401 };
	const struct {
		unsigned scheme;
		struct content content;
		bool is_tls;
	} rows[] = {
	    {ECDSA, tls13(32, "server"), true},
	    {ECDSA, tls13(48, "server"), true},
	    {PSS, tls13(32, "server"), true},
	    {PKCS1, tls13(32, "server"), false},
	    {ECDSA, tls13(32, "client"), false},
	    {ECDSA, tls13(20, "server"), false},
	    {ECDSA, tls13(33, "server"), false},
	    {ECDSA, tls13(0, "server"), false},
	    {ECDSA, tls12(3, 23, 65, 65), true},
	    {PKCS1, tls12(3, 29, 32, 32), true},
	    {PSS, tls12(3, 24, 97, 97), true},
	    {0x0603, tls12(3, 25, 133, 133), true},
	    {0x0201, tls12(3, 23, 65, 65), false}, /* SHA-1 */
	    {0x0807, tls12(3, 23, 65, 65), false}, /* Ed25519 */
	    {ECDSA, tls12(1, 23, 65, 65), false},
	    {ECDSA, tls12(3, 23, 64, 64), false},
	    {ECDSA, tls12(3, 23, 66, 65), false},
	    {ECDSA, tls12(3, 23, 32, 65), false},
	    {ECDSA, tls12(3, 256, 65, 65), false},
	    {ECDSA, {{0}, 0}, false},
	    {ECDSA, {{0}, 32}, false},
	    {ECDSA, {{0}, 67}, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (keyring_is_tls(rows[i].scheme,
			span_of(rows[i].content.bytes, rows[i].content.n)) != rows[i].is_tls)
			fail_msg("row %zu", i);
}

/* --- keys --------------------------------------------------------------------------------------- */

static struct fake_cert ec, rsa, other;
static struct span ec_pem, ec_key, rsa_pem, rsa_key, other_key;

static struct span
written(BIO *bio)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);
	struct span copy = {mem_dup(span_of(p, (size_t)n)), (size_t)n};

	BIO_free(bio);
	return copy;
}

static struct span
pem_of(X509 *x)
{
	BIO *bio = BIO_new(BIO_s_mem());

	must(PEM_write_bio_X509(bio, x) == 1);
	return written(bio);
}

static struct span
key_of(EVP_PKEY *key, const char *passphrase)
{
	BIO *bio = BIO_new(BIO_s_mem());

	must(PEM_write_bio_PrivateKey(bio, key, passphrase ? EVP_aes_128_cbc() : NULL,
		 (const unsigned char *)passphrase, passphrase ? (int)strlen(passphrase) : 0, NULL,
		 NULL) == 1);
	return written(bio);
}

/* fake_cert_new makes EC keys: the same with an RSA key. */
static void
make_rsa(struct fake_cert *c, unsigned bits)
{
	*c = fake_cert_new(NULL, "DNS:mx.example", 0, 3600);
	EVP_PKEY_free(c->key);
	c->key = EVP_RSA_gen(bits);
	must(c->key != NULL && X509_set_pubkey(c->x509, c->key) == 1 &&
	     X509_sign(c->x509, c->key, EVP_sha256()) > 0);
}

static int
group_setup(void **state)
{
	(void)state;
	ec = fake_cert_new(NULL, "DNS:mx.example", 0, 3600);
	other = fake_cert_new(NULL, "DNS:mx.example", 0, 3600);
	make_rsa(&rsa, 2048);
	ec_pem = pem_of(ec.x509);
	rsa_pem = pem_of(rsa.x509);
	ec_key = key_of(ec.key, NULL);
	rsa_key = key_of(rsa.key, NULL);
	other_key = key_of(other.key, NULL);
	return 0;
}

static int
group_teardown(void **state)
{
	struct span *texts[] = {&ec_pem, &rsa_pem, &ec_key, &rsa_key, &other_key};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		mem_free((void *)(uintptr_t)texts[i]->p);
	fake_cert_free(&ec);
	fake_cert_free(&rsa);
	fake_cert_free(&other);
	return 0;
}

static void
test_mistakes(void **state)
{
	struct span locked = key_of(ec.key, "secret"), weak_key, weak_pem;
	struct fake_cert weak;
	struct keyring *k = keyring_new();

	make_rsa(&weak, 1024);
	weak_key = key_of(weak.key, NULL);
	weak_pem = pem_of(weak.x509);
	const struct {
		struct span certificate, key;
		const char *text;
	} rows[] = {
	    {ec_pem, other_key, "k: not the key of the certificate in c; name its own"},
	    {ec_pem, rsa_key, "k: not the key of the certificate in c; name its own"},
	    {ec_pem, SPAN(""), "k: no private key in PEM form; name the key's file"},
	    {ec_pem, ec_pem, "k: no private key in PEM form; name the key's file"},
	    {ec_pem, locked, "k: the key has a passphrase; write it without, for root's eyes only"},
	    {SPAN("junk"), ec_key,
		"c: no certificate in PEM form; name the file with the certificate and its chain"},
	    {weak_pem, weak_key, "k: an RSA key of 1024 bits; use 2048 to 8192"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = {0};

		assert_int_equal(
		    keyring_add(k, rows[i].certificate, "c", rows[i].key, "k", &err), -E_CONFIG);
		assert_string_equal(err.text, rows[i].text);
	}
	keyring_free(&k);
	mem_free((void *)(uintptr_t)locked.p);
	mem_free((void *)(uintptr_t)weak_key.p);
	mem_free((void *)(uintptr_t)weak_pem.p);
	fake_cert_free(&weak);
}

static bool
verifies(EVP_PKEY *key, const char *digest, bool is_pss, struct span content, struct span signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;
	bool is_fine;

	must(EVP_DigestVerifyInit_ex(ctx, &pctx, digest, NULL, NULL, key, NULL) == 1);
	if (is_pss)
		must(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1);
	is_fine = EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n,
		      (const unsigned char *)content.p, content.n) == 1;
	EVP_MD_CTX_free(ctx);
	return is_fine;
}

static void
fingerprint(const X509 *x, unsigned char to[KEY_FINGERPRINT])
{
	unsigned char *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);

	must(n > 0 && EVP_Digest(der, (size_t)n, to, NULL, EVP_sha256(), NULL) == 1);
	OPENSSL_free(der);
}

static void
test_signatures(void **state)
{
	static const struct {
		bool is_rsa;
		unsigned scheme;
		const char *digest; /* NULL: refused */
		bool is_pss;
	} rows[] = {
	    {false, 0x0403, "SHA256", false},
	    {false, 0x0503, "SHA384", false},
	    {false, 0x0603, "SHA512", false},
	    {true, 0x0401, "SHA256", false},
	    {true, 0x0501, "SHA384", false},
	    {true, 0x0601, "SHA512", false},
	    {true, 0x0804, "SHA256", true},
	    {true, 0x0805, "SHA384", true},
	    {true, 0x0806, "SHA512", true},
	    {true, 0x0403, NULL, false},
	    {false, 0x0804, NULL, false},
	    {true, 0x0201, NULL, false},
	    {true, 0, NULL, false},
	};
	struct content content = tls12(3, 23, 65, 65);
	struct span bytes = span_of(content.bytes, content.n);
	struct keyring *k = keyring_new();
	unsigned char names[2][KEY_FINGERPRINT], stranger[KEY_FINGERPRINT] = {0};
	struct err err = {0};
	struct buf b = BUF_INIT(KEY_SIGNATURE_MAX);

	(void)state;
	assert_int_equal(keyring_add(k, ec_pem, "c", ec_key, "k", &err), 0);
	assert_int_equal(keyring_add(k, rsa_pem, "c", rsa_key, "k", &err), 0);
	fingerprint(ec.x509, names[0]);
	fingerprint(rsa.x509, names[1]);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span name = span_of(names[rows[i].is_rsa], KEY_FINGERPRINT);
		int r = keyring_sign(k, name, rows[i].scheme, bytes, &b);

		assert_int_equal(r, rows[i].digest != NULL ? 0 : -E_DENIED);
		if (r == 0)
			assert_true(verifies(rows[i].is_rsa ? rsa.key : ec.key, rows[i].digest,
			    rows[i].is_pss, bytes, buf_span(&b)));
		buf_clear(&b);
		assert_int_equal(keyring_sign(k, name, rows[i].scheme,
				     SPAN("a digest of 32 bytes, or so ..."), &b),
		    -E_DENIED);
		assert_int_equal(b.n, 0);
	}
	assert_int_equal(
	    keyring_sign(k, span_of(stranger, sizeof(stranger)), 0x0403, bytes, &b), -E_NOT_FOUND);
	buf_free(&b);
	keyring_free(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_is_tls),
	    cmocka_unit_test(test_mistakes),
	    cmocka_unit_test(test_signatures),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

#include "relay/tls/remote_key.h"
#include "relay/base/mem.h"

#include <openssl/async.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

enum { SIGNATURE_MAX = 1024 };

static struct {
	const struct remote_key_asker *asker;
	void *arg;
	OSSL_PROVIDER *providers[2]; /* OpenSSL's and ours, as long as the process lives */
} remote;

/* A key as OpenSSL sees it: the public half, held by OpenSSL's own provider. */
struct remote_key {
	EVP_PKEY *public;
	bool is_rsa;
	unsigned char fingerprint[REMOTE_FINGERPRINT];
};

/* --- keys: OSSL_OP_KEYMGMT (provider-keymgmt(7)) ------------------------------------------------ */

static void *
new_key(bool is_rsa)
{
	struct remote_key *key = mem_alloc(sizeof(*key));

	key->is_rsa = is_rsa;
	return key;
}

static void *
new_rsa(void *provider)
{
	(void)provider;
	return new_key(true);
}

static void *
new_ec(void *provider)
{
	(void)provider;
	return new_key(false);
}

static void
free_key(void *data)
{
	struct remote_key *key = data;

	EVP_PKEY_free(key->public);
	mem_free(key);
}

static int
has(const void *data, int selection)
{
	(void)selection; /* the private part too: elsewhere */
	return ((const struct remote_key *)data)->public != NULL;
}

static int
match(const void *a, const void *b, int selection)
{
	(void)selection;
	return EVP_PKEY_eq(((const struct remote_key *)a)->public,
		   ((const struct remote_key *)b)->public) == 1;
}

static int
import(void *data, int selection, const OSSL_PARAM params[])
{
	struct remote_key *key = data;
	EVP_PKEY_CTX *ctx =
	    EVP_PKEY_CTX_new_from_name(NULL, key->is_rsa ? "RSA" : "EC", "provider=default");
	unsigned char *der = NULL;
	unsigned size = 0;
	int n = 0;

	(void)selection; /* there is only a public half to be had */
	if (ctx != NULL && key->public == NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(
		ctx, &key->public, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)params) == 1)
		n = i2d_PUBKEY(key->public, &der);
	EVP_PKEY_CTX_free(ctx);
	if (n > 0)
		n = EVP_Digest(der, (size_t)n, key->fingerprint, &size, EVP_sha256(), NULL);
	OPENSSL_free(der);
	return n == 1;
}

/* The public half only: whoever wants all of it (OpenSSL's provider, to sign by itself) gets nothing,
 * and OpenSSL signs here. */
static int export(void *data, int selection, OSSL_CALLBACK *take, void *arg)
{
	struct remote_key *key = data;

	if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
		return 0;
	return EVP_PKEY_export(key->public, selection, take, arg);
}

static const OSSL_PARAM *
key_types(int selection)
{
	static const OSSL_PARAM types[] = {OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
	    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
	    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0), OSSL_PARAM_END};

	return selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY ? types : NULL;
}

static int
get_params(void *data, OSSL_PARAM params[])
{
	return EVP_PKEY_get_params(((struct remote_key *)data)->public, params);
}

static const OSSL_PARAM *
gettable_params(void *provider)
{
	static const OSSL_PARAM params[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
	    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
	    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
	    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0), OSSL_PARAM_END};

	(void)provider;
	return params;
}

static const char *
rsa_operation(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL;
}

static const char *
ec_operation(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

/* --- signatures: OSSL_OP_SIGNATURE (provider-signature(7)) --------------------------------------- */

struct signing {
	const struct remote_key *key;
	char digest[32];
	bool is_pss;
};

static void *
new_signing(void *provider, const char *properties)
{
	(void)provider;
	(void)properties;
	return mem_alloc(sizeof(struct signing));
}

static void
free_signing(void *ctx)
{
	mem_free(ctx);
}

/* Depending on OpenSSL's version a number, or a word for it. */
static bool
is_param(const OSSL_PARAM *p, int number, const char *word)
{
	const char *text;
	int value;

	if (p->data_type == OSSL_PARAM_UTF8_STRING)
		return OSSL_PARAM_get_utf8_string_ptr(p, &text) == 1 && strcmp(text, word) == 0;
	return OSSL_PARAM_get_int(p, &value) == 1 && value == number;
}

/* What TLS sets: the padding, and with PSS a salt as long as the digest. */
static int
set_params(void *ctx, const OSSL_PARAM params[])
{
	struct signing *s = ctx;
	const OSSL_PARAM *p;

	p = params != NULL ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE) : NULL;
	if (p != NULL) {
		s->is_pss = is_param(p, RSA_PKCS1_PSS_PADDING, OSSL_PKEY_RSA_PAD_MODE_PSS);
		if (!s->is_pss && !is_param(p, RSA_PKCS1_PADDING, OSSL_PKEY_RSA_PAD_MODE_PKCSV15))
			return 0;
	}
	p = params != NULL ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN)
			   : NULL;
	return p == NULL || is_param(p, RSA_PSS_SALTLEN_DIGEST, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST);
}

static const OSSL_PARAM *
settable_params(void *ctx, void *provider)
{
	static const OSSL_PARAM params[] = {OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL),
	    OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL), OSSL_PARAM_END};

	(void)ctx;
	(void)provider;
	return params;
}

static int
begin(void *ctx, const char *digest, void *key, const OSSL_PARAM params[])
{
	struct signing *s = ctx;

	if (key != NULL)
		s->key = key;
	return s->key != NULL && digest != NULL &&
	       span_copy(span_str(digest), s->digest, sizeof(s->digest)) && set_params(s, params);
}

/* TLS's SignatureScheme (RFC 8446 section 4.2.3); 0: none that we use. */
static unsigned
scheme_of(const struct signing *s)
{
	static const struct {
		const char *digest;
		unsigned ecdsa, pkcs1, pss;
	} rows[] = {{"SHA2-256", 0x0403, 0x0401, 0x0804}, {"SHA2-384", 0x0503, 0x0501, 0x0805},
	    {"SHA2-512", 0x0603, 0x0601, 0x0806}, {"SHA256", 0x0403, 0x0401, 0x0804},
	    {"SHA384", 0x0503, 0x0501, 0x0805}, {"SHA512", 0x0603, 0x0601, 0x0806}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!span_eq_nocase(span_str(rows[i].digest), span_str(s->digest)))
			continue;
		if (!s->key->is_rsa)
			return rows[i].ecdsa;
		return s->is_pss ? rows[i].pss : rows[i].pkcs1;
	}
	return 0;
}

void
remote_key_answer(struct remote_signing *s, int result, struct span signature)
{
	s->result = result;
	if (result == 0)
		s->result = buf_add_span(&s->signature, signature);
	s->is_answered = true;
	if (s->go_on != NULL)
		(void)s->go_on(s->go_on_arg); /* nothing it could say matters here */
}

/*
 * An answer that does not come at once is waited for outside of the handshake: its job (async(7) of
 * OpenSSL) stands still here until the handshake is called again, which is when there is an answer
 * or when there will be none (tls_free).  Without a job there is no waiting.
 */
static int
await(struct remote_signing *s)
{
	ASYNC_JOB *job = ASYNC_get_current_job();

	remote.asker->ask(remote.arg, s);
	if (!s->is_answered && job != NULL &&
	    ASYNC_WAIT_CTX_get_callback(ASYNC_get_wait_ctx(job), &s->go_on, &s->go_on_arg) == 1) {
		(void)ASYNC_pause_job(); /* whether it stood still or not, what follows holds */
		s->go_on = NULL;
	}
	if (s->is_answered)
		return s->result;
	remote.asker->drop(remote.arg, s);
	return -E_CLOSED;
}

static int
finish(void *ctx, unsigned char *to, size_t *n, size_t size, const unsigned char *content,
    size_t content_n)
{
	struct signing *s = ctx;
	struct remote_signing wanted = {.fingerprint = s->key->fingerprint,
	    .scheme = scheme_of(s),
	    .content = span_of(content, content_n),
	    .signature = BUF_INIT(SIGNATURE_MAX)};
	int r;

	if (to == NULL) {
		*n = (size_t)EVP_PKEY_get_size(s->key->public);
		return 1;
	}
	r = wanted.scheme == 0 ? -E_UNSUPPORTED : await(&wanted);
	if (r == 0 && wanted.signature.n > 0 && wanted.signature.n <= size) {
		memcpy(to, wanted.signature.p, wanted.signature.n);
		*n = wanted.signature.n;
	} else {
		r = r < 0 ? r : -E_CORRUPT;
	}
	buf_free(&wanted.signature);
	return r == 0;
}

/* --- the provider -------------------------------------------------------------------------------- */

#define DISPATCH(id, function)                 \
	{                                      \
		id, (void (*)(void))(function) \
	}
#define KEYS(new, operation)                                                                      \
	{                                                                                         \
		DISPATCH(OSSL_FUNC_KEYMGMT_NEW, new), DISPATCH(OSSL_FUNC_KEYMGMT_FREE, free_key), \
		    DISPATCH(OSSL_FUNC_KEYMGMT_HAS, has),                                         \
		    DISPATCH(OSSL_FUNC_KEYMGMT_MATCH, match),                                     \
		    DISPATCH(OSSL_FUNC_KEYMGMT_IMPORT, import),                                   \
		    DISPATCH(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_types),                          \
		    DISPATCH(OSSL_FUNC_KEYMGMT_EXPORT, export),                                   \
		    DISPATCH(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_types),                          \
		    DISPATCH(OSSL_FUNC_KEYMGMT_GET_PARAMS, get_params),                           \
		    DISPATCH(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, gettable_params),                 \
		    DISPATCH(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation),                  \
		{                                                                                 \
			0, NULL                                                                   \
		}                                                                                 \
	}

static const OSSL_DISPATCH rsa_keys[] = KEYS(new_rsa, rsa_operation);
static const OSSL_DISPATCH ec_keys[] = KEYS(new_ec, ec_operation);
static const OSSL_DISPATCH signing[] = {DISPATCH(OSSL_FUNC_SIGNATURE_NEWCTX, new_signing),
    DISPATCH(OSSL_FUNC_SIGNATURE_FREECTX, free_signing),
    DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, begin),
    DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, finish),
    DISPATCH(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, set_params),
    DISPATCH(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, settable_params), {0, NULL}};

static const OSSL_ALGORITHM *
query(void *provider, int operation, int *is_no_cache)
{
	static const OSSL_ALGORITHM keys[] = {{"RSA", "provider=postern", rsa_keys, NULL},
	    {"EC", "provider=postern", ec_keys, NULL}, {NULL, NULL, NULL, NULL}};
	static const OSSL_ALGORITHM signatures[] = {{"RSA", "provider=postern", signing, NULL},
	    {"ECDSA", "provider=postern", signing, NULL}, {NULL, NULL, NULL, NULL}};

	(void)provider;
	*is_no_cache = 0;
	if (operation == OSSL_OP_KEYMGMT)
		return keys;
	return operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static int
start(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
    void **provider)
{
	static const OSSL_DISPATCH functions[] = {
	    DISPATCH(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query), {0, NULL}};
	static int nothing;

	(void)handle;
	(void)in;
	*provider = &nothing; /* we keep nothing, but NULL would mean failure */
	*out = functions;
	return 1;
}

int
remote_key_setup(const struct remote_key_asker *asker, void *arg, struct err *err)
{
	bool is_first = remote.asker == NULL;

	remote.asker = asker;
	remote.arg = arg;
	if (!is_first)
		return 0;
	/* The system's openssl.cnf is not ours; and where nothing else is said, OpenSSL's own
	 * provider does the work: ours has the same names. */
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1 ||
	    (remote.providers[0] = OSSL_PROVIDER_load(NULL, "default")) == NULL ||
	    OSSL_PROVIDER_add_builtin(NULL, "postern", start) != 1 ||
	    (remote.providers[1] = OSSL_PROVIDER_load(NULL, "postern")) == NULL ||
	    EVP_set_default_properties(NULL, "?provider=default") != 1)
		return err_set(err, E_IO, "OpenSSL does not start");
	return 0;
}

EVP_PKEY *
remote_key_of(const X509 *certificate)
{
	EVP_PKEY *public = X509_get0_pubkey(certificate), *key = NULL;
	const char *kind = public == NULL                 ? NULL
			   : EVP_PKEY_is_a(public, "RSA") ? "RSA"
			   : EVP_PKEY_is_a(public, "EC")  ? "EC"
							  : NULL;
	EVP_PKEY_CTX *ctx =
	    kind != NULL ? EVP_PKEY_CTX_new_from_name(NULL, kind, "provider=postern") : NULL;
	OSSL_PARAM *params = NULL;

	if (ctx != NULL && EVP_PKEY_todata(public, EVP_PKEY_PUBLIC_KEY, &params) == 1 &&
	    EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(
		    ctx, &key, EVP_PKEY_PUBLIC_KEY, params); /* NULL where it fails */
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return key;
}

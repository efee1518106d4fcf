#include "relay/tls/tickets.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdatomic.h>

enum {
	NAME_BYTES = 16,
	KEYS = 3, /* the newest, the one before, and the place of the next */
	LIFE_S = TLS_TICKET_ROTATE_MS / 1000
};

struct ticket_key {
	unsigned char name[NAME_BYTES], cipher[32], mac[32];
	int64_t made_ms; /* 0: none stands here */
};

/* Key number n, counted from 1, stands at n % KEYS, and its place is not written to while it may be
 * honoured: readers need no lock. */
struct table {
	_Atomic uint64_t newest; /* 0: none is made */
	struct ticket_key keys[KEYS];
};

_Static_assert(sizeof(struct table) <= TLS_TICKETS_BYTES, "it has to fit");

struct tls_tickets {
	const struct table *table;
	struct table *own; /* NULL: the table is somebody else's */
};

static bool
is_honoured(const struct ticket_key *key)
{
	return key->made_ms > 0 && clock_mono_ms() - key->made_ms < 2 * TLS_TICKET_ROTATE_MS;
}

int64_t
tls_tickets_turn(void *memory)
{
	struct table *t = memory;
	uint64_t newest = atomic_load(&t->newest);
	const struct ticket_key *last = &t->keys[newest % KEYS];
	int64_t now_ms = clock_mono_ms();
	struct ticket_key *next;

	if (newest > 0 && now_ms - last->made_ms < TLS_TICKET_ROTATE_MS)
		return last->made_ms + TLS_TICKET_ROTATE_MS - now_ms;
	next = &t->keys[(newest + 1) % KEYS];
	must(RAND_bytes(next->name, sizeof(next->name)) == 1 &&
	     RAND_bytes(next->cipher, sizeof(next->cipher)) == 1 &&
	     RAND_bytes(next->mac, sizeof(next->mac)) == 1);
	next->made_ms = now_ms;
	atomic_store(&t->newest, newest + 1);
	for (size_t i = 0; i < KEYS; i++)
		if (!is_honoured(&t->keys[i]))
			OPENSSL_cleanse(&t->keys[i], sizeof(t->keys[i]));
	return TLS_TICKET_ROTATE_MS;
}

struct tls_tickets *
tls_tickets_over(const void *table)
{
	struct tls_tickets *t = mem_alloc(sizeof(*t));

	t->table = table;
	return t;
}

struct tls_tickets *
tls_tickets_new(void)
{
	struct table *table = mem_alloc(sizeof(*table));
	struct tls_tickets *t = tls_tickets_over(table);

	t->own = table;
	(void)tls_tickets_turn(table); /* again with each ticket */
	return t;
}

void
tls_tickets_free(struct tls_tickets **t)
{
	if (*t == NULL)
		return;
	if ((*t)->own != NULL)
		OPENSSL_cleanse((*t)->own, sizeof(*(*t)->own));
	mem_free((*t)->own);
	mem_free(*t);
	*t = NULL;
}

/* NULL: a ticket of this name is not ours any more. */
static const struct ticket_key *
find(const struct table *table, uint64_t newest, const unsigned char name[NAME_BYTES])
{
	for (uint64_t n = newest; n > 0 && newest - n < 2; n--) {
		const struct ticket_key *key = &table->keys[n % KEYS];

		if (is_honoured(key) && CRYPTO_memcmp(name, key->name, NAME_BYTES) == 0)
			return key;
	}
	return NULL;
}

static int
on_ticket(SSL *ssl, unsigned char name[NAME_BYTES], unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int is_encrypting)
{
	const struct tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	char digest[] = "SHA256";
	const struct ticket_key *key, *newest;
	OSSL_PARAM params[3];
	uint64_t number;

	if (t->own != NULL)
		(void)tls_tickets_turn(t->own); /* again with the next one */
	number = atomic_load(&t->table->newest);
	newest = &t->table->keys[number % KEYS];
	key = is_encrypting ? newest : find(t->table, number, name);
	if (key == NULL)
		return 0; /* a full handshake */
	/* Whoever comes as far as a ticket had a signature or a ticket before: there is a key. */
	if (number == 0)
		return -1;
	if (is_encrypting) {
		memcpy(name, key->name, NAME_BYTES);
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
			return -1;
	}
	params[0] = OSSL_PARAM_construct_octet_string(
	    OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, sizeof(key->mac));
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
	params[2] = OSSL_PARAM_construct_end();
	if (EVP_MAC_CTX_set_params(mac, params) != 1 ||
	    EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, is_encrypting) != 1)
		return -1;
	return key == newest ? 1 : 2; /* 2: honoured, and replaced by a new one */
}

void
tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx)
{
	must(SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
	     SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1 &&
	     SSL_CTX_set_app_data(ctx, t) == 1);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_timeout(ctx, LIFE_S);
}

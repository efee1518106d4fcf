#include "filters/antivirus/clean.h"

#include <openssl/evp.h>

bool
clean_key(struct span bytes, struct clean_key *key)
{
	return EVP_Digest(bytes.p, bytes.n, key->bytes, NULL, EVP_sha256(), NULL) == 1;
}

static size_t
place_of(const struct clean_key *key)
{
	return (key->bytes[0] | (size_t)key->bytes[1] << 8) % CLEAN_PLACES;
}

bool
clean_has(const struct clean *c, const struct clean_key *key)
{
	return memcmp(&c->places[place_of(key)], key, sizeof(*key)) == 0;
}

void
clean_add(struct clean *c, const struct clean_key *key)
{
	c->places[place_of(key)] = *key;
}

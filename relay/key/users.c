#include "relay/key/users.h"
#include "relay/base/base64.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/base/utf8.h"
#include "relay/ipc/front_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum {
	SCRYPT_N_MIN = 1024,
	SCRYPT_R_MAX = 32,
	SCRYPT_P_MAX = 16,
	NEW_SALT = 16,
	NEW_ITERATIONS = 100000,
	FIELDS_MAX = 5,
	DEFAULT_ITERATIONS = 4096
};

struct users {
	struct map *by_name; /* -> struct user */
	/* Stands in for unknown users: the records in their order, and a key that lasts as long as the
	 * file is the same. */
	struct user *records;
	size_t n, n_scram;
	unsigned char secret[USERS_PROOF];
};

static void
hmac(struct span key, struct span text, unsigned char out[USERS_PROOF])
{
	unsigned size = USERS_PROOF;

	must(HMAC(EVP_sha256(), key.p, (int)key.n, (const unsigned char *)text.p, text.n, out,
		 &size) != NULL);
}

static void
sha256(struct span text, unsigned char out[USERS_PROOF])
{
	unsigned size = USERS_PROOF;

	must(EVP_Digest(text.p, text.n, out, &size, EVP_sha256(), NULL) == 1);
}

/* --- the file ----------------------------------------------------------------------------------- */

static bool
get_bytes(struct span text, unsigned char *to, size_t min, size_t max, size_t *n)
{
	struct buf b = BUF_INIT(USERS_SALT_MAX);
	bool is_fine = base64_decode(&b, text) == 0 && b.n >= min && b.n <= max;

	if (is_fine) {
		memcpy(to, b.p, b.n);
		*n = b.n;
	}
	buf_free(&b);
	return is_fine;
}

static bool
get_number(struct span text, uint64_t min, uint64_t max, uint32_t *to)
{
	uint64_t number;

	if (!span_to_u64(text, &number) || number < min || number > max)
		return false;
	*to = (uint32_t)number;
	return true;
}

static size_t
split(struct span text, struct span fields[FIELDS_MAX])
{
	size_t n = 0;

	while (n < FIELDS_MAX) {
		size_t comma = span_find(text, ',');

		fields[n++] = span_take(text, comma);
		if (comma == text.n)
			return n;
		text = span_skip(text, comma + 1);
	}
	return FIELDS_MAX + 1;
}

static bool
parse_scram(struct span text, struct user *user)
{
	struct span fields[FIELDS_MAX];
	size_t n;

	user->kind = USER_SCRAM;
	return split(text, fields) == 4 &&
	       get_number(fields[0], USERS_ITERATIONS_MIN, KEY_ITERATIONS_MAX, &user->iterations) &&
	       get_bytes(fields[1], user->salt, USERS_SALT_MIN, USERS_SALT_MAX, &user->salt_n) &&
	       get_bytes(fields[2], user->stored, USERS_PROOF, USERS_PROOF, &n) &&
	       get_bytes(fields[3], user->server, USERS_PROOF, USERS_PROOF, &n);
}

static bool
parse_scrypt(struct span text, struct user *user)
{
	struct span fields[FIELDS_MAX];
	size_t n;

	user->kind = USER_SCRYPT;
	return split(text, fields) == 5 &&
	       get_number(fields[0], SCRYPT_N_MIN, USERS_SCRYPT_MEMORY, &user->n) &&
	       get_number(fields[1], 1, SCRYPT_R_MAX, &user->r) &&
	       get_number(fields[2], 1, SCRYPT_P_MAX, &user->p) && (user->n & (user->n - 1)) == 0 &&
	       (uint64_t)128 * user->n * user->r <= USERS_SCRYPT_MEMORY &&
	       get_bytes(fields[3], user->salt, USERS_SALT_MIN, USERS_SALT_MAX, &user->salt_n) &&
	       get_bytes(fields[4], user->stored, USERS_PROOF, USERS_PROOF, &n);
}

/* What a line can hold and front's channel can carry. */
static bool
is_name(struct span name)
{
	if (name.n == 0 || name.n > KEY_NAME_MAX || name.p[0] == '#')
		return false;
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || name.p[i] == 0x7f || name.p[i] == ':')
			return false;
	return true;
}

static const char *
parse_line(struct users *u, struct span line, struct user *user)
{
	struct span name = span_cut(&line, ':');

	if (!is_name(name) || line.n == 0)
		return "not a user; write NAME:{SCRAM-SHA-256}... as \"postern user password\" "
		       "prints it";
	if (map_get(u->by_name, name) != NULL)
		return "this user stands in the file twice; keep one line";
	if (span_starts(line, SPAN("{SCRAM-SHA-256}"))) {
		if (!parse_scram(span_skip(line, 15), user))
			return "a {SCRAM-SHA-256} record is ITERATIONS,SALT,STOREDKEY,SERVERKEY "
			       "with at least 4096 iterations; make it anew";
	} else if (span_starts(line, SPAN("{scrypt}"))) {
		if (!parse_scrypt(span_skip(line, 8), user))
			return "a {scrypt} record is N,R,P,SALT,HASH with a hash of 32 bytes and "
			       "at most 64 MiB of memory; make it anew";
	} else {
		return "neither {SCRAM-SHA-256} nor {scrypt}; make the line with \"postern user "
		       "password\"";
	}
	(void)map_set(u->by_name, name, user); /* was not there */
	return NULL;
}

struct users *
users_parse(struct span text, const char *file, struct err *err)
{
	struct users *u = mem_alloc(sizeof(*u));
	size_t lines = 1;

	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	u->by_name = map_new();
	u->records = mem_array(lines, sizeof(*u->records));
	sha256(text, u->secret);
	text = span_skip_bom(text);
	for (unsigned number = 1; text.n > 0; number++) {
		struct span line = span_trim(span_cut(&text, '\n'));
		const char *wrong;

		if (line.n == 0 || line.p[0] == '#')
			continue;
		wrong = parse_line(u, line, &u->records[u->n]);
		if (wrong != NULL) {
			(void)err_set(err, E_CONFIG, "%s:%u: %s", file, number, wrong);
			users_free(&u);
			return NULL;
		}
		u->n_scram += u->records[u->n++].kind == USER_SCRAM;
	}
	return u;
}

void
users_free(struct users **u)
{
	if (*u == NULL)
		return;
	OPENSSL_cleanse((*u)->records, (*u)->n * sizeof(*(*u)->records));
	OPENSSL_cleanse((*u)->secret, sizeof((*u)->secret));
	mem_free((*u)->records);
	map_free(&(*u)->by_name);
	mem_free(*u);
	*u = NULL;
}

size_t
users_count(const struct users *u)
{
	return u->n;
}

/* --- who is asked about ------------------------------------------------------------------------- */

/* As costly as somebody's of the file: which one, the name decides. */
static void
stand_in(const struct users *u, struct span name, bool is_scram, struct user *out)
{
	unsigned char seed[USERS_PROOF];
	size_t n = is_scram ? u->n_scram : u->n, pick;

	hmac(span_of(u->secret, sizeof(u->secret)), name, seed);
	*out =
	    (struct user){.kind = USER_SCRAM, .iterations = DEFAULT_ITERATIONS, .salt_n = NEW_SALT};
	pick = n > 0 ? ((size_t)seed[0] << 16 | (size_t)seed[1] << 8 | seed[2]) % n : 0;
	for (size_t i = 0; i < u->n; i++)
		if ((!is_scram || u->records[i].kind == USER_SCRAM) && pick-- == 0) {
			*out = u->records[i];
			break;
		}
	hmac(span_of(seed, sizeof(seed)), SPAN("stored"), out->stored);
	hmac(span_of(seed, sizeof(seed)), SPAN("server"), out->server);
	hmac(span_of(seed, sizeof(seed)), SPAN("salt"), seed);
	/* Salts over 32 bytes repeat, which nobody can tell from chance who sees it once. */
	for (size_t i = 0; i < out->salt_n; i++)
		out->salt[i] = (unsigned char)(seed[i % sizeof(seed)] ^ (i / sizeof(seed)));
}

bool
users_find(const struct users *u, struct span name, struct user *out)
{
	const struct user *found = map_get(u->by_name, name);

	stand_in(u, name, false, out);
	if (found != NULL)
		*out = *found;
	return found != NULL;
}

bool
users_find_scram(const struct users *u, struct span name, struct user *out)
{
	const struct user *found = map_get(u->by_name, name);
	bool is_here = found != NULL && found->kind == USER_SCRAM;

	stand_in(u, name, true, out);
	if (is_here)
		*out = *found;
	return is_here;
}

/* --- proofs ------------------------------------------------------------------------------------- */

static void
salted_password(
    struct span password, struct span salt, uint32_t iterations, unsigned char out[USERS_PROOF])
{
	must(PKCS5_PBKDF2_HMAC(password.p, (int)password.n, (const unsigned char *)salt.p,
		 (int)salt.n, (int)iterations, EVP_sha256(), USERS_PROOF, out) == 1);
}

static bool
is_same(const unsigned char a[USERS_PROOF], const unsigned char b[USERS_PROOF])
{
	return CRYPTO_memcmp(a, b, USERS_PROOF) == 0;
}

bool
user_is_password(const struct user *user, struct span password)
{
	struct span salt = span_of(user->salt, user->salt_n);
	unsigned char bytes[USERS_PROOF], stored[USERS_PROOF];

	if (password.n > KEY_PASSWORD_MAX)
		return false;
	if (user->kind == USER_SCRYPT) {
		/* OpenSSL counts a little more than the block itself. */
		must(EVP_PBE_scrypt(password.n > 0 ? password.p : "", password.n, user->salt,
			 user->salt_n, user->n, user->r, user->p, (uint64_t)USERS_SCRYPT_MEMORY * 2,
			 stored, sizeof(stored)) == 1);
	} else {
		salted_password(password, salt, user->iterations, bytes);
		hmac(span_of(bytes, sizeof(bytes)), SPAN("Client Key"), bytes);
		sha256(span_of(bytes, sizeof(bytes)), stored);
		OPENSSL_cleanse(bytes, sizeof(bytes));
	}
	return is_same(stored, user->stored);
}

/* ClientKey is the proof XOR HMAC(StoredKey, AuthMessage), and its hash must be StoredKey. */
bool
user_is_proof(const struct user *user, struct span message, struct span proof,
    unsigned char signature[USERS_PROOF])
{
	unsigned char key[USERS_PROOF], stored[USERS_PROOF];

	if (proof.n != USERS_PROOF)
		return false;
	hmac(span_of(user->stored, sizeof(user->stored)), message, key);
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] ^= (unsigned char)proof.p[i];
	sha256(span_of(key, sizeof(key)), stored);
	OPENSSL_cleanse(key, sizeof(key));
	hmac(span_of(user->server, sizeof(user->server)), message, signature);
	return is_same(stored, user->stored);
}

int
user_add_line(struct buf *to, struct span name, struct span password)
{
	unsigned char salt[NEW_SALT], salted[USERS_PROOF], key[USERS_PROOF];

	if (!is_name(name) || !utf8_is_valid(name) || password.n == 0 ||
	    password.n > KEY_PASSWORD_MAX || memchr(password.p, '\0', password.n) != NULL)
		return -E_SYNTAX;
	rng_bytes(salt, sizeof(salt));
	salted_password(password, span_of(salt, sizeof(salt)), NEW_ITERATIONS, salted);
	(void)buf_add_span(to, name); /* sticky, as all below */
	(void)buf_addf(to, ":{SCRAM-SHA-256}%d,", NEW_ITERATIONS);
	(void)base64_add(to, span_of(salt, sizeof(salt)));
	(void)buf_add_char(to, ',');
	hmac(span_of(salted, sizeof(salted)), SPAN("Client Key"), key);
	sha256(span_of(key, sizeof(key)), key);
	(void)base64_add(to, span_of(key, sizeof(key)));
	(void)buf_add_char(to, ',');
	hmac(span_of(salted, sizeof(salted)), SPAN("Server Key"), key);
	(void)base64_add(to, span_of(key, sizeof(key)));
	OPENSSL_cleanse(salted, sizeof(salted));
	return to->failed ? -E_LIMIT : 0;
}

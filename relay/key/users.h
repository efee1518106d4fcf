/*
 * users.h - who may sign in: a text with one user a line and what proves a password, never the
 * password itself.
 *
 *     name:{SCRAM-SHA-256}ITERATIONS,SALT,STOREDKEY,SERVERKEY     (RFC 5802, RFC 7677)
 *     name:{scrypt}N,R,P,SALT,HASH                                (RFC 7914)
 *
 * Salts, keys and hashes are base64; `#` begins a comment line.  Belongs to the key role.  Nothing
 * here tells an unknown user from a wrong password, neither by what it says nor by the work it does.
 */
#ifndef KEY_USERS_H
#define KEY_USERS_H
#include "relay/base/buf.h"
#include "relay/base/err.h"

enum {
	USERS_PROOF = 32, /* bytes of a SHA-256 and of a scrypt hash here */
	USERS_SALT_MIN = 8,
	USERS_SALT_MAX = 64,
	USERS_ITERATIONS_MIN = 4096, /* RFC 7677 section 4 */
	USERS_SCRYPT_MEMORY = 64 * 1024 * 1024
};

enum user_kind { USER_SCRAM, USER_SCRYPT };

/* What one line says. */
struct user {
	enum user_kind kind;
	uint32_t iterations; /* SCRAM */
	uint32_t n, r, p;    /* scrypt */
	unsigned char salt[USERS_SALT_MAX];
	size_t salt_n;
	unsigned char stored[USERS_PROOF]; /* StoredKey; the hash */
	unsigned char server[USERS_PROOF]; /* ServerKey */
};

struct users;

/* NULL with `err`: "FILE:LINE: what is wrong; what would be right". */
struct users *users_parse(struct span text, const char *file, struct err *err);
void users_free(struct users **u);
size_t users_count(const struct users *u);

/* The user's record; for an unknown one a record of the file's own kind and cost that no password
 * fits, always the same for the same name.  Returns whether the user is there: for the final answer
 * only, after the work is done. */
bool users_find(const struct users *u, struct span name, struct user *out);
/* The same among those whose record can do SCRAM. */
bool users_find_scram(const struct users *u, struct span name, struct user *out);

/* Whether this is the password: tens of milliseconds of work by intent. */
bool user_is_password(const struct user *user, struct span password);
/* RFC 5802 section 3: whether the proof fits; then the signature that proves us to the client. */
bool user_is_proof(const struct user *user, struct span message, struct span proof,
    unsigned char signature[USERS_PROOF]);

/* Appends the line (without its end) of a user with this password, by SCRAM-SHA-256 with a fresh
 * salt.  0, or -E_SYNTAX: no name or password that a line may hold. */
int user_add_line(struct buf *to, struct span name, struct span password);

#endif

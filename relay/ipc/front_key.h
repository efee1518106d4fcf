/*
 * front_key.h - the channel between front and key: what front may ask of the role that holds the
 * private keys and the users' password records, and what it hears.
 *
 * A key is named by the SHA-256 of its certificate's SubjectPublicKeyInfo.  Front sends what TLS
 * signs as a whole, not a digest, so that key can see that it is what TLS signs.
 */
#ifndef IPC_FRONT_KEY_H
#define IPC_FRONT_KEY_H
#include "relay/base/err.h"
#include "relay/base/wire.h"

enum front_key_type {
	KEY_SIGN = 1,  /* to key: struct key_request */
	KEY_SIGNATURE, /* from key: struct key_answer */
	KEY_ASK,       /* to key: struct key_question */
	KEY_VERDICT    /* from key: struct key_verdict */
};

enum {
	KEY_FINGERPRINT = 32,
	KEY_SIGNED_MAX = 256,     /* the longest that TLS signs: two randoms and a P-521 point */
	KEY_SIGNATURE_MAX = 1024, /* RSA with 8192 bits */
	KEY_USERS_MAX = 4096,     /* name of a file of users */
	KEY_NAME_MAX = 255,
	KEY_PASSWORD_MAX = 1024,
	KEY_MESSAGE_MAX = 4096, /* SCRAM's AuthMessage */
	KEY_DATA_MAX = 64,      /* a salt, a server's signature */
	KEY_ITERATIONS_MAX = 1000000
};

enum key_status {
	KEY_YES,
	KEY_NO,      /* no such key; wrong password */
	KEY_REFUSED, /* nothing that may be asked */
	KEY_BUSY     /* too many questions wait */
};

/* A signature by the key of this fingerprint; `scheme` is TLS's SignatureScheme (RFC 8446 4.2.3). */
struct key_request {
	struct span fingerprint; /* KEY_FINGERPRINT bytes */
	uint16_t scheme;
	struct span content;
};

struct key_answer {
	enum key_status status;
	struct span signature; /* with KEY_YES */
};

enum key_question_kind {
	KEY_PASSWORD,    /* is `proof` the password? */
	KEY_SCRAM_FIRST, /* salt and iterations; an unknown user has some too */
	KEY_SCRAM_FINAL  /* is `proof` the ClientProof for `message`?  Then its ServerSignature. */
};

struct key_question {
	enum key_question_kind kind;
	struct span users; /* the file, as the configuration names it */
	struct span name, proof, message;
};

struct key_verdict {
	enum key_status status;
	struct span data;    /* SCRAM: the salt, or the ServerSignature */
	uint32_t iterations; /* KEY_SCRAM_FIRST */
};

/* Each get: 0 or -E_CORRUPT; spans point into the payload. */
void key_request_put(struct buf *to, const struct key_request *r);
int key_request_get(struct span payload, struct key_request *r);
void key_answer_put(struct buf *to, const struct key_answer *a);
int key_answer_get(struct span payload, struct key_answer *a);
void key_question_put(struct buf *to, const struct key_question *q);
int key_question_get(struct span payload, struct key_question *q);
void key_verdict_put(struct buf *to, const struct key_verdict *v);
int key_verdict_get(struct span payload, struct key_verdict *v);

#endif

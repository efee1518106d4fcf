/*
 * key_client.h - questions to the key role: signatures for handshakes, and whether a password is
 * right.
 *
 * A signature is waited for where it is needed, inside OpenSSL's handshake: the key role answers it
 * at once (microseconds of transport and what the signature costs anyway), and its time is bounded by
 * KEY_SIGN_MS, after which the channel counts as lost.  OpenSSL's way of not waiting (ASYNC_JOB) would
 * give each handshake a stack of its own.  Passwords are answered from the loop.
 */
#ifndef FRONT_KEY_CLIENT_H
#define FRONT_KEY_CLIENT_H
#include "relay/base/loop.h"
#include "relay/ipc/front_key.h"

enum { KEY_SIGN_MS = 1000, KEY_ANSWER_MS = 30000 };

struct key_client;

/* Embedded in its owner; all zeros: not asked. */
struct key_waiting {
	uint64_t id;
	struct key_client *client; /* NULL: nothing is asked */
	struct timer *patience;
	/* KEY_BUSY also when the key role is away or does not answer. */
	void (*on_verdict)(struct key_waiting *w, const struct key_verdict *v);
	void *arg;
};

struct key_client *key_client_new(struct loop *loop);
void key_client_free(struct key_client **k); /* nobody may wait */
/* Called when the channel closes by itself or is given up. */
void key_client_on_lost(struct key_client *k, void (*on_lost)(void *arg), void *arg);
void key_client_connect(struct key_client *k, int fd); /* takes the fd; an older one closes */
bool key_client_is_there(const struct key_client *k);

/* A remote_key_sign (relay/tls/remote_key.h); `arg` is the client.  Blocks KEY_SIGN_MS at most. */
int key_client_sign(void *arg, const unsigned char fingerprint[KEY_FINGERPRINT], unsigned scheme,
    struct span content, struct buf *signature);

/* Set on_verdict and arg first; it is called from the loop, never from inside. */
void key_ask(struct key_client *k, struct key_waiting *w, const struct key_question *q);
void key_cancel(struct key_waiting *w);

#endif

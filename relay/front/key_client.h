/*
 * key_client.h - questions to the key role: signatures for handshakes, and whether a password is
 * right.
 *
 * Both are answered from the loop, which never waits for the key role; what is asked in one turn of the
 * loop leaves together at its end.  A handshake whose signature has not come within KEY_SIGN_MS, or
 * whose key role has gone meanwhile, fails; so does one that finds too much unread by the key role, and
 * that one alone.
 */
#ifndef FRONT_KEY_CLIENT_H
#define FRONT_KEY_CLIENT_H
#include "relay/base/loop.h"
#include "relay/ipc/front_key.h"
#include "relay/tls/remote_key.h"

enum { KEY_SIGN_MS = 10000, KEY_ANSWER_MS = 30000 };

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

/* Signatures for relay/tls/remote_key.h; its `arg` is the client. */
extern const struct remote_key_asker key_client_asker;

/* Set on_verdict and arg first; it is called from the loop, never from inside. */
void key_ask(struct key_client *k, struct key_waiting *w, const struct key_question *q);
void key_cancel(struct key_waiting *w);

#endif

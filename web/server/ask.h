/*
 * ask.h - questions of the web role to the supervisor, over its control channel, and their answers.
 *
 * The web role decides nothing: it asks "console" "sign-in" TOKEN, "console" "status" SESSION and
 * "console" "ready", and shows what comes back.  Answers come in chunks and an end.
 */
#ifndef WEB_ASK_H
#define WEB_ASK_H
#include "relay/base/loop.h"
#include "relay/ipc/channel.h"

enum { ASK_PENDING_MAX = 256, ASK_BODY_MAX = 4 * 1024 * 1024, ASK_TIMEOUT_MS = 10000 };

struct asks;

/* The channel is the role's and must live as long. */
struct asks *asks_new(struct loop *loop, struct channel *control);
void asks_free(struct asks **a); /* who still waits is not called */

/*
 * Asks; `done` is called once, from the loop, unless cancelled: `status` is that of the answer (0
 * yes, 1 no, others as the command's exit status), or -E_TIMEOUT, or -E_LIMIT when more than
 * ASK_BODY_MAX came.  The body is valid during the call.  Returns the id, or 0 and calls nothing
 * when ASK_PENDING_MAX wait already or the words are too long.
 */
uint64_t ask_send(struct asks *a, const struct span *words, size_t n_words,
    void (*done)(void *arg, int status, struct span body), void *arg);
void ask_cancel(struct asks *a, uint64_t id); /* an unknown id is fine */

/* For role_ops.answer: a CONTROL_CHUNK or CONTROL_END; what nobody waits for is dropped. */
void asks_answer(struct asks *a, const struct message *m);

#endif

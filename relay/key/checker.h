/*
 * checker.h - passwords are checked one at a time, in a thread of its own: each costs tens of
 * milliseconds by intent, and signatures must not wait for that.
 *
 * Jobs wait in a bounded queue and are answered in their order, from the loop.
 */
#ifndef KEY_CHECKER_H
#define KEY_CHECKER_H
#include "relay/base/loop.h"
#include "relay/key/users.h"

enum { CHECKER_WAITING_MAX = 64 };

struct checker;

/* Starts the thread: inside the sandbox.  `on_result` gets what checker_ask was told. */
struct checker *checker_new(struct loop *loop,
    void (*on_result)(void *arg, uint64_t asker, uint64_t id, bool is_password), void *arg);
/* Waits for the job in hand. */
void checker_free(struct checker **c);
/* A copy of both is kept and overwritten after.  `is_known` false: the same work, and no.  Returns
 * false when too many wait. */
bool checker_ask(struct checker *c, uint64_t asker, uint64_t id, const struct user *user,
    bool is_known, struct span password);

#endif

/*
 * successor.h - a filter role that is renewed beside itself: who loads takes seconds and another
 * copy of the signatures, and mail shall not wait for either.
 *
 * The one that serves asks.  A second process starts at the other of the two places, loads, has a
 * worker start, and only when it is ready do fronts get channels to it; the first ends when its workers
 * have finished what they have.  One that does not come up changes nothing but `status`.
 * A changed configuration begins the same way (reload.h).
 */
#ifndef PROCESS_SUCCESSOR_H
#define PROCESS_SUCCESSOR_H
#include "relay/process/supervisor.h"

/* The one that serves. */
struct child *successor_filter(const struct supervisor *s);
/* Whether c is a filter role beside the one that serves: on its way in or out. */
bool successor_is_other(const struct child *c);
/* `from` asks to be renewed and has `loaded` these filters; done when the other place is free. */
void successor_ask(struct supervisor *s, const struct child *from, struct span loaded);
/* c has come up (ready) or died; the first before fronts are told of anything else. */
void successor_changed(struct supervisor *s, struct child *c);
/* c was to take over and has died before it could; `why` of a load, or NULL. */
void successor_refused(
    struct supervisor *s, const struct child *c, int wait_status, const char *why);
/* s->next is new, or NULL since a moment ago: the other place is for it. */
void successor_propose(struct supervisor *s);
/* Starts what is due, if that can be. */
void successor_look(struct supervisor *s);
/* `next` is the one that serves from now on; the one before is told nothing. */
void successor_take_place(struct supervisor *s, struct child *next);
/* What a filter role at this place loads by. */
const struct config *successor_config(const struct child *c);
/* Before the roles are started, all down: the first place serves, nothing is asked. */
void successor_reset(struct supervisor *s);

#endif

/*
 * grey_client.h - front's greylist (policy/rate/greylist.h) and its copy on disk, which the journal
 * role keeps: read once when front begins, then told of each change.
 *
 * Every question is answered here, from memory, at once.  Until the copy has been read the answer is
 * GREYLIST_UNKNOWN, which refuses nobody; a journal that is away later costs what it did not hear,
 * and when it is back it is told everything.
 */
#ifndef FRONT_GREY_CLIENT_H
#define FRONT_GREY_CLIENT_H
#include "policy/rate/greylist.h"
#include "relay/ipc/channel.h"

struct grey_client;

/* keep_ms: how long an address that one of ours has written to is known. */
struct grey_client *grey_client_new(int64_t keep_ms);
void grey_client_free(struct grey_client **g);
/* The channel to the journal, the caller's; NULL: there is none now. */
void grey_client_connect(struct grey_client *g, struct channel *journal);
/* The journal's JOURNAL_GREY_ENTRIES: all that was kept. */
void grey_client_take(struct grey_client *g, struct span entries);
/* Its JOURNAL_GREY_ENTRY: what another front has learnt. */
void grey_client_hear(struct grey_client *g, struct span entries);
/* As greylist_see, greylist_look and greylist_know. */
enum greylist_fact grey_client_see(struct grey_client *g, const struct conf_greylist *conf,
    const struct greylist_mail *mail, int64_t *left_ms);
enum greylist_fact grey_client_look(const struct grey_client *g, const struct conf_greylist *conf,
    const struct greylist_mail *mail, int64_t *left_ms);
void grey_client_know(struct grey_client *g, struct span address);
size_t grey_client_count(const struct grey_client *g);

#endif

/*
 * greylist.h - who has sent to whom before: a mail from a stranger is to come again a little later,
 * which a real mail server does (RFC 6647).
 *
 * A triplet is the client's network (IPv4 /24, IPv6 /64), the sender without what changes from mail
 * to mail, and the recipient.  A network whose mails have passed often enough is known as a whole, as
 * is a sender to whom one of our own has written.  Pure: the (wall) time is passed in, what changes is
 * told to the owner, who may write it down.  Memory is bounded by the two limits below; those who wait
 * cannot push out those who are known.
 *
 * Keys are 128-bit hashes: neither memory nor disk holds anybody's address, and an entry has one
 * size.  They keep nothing secret and prove nothing; a stranger who finds a collision has saved
 * himself the wait.
 */
#ifndef RATE_GREYLIST_H
#define RATE_GREYLIST_H
#include "policy/config/config.h"
#include "relay/base/wire.h"

enum {
	GREYLIST_WAITING_MAX = 65536, /* triplets that have not passed */
	GREYLIST_KNOWN_MAX = 131072,  /* triplets, networks and senders that are known */
	GREYLIST_KEY = 16,
	GREYLIST_ENTRY = GREYLIST_KEY + 8 + 8 + 4, /* bytes of one that is written down */
	GREYLIST_KEEP_MAX_DAYS = 366 /* an entry that claims to last longer is garbage */
};

/* The fact of the decision. */
enum greylist_fact {
	GREYLIST_UNKNOWN,      /* the flow has none, or it has not been read yet */
	GREYLIST_WAIT,         /* a stranger */
	GREYLIST_PASSED,       /* he has come again, or has passed before */
	GREYLIST_CLIENT,       /* his network is known */
	GREYLIST_CORRESPONDENT /* one of ours has written to the sender */
};

struct greylist_entry {
	uint8_t key[GREYLIST_KEY];
	int64_t first_ms, until_ms; /* wall; gone at until_ms */
	uint32_t passes;            /* 0: a triplet that waits */
};

struct greylist_mail {
	struct ip client;
	struct span from, to; /* without <>; an empty sender is the null sender */
};

struct greylist;
typedef void greylist_on_entry(void *arg, const struct greylist_entry *e);

/* on_change: an entry is new or has changed in a way worth writing down; may be NULL. */
struct greylist *greylist_new(greylist_on_entry *on_change, void *arg);
void greylist_free(struct greylist **g);
/* What is known of this mail, and what is learnt from its being sent now.  left_ms: GREYLIST_WAIT,
 * how long until it may pass. */
enum greylist_fact greylist_see(struct greylist *g, const struct conf_greylist *conf,
    const struct greylist_mail *mail, int64_t now_ms, int64_t *left_ms);
/* The same, but nothing is learnt. */
enum greylist_fact greylist_look(const struct greylist *g, const struct conf_greylist *conf,
    const struct greylist_mail *mail, int64_t now_ms, int64_t *left_ms);
/* One of ours has written to this address. */
void greylist_know(struct greylist *g, struct span address, int64_t keep_ms, int64_t now_ms);
/* An entry that was written down; the one that lasts longer stands.  Expired ones and garbage are
 * left out. */
void greylist_put(struct greylist *g, const struct greylist_entry *e, int64_t now_ms);
/* All that has not expired. */
void greylist_each(
    const struct greylist *g, int64_t now_ms, greylist_on_entry *on_entry, void *arg);
size_t greylist_count(const struct greylist *g); /* expired ones too */

void greylist_entry_put(struct buf *to, const struct greylist_entry *e);
void greylist_entry_get(struct wire *w, struct greylist_entry *e); /* wire's error is sticky */

#endif

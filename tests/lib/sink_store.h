/*
 * sink_store.h - the folder a sink keeps what it accepted in: NNNNNN.eml (the bytes), NNNNNN.json
 * (the envelope), and one line a message in `ledger`.
 *
 * A message is there as a whole or not at all: the .json is renamed into place last.  Tests and
 * the demo read nothing but these files.
 */
#ifndef SINK_STORE_H
#define SINK_STORE_H
#include "relay/base/buf.h"

struct sink_store {
	int dir;    /* of the folder; -1: nothing is kept, messages are counted only */
	int ledger; /* opened for appending */
	bool is_synced;
	uint64_t last; /* number of the newest message */
};

struct sink_message {
	struct span helo, from, to; /* `to`: a JSON array's elements, divided by commas */
	struct span params;         /* what followed the path in MAIL */
	struct span rcpt_params;    /* what followed it in each RCPT, like `to` */
	struct span tls;            /* version; empty: in clear */
	bool is_chunk;              /* came by BDAT */
	struct span client;         /* address:port */
	struct span body;
};

/* Makes the folder where its parent is there and goes on behind its highest number; dies when it
 * cannot.  dir NULL: count only. */
void sink_store_open(struct sink_store *s, const char *dir, bool is_synced);
/* 0, or -E_IO when the message could not be kept as a whole. */
int sink_store_put(struct sink_store *s, const struct sink_message *m);

#endif

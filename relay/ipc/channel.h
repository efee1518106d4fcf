/*
 * channel.h - messages between two processes of ours: a SEQPACKET socket pair, one message a
 * packet, each {type, id, payload, up to CHANNEL_FDS descriptors}.
 *
 * channel_send never sends at once: a turn's messages leave together when the loop's turn ends
 * (sendmmsg), and arrive in batches (recvmmsg).  The peer is untrusted: a packet that is too
 * short, too long or has a wrong version closes the channel.
 */
#ifndef IPC_CHANNEL_H
#define IPC_CHANNEL_H
#include "relay/base/buf.h"
#include "relay/base/loop.h"

enum {
	CHANNEL_INLINE_MAX = 65536,      /* a message body up to this rides in the payload */
	CHANNEL_PACKET_MAX = 192 * 1024, /* a larger payload travels in a sealed memfd, unseen */
	CHANNEL_PAYLOAD_MAX = 128 * 1024 * 1024,
	CHANNEL_FDS = 2,
	CHANNEL_QUEUE_MAX = 64 * 1024 * 1024 /* bytes waiting to leave; more closes the channel */
};

struct message {
	uint16_t type; /* of the channel's own enum */
	uint64_t id;   /* pairs a request and its answer; chosen by whoever asks */
	struct span payload;
	int fds
	    [CHANNEL_FDS]; /* -1: none.  Taken by the receiver by setting it to -1, else closed. */
};

struct channel;

struct channel_events {
	/* The payload is valid during the call only. */
	void (*on_message)(void *arg, struct message *m);
	/* The peer has gone or broke the protocol; called once, from the loop, never from inside
	 * channel_send.  The channel is still the owner's to free. */
	void (*on_close)(void *arg);
};

/* Takes the fd. */
struct channel *channel_new(
    struct loop *loop, int fd, const struct channel_events *events, void *arg);
void channel_free(struct channel **c); /* closes the fd; unsent messages are dropped */
/* Copies the payload; takes the descriptors (they are closed after sending).  fds may be NULL. */
void channel_send(
    struct channel *c, uint16_t type, uint64_t id, struct span payload, const int fds[CHANNEL_FDS]);
bool channel_is_open(const struct channel *c);
size_t channel_queued(const struct channel *c); /* bytes not yet taken by the kernel */
/* Open, and with at most half of CHANNEL_QUEUE_MAX waiting.  Who sends at the pace of others asks
 * this first: a peer that is only slow is no reason to lose the channel.  NULL: false. */
bool channel_has_room(const struct channel *c);
/* Hands over what a peer that has ended has left behind.  The owner may free it meanwhile. */
void channel_drain(struct channel *c);
void channel_flush(struct channel *c); /* before an exit; else the loop does it */
/* Whether the peer has not yet read all that it was sent. */
bool channel_is_unread(const struct channel *c);

/* Two connected ends with large buffers, close-on-exec; dies when there are no descriptors. */
void channel_pair(int ends[2]);
/* One blocking receive and send, for start-up, workers and the command line: 0, or -E_CLOSED,
 * -E_TIMEOUT, -E_CORRUPT.  `buf` holds the payload afterwards; the caller closes m->fds.  Sending
 * leaves the descriptors the caller's. */
int channel_receive(int fd, struct message *m, struct buf *buf, int64_t timeout_ms);
int channel_send_now(
    int fd, uint16_t type, uint64_t id, struct span payload, const int fds[CHANNEL_FDS]);

/* A sealed memfd with these bytes (F_SEAL_WRITE|SHRINK|GROW|SEAL), or -E_IO. */
int channel_seal(struct span bytes, const char *name);
/* Maps a sealed memfd of at most `max` bytes for reading: 0, -E_DENIED (not sealed), -E_LIMIT or
 * -E_IO.  The fd stays the caller's.  Unmap with channel_unmap. */
int channel_map(int fd, size_t max, struct span *out);
void channel_unmap(struct span *mapped);

#endif

/*
 * tickets.h - the keys of TLS session tickets (RFC 5077 section 5.5, RFC 8446 section 4.6.1).
 *
 * They stand in a table that several processes map: one makes new ones, all others only read.  So a
 * ticket of one front is good at the others and after a restart.  A key makes tickets for
 * TLS_TICKET_ROTATE_MS, is honoured as long again, and is wiped.
 */
#ifndef TLS_TICKETS_H
#define TLS_TICKETS_H
#include <stddef.h>
#include <stdint.h>

struct ssl_ctx_st;
struct tls_tickets;

enum { TLS_TICKETS_BYTES = 4096, TLS_TICKET_ROTATE_MS = 60 * 60 * 1000 };

/* Makes the next key in a table of TLS_TICKETS_BYTES, zeros at first, when it is due.  To be called
 * by one process at a time, again after so many milliseconds. */
int64_t tls_tickets_turn(void *table);

/* Reads a table that is somebody else's and outlives it. */
struct tls_tickets *tls_tickets_over(const void *table);
/* A table of its own, which it turns by itself when a ticket is looked at. */
struct tls_tickets *tls_tickets_new(void);
void tls_tickets_free(struct tls_tickets **t); /* after the contexts that use them */

/* Tickets of this context, and their lifetime, are these; no session is kept in memory. */
void tls_tickets_use(struct tls_tickets *t, struct ssl_ctx_st *ctx);

#endif

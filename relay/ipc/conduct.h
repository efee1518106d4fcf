/*
 * conduct.h - what a front knows of a client's conduct, asked through the control socket by
 * `postern explain`: {"conduct", FLOW, CLIENT, FROM, TO, …}.  Nothing is counted or learnt by it.
 *
 * The answer of each front is one line: the facts of connect, mail and rcpt (enum rate_fact), then for
 * each TO its greylist_fact and the milliseconds that are left, all as numbers.
 */
#ifndef IPC_CONDUCT_H
#define IPC_CONDUCT_H

enum { CONDUCT_FIXED_WORDS = 4, CONDUCT_TO_MAX = 50 /* of one request */ };

#endif

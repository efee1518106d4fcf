/*
 * kept.h - a verdict that waits, in as little memory as it needs.
 *
 * A verdict has room for the longest of everything; one that is kept for each session and recipient of
 * a storm takes some hundred bytes instead of 14 KiB.
 */
#ifndef DECIDE_KEPT_H
#define DECIDE_KEPT_H
#include "policy/decide/decide.h"

struct kept_verdict;

/* Owned by the caller, who frees it with mem_free; what its spans point to has to live as long. */
struct kept_verdict *kept_new(const struct verdict *v);
/* The verdict again; NULL: one that says nothing (all zeros). */
struct verdict kept_verdict(const struct kept_verdict *k);
enum action kept_action(const struct kept_verdict *k); /* NULL: ACTION_PASS */
size_t kept_bytes(const struct kept_verdict *k);       /* of memory; NULL: 0 */

#endif

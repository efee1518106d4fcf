/*
 * journal.h - the channel of every role to the journal: events, one JSON object each; and, of front,
 * the greylist that the journal keeps on disk for it.
 *
 * The sender writes the object without the outer braces' time; the journal adds nothing and
 * appends the line.  An event is never waited for.  Entries of the greylist are as
 * greylist_entry_put makes them, one behind the other.
 */
#ifndef IPC_JOURNAL_H
#define IPC_JOURNAL_H
#include "relay/base/span.h"

enum journal_type {
	JOURNAL_EVENT = 1, /* payload: one JSON object {id, time, event, …}, no newline */
	JOURNAL_GREY_READ, /* front asks for all that was kept */
	JOURNAL_GREY_ENTRIES, /* the journal's one answer: all entries, in the order of their writing */
	JOURNAL_GREY_ENTRY, /* one that is new or has changed, and passed on to other fronts */
	JOURNAL_GREY_ALL    /* all that are good: they replace what was kept */
};

enum { JOURNAL_EVENT_MAX = 32768 };

#endif

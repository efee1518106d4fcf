/*
 * journal.h - the channel of every role to the journal: events, one JSON object each.
 *
 * The sender writes the object without the outer braces' time; the journal adds nothing and
 * appends the line.  An event is never waited for.
 */
#ifndef IPC_JOURNAL_H
#define IPC_JOURNAL_H
#include "relay/base/span.h"

enum journal_type {
	JOURNAL_EVENT = 1 /* payload: one JSON object {id, time, event, …}, no newline */
};

enum { JOURNAL_EVENT_MAX = 32768 };

#endif

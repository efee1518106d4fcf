/* action.h - what may become of a message, weakest to strongest. */
#ifndef CONFIG_ACTION_H
#define CONFIG_ACTION_H
#include "relay/base/span.h"

enum action {
	ACTION_PASS,
	ACTION_TAG,       /* deliver, marked */
	ACTION_NORMALISE, /* deliver, marked, rewritten to one reading; as it came in it is kept here */
	ACTION_STRIP,     /* deliver, marked, without the parts in question; all of it kept here */
	ACTION_QUARANTINE, /* 250, kept here, not forwarded */
	ACTION_DISCARD,    /* 250, dropped, recorded */
	ACTION_HOLD,       /* 250, spooled, filtered again later */
	ACTION_TEMPFAIL,   /* 4xx */
	ACTION_REJECT,     /* 5xx */
	ACTION_KEEP        /* 5xx and a copy in quarantine */
};

enum { ACTION_COUNT = ACTION_KEEP + 1 };

const char *action_name(enum action a);
/* Whether the client is refused as soon as it is decided: all but `keep` need no bytes for that. */
bool action_refuses_at_once(enum action a);
/* Whether the recipient gets the message. */
bool action_delivers(enum action a);
/* ... without some of its bytes, while all of it is kept here. */
bool action_edits(enum action a);
/* ... and gets it marked. */
bool action_marks(enum action a);
bool action_parse(struct span word, enum action *out);

#endif

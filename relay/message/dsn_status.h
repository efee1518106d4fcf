/*
 * dsn_status.h - what a reply comes to: the status code of RFC 3463 for a report, and what it means to
 * somebody who has never heard of SMTP.  Pure.
 */
#ifndef MESSAGE_DSN_STATUS_H
#define MESSAGE_DSN_STATUS_H
#include "relay/message/dsn.h"

/* Whether it begins with a reply code: the words of a server and not our own. */
bool dsn_is_smtp_reply(struct span reply);

/*
 * "5.1.1", of the class that the action implies (RFC 3464 section 2.3.4; a failure after many
 * attempts may stay 4.X.X): the enhanced code of the reply ("550 5.1.1 text"), or of our own words
 * ("5.7.1 text"), else what the reply code alone says, else what the lack of any reply says.  Points
 * into `reply` or to a constant.
 */
struct span dsn_status(struct span reply, enum dsn_action action);

/* What can be done about it, one or two sentences; NULL: the status says nothing in particular. */
const char *dsn_advice(struct span status);

#endif

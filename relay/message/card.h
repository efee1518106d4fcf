/*
 * card.h - the files in a calendar or an address card (RFC 5545 section 3.8.1.1, RFC 6350 section 6.2.4):
 * ATTACH and the like in base64.  Calendar programs show them as attachments.
 *
 * Pure, tolerant: any property whose parameters say base64.
 */
#ifndef MESSAGE_CARD_H
#define MESSAGE_CARD_H
#include "relay/message/inline_file.h"

/* Whether the text is a calendar or cards. */
bool card_is_one(struct span text);
/* The next file from *at on, which moves behind it; false when there is none.  Its name is what a parameter
 * gives that ends in FILENAME, and may be empty. */
bool card_next(struct span text, size_t *at, struct inline_file *file);

#endif

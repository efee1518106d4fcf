/*
 * cms.h - what an S/MIME message that is signed opaquely carries: the content of a SignedData (RFC 5652
 * section 5, RFC 8551 section 3.5.2), in DER or BER.  Mail readers show it like any other message.
 *
 * Pure, bounded, without recursion; no signature is checked and nothing else is looked at.
 */
#ifndef MESSAGE_CMS_H
#define MESSAGE_CMS_H
#include "relay/base/span.h"

/* Whether the bytes begin like a SignedData. */
bool cms_is_one(struct span bytes);
/* Writes the content, pieces put together, to `to`, which has bytes.n bytes; returns how many.  0: it is no
 * SignedData, or one without content (a signature beside what it signs).  Where it is cut short, what
 * is there. */
size_t cms_content(struct span bytes, char *to);

#endif

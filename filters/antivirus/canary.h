/*
 * canary.h - the EICAR test file, put together when it is asked for: it stands in no file of ours,
 * so that no scanner takes the sources or the programs for malware.
 */
#ifndef ANTIVIRUS_CANARY_H
#define ANTIVIRUS_CANARY_H
#include "relay/base/buf.h"

enum { CANARY_MAX = 4096 };

/* Appends the 68 bytes, or (in_mail) a MIME mail that carries them in base64. */
void canary_add(struct buf *to, bool in_mail);

#endif

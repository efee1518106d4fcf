/*
 * secrets.h - certificates, private keys and users, from their files to the roles that use them.
 *
 * Private keys and users go into a sealed memory file, copied by the kernel: their bytes are never
 * in the supervisor's memory.  A process of its own looks at them and says what is wrong; only the
 * key role looks again.
 */
#ifndef PROCESS_SECRETS_H
#define PROCESS_SECRETS_H
#include "policy/config/config.h"
#include "relay/base/buf.h"

/* Appends the certificates that `c` names to front's bundle, and sets *secrets to the descriptor
 * for key (-1: there is nothing secret).  0, or -E_CONFIG with each error as a line in `errors`. */
int secrets_read(const struct config *c, struct buf *bundle, int *secrets, struct buf *errors);
void secrets_close(int *secrets);
/* Appends the certificates that stand in an older bundle: they change together with their keys. */
void secrets_keep_certificates(const struct config *c, struct span older, struct buf *bundle);

#endif

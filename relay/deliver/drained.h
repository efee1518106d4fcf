/*
 * drained.h - the servers an admin has drained, kept in a file of the spool's folder: a drain is
 * not over when the role or the machine starts again.
 *
 * One line a server, "SERVER GATEWAY".  The file is written beside and renamed, so that it is
 * whole at any time.  Small and seldom: it is read and written at once, in the loop.
 */
#ifndef DELIVER_DRAINED_H
#define DELIVER_DRAINED_H
#include "relay/base/err.h"
#include "relay/deliver/gateway.h"

enum { DRAINED_FILE_MAX = 1024 * 1024 };

/* Drains what the file names; servers the configuration does not know are logged and left out.  No
 * file: nothing is drained.  0, or a negative error with nothing drained. */
int drained_load(
    const char *dir, struct gateway *const *gateways, size_t n, int64_t now_ms, struct err *err);
/* 0 when it is durable. */
int drained_save(const char *dir, struct gateway *const *gateways, size_t n, struct err *err);

#endif

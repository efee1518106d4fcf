/*
 * kind.h - what bytes really are, by libmagic, as a MIME type.
 *
 * The database is loaded once in a process, before its sandbox; workers share its pages.
 */
#ifndef UNPACK_KIND_H
#define UNPACK_KIND_H
#include "relay/base/err.h"
#include "relay/base/span.h"

enum {
	KIND_NAME_MAX = 100,
	KIND_LOOK = 256 * 1024 /* bytes that libmagic is shown */
};

/* 0, or -E_NOT_FOUND: no database; err says what to do.  Once it has worked it does nothing. */
int kind_load(struct err *err);
bool kind_is_loaded(void);
/* "application/x-dosexec", lower case; "" when it cannot be told. */
void kind_of(struct span bytes, char to[KIND_NAME_MAX]);
/* Another name that this type goes by (libmagic's have changed), empty when there is none. */
struct span kind_other_name(struct span type);

#endif

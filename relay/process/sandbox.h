/*
 * sandbox.h - no_new_privs, Landlock, a seccomp filter and a user of its own for each role.
 *
 * The table of calls with a reason for each stands in sandbox.c.  A refused call kills the
 * process: what is not in the table is an attack or a bug, and the supervisor restarts the role.
 */
#ifndef PROCESS_SANDBOX_H
#define PROCESS_SANDBOX_H
#include "relay/base/err.h"
#include "relay/base/span.h"

enum sandbox_kind {
	SANDBOX_SUPERVISOR,
	SANDBOX_FRONT,
	SANDBOX_LOOKUP,
	SANDBOX_ZYGOTE,
	SANDBOX_WORKER,
	SANDBOX_SPOOL,
	SANDBOX_JOURNAL,
	SANDBOX_WEB,
	SANDBOX_KEY,
	SANDBOX_ABOUT /* the helper that looks at a plugin */
};

enum sandbox_access { SANDBOX_READ, SANDBOX_READ_EXEC, SANDBOX_WRITE };

/* A folder that stays reachable, and how: read, read and execute, or read and write. */
struct sandbox_path {
	const char *path; /* NULL ends the list */
	enum sandbox_access access;
};

/* As root: to `kind`'s own user and group, all capabilities gone; else nothing.  0 or an error. */
int sandbox_drop_user(enum sandbox_kind kind, struct err *err);

/* The process is in its sandbox, but no folder is out of its reach. */
enum { SANDBOX_NO_LANDLOCK = 1 };

/*
 * Gives up everything else, in this order: no_new_privs, Landlock (only `paths`), seccomp.  0, an
 * error, or SANDBOX_NO_LANDLOCK, which the caller tells the admin.  Before any thread is started.
 */
int sandbox_enter(enum sandbox_kind kind, const struct sandbox_path *paths, struct err *err);

/* The user id a role runs as when the supervisor is root: that of the package's user
 * ("postern-front", …) or, without it, SANDBOX_FIRST_ID + kind. */
enum { SANDBOX_FIRST_ID = 60600 };
unsigned sandbox_uid(enum sandbox_kind kind);

#endif

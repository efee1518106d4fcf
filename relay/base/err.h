/*
 * err.h - the three kinds of error: a bug (must), a failed start (die), a run-time error
 * (a negative E_ code and a struct err that gathers context on its way up).
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H
#include <stdarg.h>
#include <stddef.h>

enum {
	E_OK = 0,
	E_AGAIN = 1, /* nothing now, later perhaps */
	E_LIMIT,     /* a named limit would be passed */
	E_SYNTAX,    /* not what the grammar says */
	E_IO,        /* the system said no */
	E_NOT_FOUND,
	E_TIMEOUT,
	E_CLOSED, /* the other side has gone */
	E_DENIED, /* no permission */
	E_EXISTS,
	E_FULL,        /* no room: disk, inodes, min_free */
	E_CORRUPT,     /* bytes that cannot be ours */
	E_UNSUPPORTED, /* known, but not in this version */
	E_CONFIG       /* configuration or policy in error */
};

/* sysexits(3) values that the contract names. */
enum {
	EXIT_OK = 0,
	EXIT_NO = 1,
	EXIT_USAGE = 64,
	EXIT_NOT_RUNNING = 69,
	EXIT_TEMPFAIL = 75,
	EXIT_CONFIG = 78
};

struct err {
	int code; /* an E_ value, 0 when unset */
	char text[480];
};

/* Sets code and text; returns -code, so that `return err_set(err, E_LIMIT, "…")` reads well.
 * `err` may be NULL when the caller needs the code only. "%m" works. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "context: " before the text already there; returns -err->code. */
int err_add(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A short English name of an E_ code. */
const char *err_name(int code);

/* Start-up only: prints "PROGRAM: text" to standard error and exits with `status`. */
void die_with(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
#define die(...) die_with(EXIT_NO, __VA_ARGS__)

/* A bug: always compiled in, logs and aborts; the supervisor restarts the role. */
void must_failed(const char *cond, const char *file, int line) __attribute__((noreturn));
#define must(cond) ((cond) ? (void)0 : must_failed(#cond, __FILE__, __LINE__))

#endif

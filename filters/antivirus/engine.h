/*
 * engine.h - libclamav behind one call: bytes in, a verdict out that can be trusted.
 *
 * libclamav says CL_CLEAN when a limit or a time-out was hit, when its temporary folder is full,
 * when a database is empty.  Here clean means: its return code is 0, it has said nothing at WARN
 * or above, no layer ended with a resource error, something was really inspected, and no file
 * call of libc has failed meanwhile (worker/interpose.h).
 *
 * Failed is kept for a scanner that does not work.  What it complains of while its calls have worked and
 * its memory was enough (complaint.h) is about the message, which is unscannable then.
 */
#ifndef ANTIVIRUS_ENGINE_H
#define ANTIVIRUS_ENGINE_H
#include "relay/base/err.h"
#include "relay/base/span.h"

struct engine_settings {
	const char *databases, *tmpdir;
	uint64_t max_scan, max_file; /* bytes */
	uint32_t max_recursion, max_files;
	uint32_t minimum_signatures;
	uint32_t max_time_ms; /* of one engine_look; 0: none */
};

struct engine;

enum verdict_kind {
	LOOK_CLEAN,
	LOOK_INFECTED,
	LOOK_UNSCANNABLE, /* a limit: not all was seen */
	LOOK_ENCRYPTED,
	LOOK_MACRO, /* an Office document with macros, and nothing worse */
	LOOK_FAILED
};

struct look {
	enum verdict_kind kind;
	char why[128]; /* the signature's name, or what went wrong; empty when clean */
};

/*
 * Loads, compiles and tries the engine with EICAR, plain and in a MIME mail.  -E_NOT_FOUND: no
 * signatures in the folder; -E_CORRUPT: they cannot be used.  err says what to do.
 */
int engine_new(const struct engine_settings *settings, struct engine **out, struct err *err);
/* Only in the process that made it, never in a fork: the pages are shared. */
void engine_free(struct engine **e);
/* In a worker: its own temporary folder, and the same trial once more. */
int engine_start(struct engine *e, const char *tmpdir, struct err *err);
uint32_t engine_signatures(const struct engine *e);
void engine_look(struct engine *e, struct span bytes, struct look *out);
/* The same for a whole message; what libclamav takes out of it is remembered until the next one. */
void engine_look_whole(struct engine *e, struct span message, struct look *out);
/* Whether these bytes, or (is_text) these lines (layers.h), were among it, and all of it was clean. */
bool engine_has_seen(const struct engine *e, struct span bytes, bool is_text);
/* The same for bytes that may come again: what this engine has called clean it does not scan twice. */
void engine_look_once(struct engine *e, struct span bytes, struct look *out);

#endif

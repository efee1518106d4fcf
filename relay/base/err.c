#include "relay/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err != NULL) {
		err->code = code;
		va_start(ap, fmt);
		(void)vsnprintf(err->text, sizeof(err->text), fmt, ap); /* cut text is still text */
		va_end(ap);
	}
	return -code;
}

int
err_add(struct err *err, const char *fmt, ...)
{
	char head[sizeof(err->text)], tail[sizeof(err->text)];
	va_list ap;

	if (err == NULL)
		return -E_IO;
	va_start(ap, fmt);
	(void)vsnprintf(head, sizeof(head), fmt, ap); /* cut text is still text */
	va_end(ap);
	memcpy(tail, err->text, sizeof(tail));
	(void)snprintf(err->text, sizeof(err->text), "%.200s: %.270s", head, tail);
	return -err->code;
}

const char *
err_name(int code)
{
	static const char *const names[] = {"ok", "try again", "limit", "syntax", "input/output",
	    "not found", "timed out", "closed", "denied", "exists", "full", "corrupt",
	    "not in this version", "configuration"};

	if (code < 0)
		code = -code;
	return (size_t)code < sizeof(names) / sizeof(names[0]) ? names[code] : "unknown";
}

void
die_with(int status, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut text is still text */
	va_end(ap);
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, text);
	exit(status);
}

void
must_failed(const char *cond, const char *file, int line)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%s: bug: %s:%d: must(%s)\n",
	    program_invocation_short_name, file, line, cond);

	if (n > 0)
		(void)!write(
		    STDERR_FILENO, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
	abort();
}

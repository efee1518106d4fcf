#include "policy/config/complain.h"
#include "relay/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ERRORS_TEXT_MAX = 8 * 1024 * 1024 };

void
config_complain(struct complaints *c, unsigned line, const char *fmt, ...)
{
	char text[COMPLAINT_TEXT_MAX];
	va_list args;

	if (c->n == COMPLAINTS_MAX) {
		c->is_over = true;
		return;
	}
	if (c->n == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 16;
		c->items = mem_grow(c->items, c->cap * sizeof(c->items[0]));
	}
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* a cut message is still one */
	va_end(args);
	c->items[c->n] =
	    (struct complaint){.line = line, .order = c->n, .text = mem_dup(span_str(text))};
	c->n++;
}

static int
by_line(const void *a, const void *b)
{
	const struct complaint *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* A config_errors of all zeros is valid, a buf without its maximum is not. */
static void
errors_prepare(struct config_errors *to)
{
	if (to->lines.max == 0)
		to->lines.max = ERRORS_TEXT_MAX;
}

void
config_errors_add(struct config_errors *to, const char *file, const char *text)
{
	errors_prepare(to);
	(void)buf_addf(&to->lines, "%s: %s\n", file, text); /* full: the count still tells */
	to->n++;
}

void
config_errors_add_at(struct config_errors *to, const char *file, unsigned line, const char *text)
{
	errors_prepare(to);
	(void)buf_addf(&to->lines, "%s:%u: %s\n", file, line, text); /* as above */
	to->n++;
}

void
config_complaints_write(struct complaints *c, const char *file, struct config_errors *to)
{
	if (c->n > 0)
		qsort(c->items, c->n, sizeof(c->items[0]), by_line);
	for (size_t i = 0; i < c->n; i++)
		config_errors_add_at(to, file, c->items[i].line, c->items[i].text);
	if (c->is_over)
		config_errors_add(to, file, "more errors than are shown; mend these first");
}

void
config_complaints_free(struct complaints *c)
{
	for (size_t i = 0; i < c->n; i++)
		mem_free(c->items[i].text);
	mem_free(c->items);
	*c = (struct complaints){0};
}

struct shown
config_show_span(struct span s)
{
	struct shown to = {{0}};
	size_t n = 0;

	while (s.n > 0) {
		size_t length = utf8_length(s);
		bool is_plain = length > 1 || (length == 1 && s.p[0] >= ' ' && s.p[0] != 127);

		if (length == 0)
			length = 1;
		if (n + length > SHOWN_MAX) {
			memcpy(to.text + n, "...", 3);
			break;
		}
		if (is_plain)
			memcpy(to.text + n, s.p, length);
		else
			to.text[n] = '?';
		n += is_plain ? length : 1;
		s = span_skip(s, length);
	}
	return to;
}

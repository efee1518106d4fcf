/*
 * complain.h - gathers the errors of one configuration text and writes them sorted by line.
 *
 * All that is found in one run is kept, up to COMPLAINTS_MAX; the last line says when there were
 * more.  What a complaint quotes from the text goes through SHOW, so that a report is always one
 * printable line an error.
 */
#ifndef CONFIG_COMPLAIN_H
#define CONFIG_COMPLAIN_H
#include "policy/config/config.h"

enum { COMPLAINTS_MAX = 1000, COMPLAINT_TEXT_MAX = 512, SHOWN_MAX = 80 };

struct complaint {
	unsigned line;
	size_t order; /* of being found; keeps the order inside one line */
	char *text;
};

struct complaints {
	struct complaint *items;
	size_t n, cap;
	bool is_over; /* there were more than COMPLAINTS_MAX */
};

void config_complain(struct complaints *c, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends "FILE:LINE: text\n" for each, sorted, to `to`. */
void config_complaints_write(struct complaints *c, const char *file, struct config_errors *to);
void config_complaints_free(struct complaints *c);
/* One more line "FILE: text" for what has no line of its own. */
void config_errors_add(struct config_errors *to, const char *file, const char *text);
/* "FILE:LINE: text". */
void config_errors_add_at(
    struct config_errors *to, const char *file, unsigned line, const char *text);

struct shown {
	char text[SHOWN_MAX + 4];
};

/* s as it may stand in a message: control bytes and broken UTF-8 as "?", cut with "...". */
struct shown config_show_span(struct span s);
#define SHOW(s) (config_show_span(s).text)

#endif

#include "relay/front/scan_why.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TIME_TEXT_MAX = 32, MS = 1000 };

static bool
is_known(const struct scan *s, const struct worker_death *d)
{
	return d->scan == s->id && d->filter >= 0 && (size_t)d->filter < s->flow->n_filters;
}

void
scan_note_end(struct scan *s, const struct worker_death *d)
{
	s->ends[is_known(s, d) ? d->filter : CONFIG_FILTERS_MAX] =
	    (struct scan_end){(uint8_t)d->signal, (uint8_t)d->exit_status, d->was_deadline};
}

const char *
scan_blamed(const struct scan *s, const struct worker_death *d)
{
	return s != NULL && is_known(s, d) ? s->flow->filters[d->filter].filter->name : "-";
}

static const char *
time_text(int64_t ms, char to[TIME_TEXT_MAX])
{
	(void)snprintf(to, TIME_TEXT_MAX, "%" PRId64 " %s", ms % MS == 0 ? ms / MS : ms,
	    ms % MS == 0 ? "s" : "ms"); /* fits */
	return to;
}

/* `who`: "" for the filter itself. */
static int
say_end(const char *who, const struct scan_end *d, int64_t deadline_ms, char to[SCAN_WHY_MAX])
{
	char time[TIME_TEXT_MAX];

	if (d->was_deadline && deadline_ms > 0)
		return snprintf(to, SCAN_WHY_MAX, "%stook over %s for this message", who,
		    time_text(deadline_ms, time));
	if (d->was_deadline)
		return snprintf(to, SCAN_WHY_MAX, "%stook too long to read this message", who);
	if (d->signal != 0)
		return snprintf(to, SCAN_WHY_MAX, "%scrashed on this message (signal %d: %s)", who,
		    d->signal, strsignal(d->signal));
	if (deadline_ms == 0 && d->exit_status == 0)
		return snprintf(to, SCAN_WHY_MAX, "%sgave no answer to this message", who);
	return snprintf(to, SCAN_WHY_MAX, "%sended its process on this message (exit status %d)",
	    who, d->exit_status);
}

struct span
scan_why(const struct scan *s, size_t i, char to[SCAN_WHY_MAX])
{
	const struct conf_filter *filter = s->flow->filters[i].filter;
	char time[TIME_TEXT_MAX];
	int n;

	if (s->given_up >> i & 1)
		n = say_end("", &s->ends[i], filter->deadline_ms, to);
	else if (s->request.skip >> i & 1)
		n = snprintf(to, SCAN_WHY_MAX,
		    "switched off after %" PRIu32 " failures in a row; tried again every %s",
		    filter->max_failures, time_text(filter->pause_ms, time));
	else if (s->n_deaths > 0)
		n = say_end("its worker ", &s->ends[CONFIG_FILTERS_MAX], 0, to);
	else
		n = snprintf(to, SCAN_WHY_MAX, "not asked: no worker was free in time");
	return span_of(to, n < 0 ? 0 : n < SCAN_WHY_MAX ? (size_t)n : SCAN_WHY_MAX - 1);
}

#include "relay/process/successor.h"
#include "relay/base/log.h"
#include "relay/ipc/supervision.h"

#include <sys/wait.h>

struct child *
successor_filter(const struct supervisor *s)
{
	return (struct child *)&s->children[s->filter_place];
}

bool
successor_is_other(const struct child *c)
{
	return c->role == ROLE_FILTER && c->place != c->supervisor->filter_place;
}

static struct child *
other_of(struct supervisor *s)
{
	return &s->children[s->filter_place == ROLE_FILTER ? (unsigned)PLACE_FILTER_2
							   : (unsigned)ROLE_FILTER];
}

static void
start_if_due(struct supervisor *s)
{
	struct child *next = other_of(s);

	if (!s->is_filter_due || s->is_stopping || s->renewal != RENEWAL_NONE || next->pid >= 0)
		return;
	s->is_filter_due = false;
	child_start(next);
}

void
successor_ask(struct supervisor *s, const struct child *from, struct span loaded)
{
	if (from->place != s->filter_place)
		return; /* it is leaving */
	buf_clear(&s->filter_loaded);
	s->filter_loaded.max = SETUP_LOADED_MAX;
	(void)buf_add_span(&s->filter_loaded, span_take(loaded, SETUP_LOADED_MAX)); /* fits */
	s->is_filter_due = true;
	start_if_due(s);
}

static void
take_over(struct supervisor *s, struct child *next)
{
	struct child *before = successor_filter(s);

	timer_cancel(&next->kill); /* it did come up */
	s->filter_place = next->place;
	s->is_filter_due = false; /* what has changed since it began to load, it sees itself */
	before->is_wanted = false;
	next->is_wanted = true;
	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		child_pair(next, &s->children[place_of_front(i)]);
	child_stop(before);
	problem_report(&s->problems, before->place, SPAN("signatures"), SPAN("loaded"), SPAN(""));
	log_event(LOG_INFO, "filter role renewed");
}

void
successor_changed(struct supervisor *s, struct child *c)
{
	if (!successor_is_other(c))
		return;
	if (c->state == CHILD_UP && !s->is_stopping && s->renewal == RENEWAL_NONE)
		take_over(s, c);
	else if (c->state == CHILD_DOWN)
		start_if_due(s);
}

void
successor_refused(struct supervisor *s, int wait_status)
{
	log_event(LOG_ERROR, "the filter role was not renewed",
	    KV_INT("signal", WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0),
	    KV_INT("status", WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0));
	/* Of the one that serves: when it ends, its next process loads what there is, or says so. */
	problem_report(&s->problems, s->filter_place, SPAN("signatures"),
	    SPAN("new signatures cannot be loaded, the old ones stay"),
	    SPAN("run freshclam; the log of the filter role says more"));
}

void
successor_reset(struct supervisor *s)
{
	s->filter_place = ROLE_FILTER;
	s->is_filter_due = false;
}

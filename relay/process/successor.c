#include "relay/process/successor.h"
#include "relay/base/log.h"
#include "relay/process/reload.h"

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

	if (s->is_stopping || s->renewal != RENEWAL_NONE || next->pid >= 0 ||
	    (!s->is_filter_due && !s->is_filter_again && s->next == NULL))
		return;
	/* The first try is with all filters: what they lacked may be there now. */
	if (!s->is_filter_again)
		loads_forget(&next->loads);
	if (s->next == NULL)
		s->is_filter_due = false; /* else it is, should that one be refused */
	s->is_filter_again = false;
	child_start(next);
}

void
successor_look(struct supervisor *s)
{
	start_if_due(s);
}

void
successor_propose(struct supervisor *s)
{
	struct child *next = other_of(s);

	s->is_filter_again = false;
	/* One that loads for another reason does that when this is settled. */
	if (next->state == CHILD_STARTING) {
		s->is_filter_due |= s->filter_loaded.n > 0;
		child_stop(next);
	} else if (next->pid >= 0 && s->next != NULL) {
		child_stop(next); /* it leaves: no longer as slowly as it likes */
	}
	start_if_due(s);
}

const struct config *
successor_config(const struct child *c)
{
	const struct supervisor *s = c->supervisor;

	return s->next != NULL && successor_is_other(c) ? s->next->config : s->config;
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

void
successor_take_place(struct supervisor *s, struct child *next)
{
	struct child *before = successor_filter(s);

	timer_cancel(&next->kill);      /* it did come up */
	timer_cancel(&before->restart); /* had it ended: nobody wants it back */
	loads_forget(&before->loads);   /* of a configuration that may have gone */
	s->filter_place = next->place;
	s->is_filter_due = false; /* what has changed since it began to load, it sees itself */
	before->is_wanted = false;
	next->is_wanted = true;
	problem_report(&s->problems, before->place, SPAN("signatures"), SPAN("loaded"), SPAN(""));
}

static void
take_over(struct supervisor *s, struct child *next)
{
	struct child *before = successor_filter(s);

	successor_take_place(s, next);
	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		child_pair(next, &s->children[place_of_front(i)]);
	child_stop(before);
	log_event(LOG_INFO, "filter role renewed");
}

void
successor_changed(struct supervisor *s, struct child *c)
{
	if (!successor_is_other(c))
		return;
	if (c->state == CHILD_UP && !s->is_stopping && s->renewal == RENEWAL_NONE) {
		if (s->next != NULL)
			reload_commit(s, c);
		else
			take_over(s, c);
	} else if (c->state == CHILD_DOWN) {
		start_if_due(s);
	}
}

/* What it has said itself, else how it ended. */
static void
refuse_proposal(struct supervisor *s, const struct child *c, int wait_status, const char *why)
{
	struct buf lines = BUF_INIT(CONFIG_TEXT_MAX);

	if (why != NULL)
		(void)buf_addf(&lines, "%s\n", why); /* short */
	else
		problem_list(&s->problems, c->place, &lines);
	if (lines.n == 0)
		(void)buf_addf(&lines, "the filter role does not start (%s %d); its log says why\n",
		    WIFSIGNALED(wait_status) ? "signal" : "exit status",
		    WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
	reload_refuse(s, buf_span(&lines));
	buf_free(&lines);
}

void
successor_refused(struct supervisor *s, const struct child *c, int wait_status, const char *why)
{
	/* The one that serves is without that filter, too: no reason to be without the rest. */
	if (why != NULL &&
	    loads_lacks_barred(&successor_filter(s)->loads, &c->loads, successor_config(c))) {
		log_event(LOG_ERROR, "filter not loaded", KV_STR("why", why));
		s->is_filter_again = true;
		return;
	}
	if (s->next != NULL) {
		refuse_proposal(s, c, wait_status, why);
		return;
	}
	log_event(LOG_ERROR, "the filter role was not renewed",
	    KV_STR("why", why != NULL ? why : "it ended"),
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
	s->is_filter_due = s->is_filter_again = false;
}

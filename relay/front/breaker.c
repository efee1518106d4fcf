#include "relay/front/breaker.h"
#include "relay/base/log.h"

enum breaker_state { BREAKER_CLOSED, BREAKER_DOUBTED, BREAKER_OPEN };

struct breaker {
	const struct conf_filter *filter;
	enum breaker_state state;
	uint32_t failures; /* in a row */
	bool is_watched;
};

struct breakers {
	struct breaker *items; /* of the filters that have been asked for */
	size_t n;
	struct breakers_events events;
};

struct breakers *
breakers_new(void)
{
	return mem_alloc(sizeof(struct breakers));
}

void
breakers_free(struct breakers **b)
{
	if (*b == NULL)
		return;
	mem_free((*b)->items);
	mem_free(*b);
	*b = NULL;
}

void
breakers_set_events(struct breakers *b, const struct breakers_events *events)
{
	b->events = *events;
}

/* Filters are few: those of one configuration. */
static struct breaker *
breaker_of(struct breakers *b, const struct conf_filter *filter)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->items[i].filter == filter)
			return &b->items[i];
	b->items = mem_grow(b->items, (b->n + 1) * sizeof(b->items[0]));
	b->items[b->n] = (struct breaker){.filter = filter};
	return &b->items[b->n++];
}

uint32_t
breakers_ask(struct breakers *b, const struct conf_flow *flow)
{
	uint32_t barred = 0;

	for (size_t i = 0; i < flow->n_filters; i++)
		if (breaker_of(b, flow->filters[i].filter)->state == BREAKER_OPEN)
			barred |= 1U << i;
	return barred;
}

static void
tell(struct breakers *b, const struct conf_filter *filter, bool is_over)
{
	if (is_over)
		log_event(LOG_INFO, "filter works again", KV_STR("filter", filter->name));
	else
		log_event(LOG_ERROR, "filter not asked any more", KV_STR("filter", filter->name),
		    KV_INT("failures", filter->max_failures), KV_INT("pause_ms", filter->pause_ms));
	if (b->events.on_change != NULL)
		b->events.on_change(b->events.arg, filter, is_over);
}

bool
breakers_failed(struct breakers *b, const struct conf_filter *filter)
{
	struct breaker *k = breaker_of(b, filter);

	/* Else a trial is under way, or has said what is known. */
	if (k->state != BREAKER_CLOSED || ++k->failures < filter->max_failures)
		return false;
	k->state = BREAKER_DOUBTED;
	return true;
}

void
breakers_worked(struct breakers *b, const struct conf_filter *filter)
{
	struct breaker *k = breaker_of(b, filter);
	bool was_open = k->state == BREAKER_OPEN;

	k->state = BREAKER_CLOSED;
	k->failures = 0;
	if (was_open)
		tell(b, filter, true);
	if (k->is_watched && b->events.on_works != NULL)
		b->events.on_works(b->events.arg, filter);
	k->is_watched = false;
}

static void
open_breaker(struct breakers *b, struct breaker *k)
{
	/* Mail that has come through it since the trial began says more than the trial. */
	if (k->state != BREAKER_DOUBTED)
		return;
	k->state = BREAKER_OPEN;
	tell(b, k->filter, false);
}

bool
breakers_tried(struct breakers *b, const struct conf_filter *filter, enum trial_end end)
{
	struct breaker *k = breaker_of(b, filter);

	switch (end) {
	case TRIAL_WORKED:
		if (k->state == BREAKER_DOUBTED)
			log_event(LOG_WARN, "filter fails at some messages",
			    KV_STR("filter", filter->name), KV_INT("failures", k->failures));
		breakers_worked(b, filter);
		break;
	case TRIAL_FAILED:
		open_breaker(b, k);
		break;
	case TRIAL_UNKNOWN:
		/* As many failures more, and it is tried again. */
		if (k->state == BREAKER_DOUBTED)
			*k = (struct breaker){.filter = filter, .is_watched = k->is_watched};
		break;
	}
	return k->state == BREAKER_OPEN;
}

void
breakers_watch(struct breakers *b, const struct conf_filter *filter)
{
	breaker_of(b, filter)->is_watched = true;
}

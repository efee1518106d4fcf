#include "relay/front/breaker.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_TRYING };

struct breaker {
	const struct conf_filter *filter;
	enum breaker_state state;
	uint32_t failures;     /* in a row */
	int64_t until_mono_ms; /* while open: then it is tried */
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
breakers_ask(struct breakers *b, const struct conf_flow *flow, uint32_t *tries)
{
	uint32_t barred = 0;

	*tries = 0;
	for (size_t i = 0; i < flow->n_filters; i++) {
		struct breaker *k = breaker_of(b, flow->filters[i].filter);

		switch (k->state) {
		case BREAKER_CLOSED:
			break;
		case BREAKER_OPEN:
			if (clock_mono_ms() < k->until_mono_ms) {
				barred |= 1U << i;
			} else {
				k->state = BREAKER_TRYING;
				*tries |= 1U << i;
			}
			break;
		case BREAKER_TRYING:
			barred |= 1U << i;
			break;
		}
	}
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

void
breakers_failed(struct breakers *b, const struct conf_filter *filter)
{
	struct breaker *k = breaker_of(b, filter);
	bool was_closed = k->state == BREAKER_CLOSED;

	/* Messages that were with it when it opened say what is known. */
	if (k->state == BREAKER_OPEN || (was_closed && ++k->failures < filter->max_failures))
		return;
	k->state = BREAKER_OPEN;
	k->until_mono_ms = clock_mono_ms() + filter->pause_ms;
	if (was_closed)
		tell(b, filter, false);
}

void
breakers_worked(struct breakers *b, const struct conf_filter *filter)
{
	struct breaker *k = breaker_of(b, filter);
	bool was_closed = k->state == BREAKER_CLOSED;

	k->state = BREAKER_CLOSED;
	k->failures = 0;
	if (!was_closed)
		tell(b, filter, true);
	if (k->is_watched && b->events.on_works != NULL)
		b->events.on_works(b->events.arg, filter);
	k->is_watched = false;
}

void
breakers_watch(struct breakers *b, const struct conf_filter *filter)
{
	breaker_of(b, filter)->is_watched = true;
}

void
breakers_undecided(struct breakers *b, const struct conf_flow *flow, uint32_t tries)
{
	for (size_t i = 0; i < flow->n_filters; i++) {
		struct breaker *k = breaker_of(b, flow->filters[i].filter);

		/* Its time has come already: open means that the next one tries. */
		if ((tries >> i & 1) && k->state == BREAKER_TRYING)
			k->state = BREAKER_OPEN;
	}
}

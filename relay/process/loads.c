#include "relay/process/loads.h"
#include "relay/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { MS = 1000 };

struct load {
	char *name, *why;
	enum load_result result;
};

static void
forget_told(struct loads *l)
{
	for (size_t i = 0; i < l->n; i++) {
		mem_free(l->items[i].name);
		mem_free(l->items[i].why);
	}
	mem_free(l->items);
	l->items = NULL;
	l->n = 0;
}

void
loads_begin(struct loads *l)
{
	forget_told(l);
	l->loading = 0;
	l->is_late = false;
}

void
loads_forget(struct loads *l)
{
	loads_begin(l);
	buf_free(&l->barred);
}

int64_t
loads_loading(struct loads *l, const struct config *c, uint64_t id)
{
	l->loading = id <= c->n_filters ? (uint32_t)id : 0;
	l->since_mono_ms = clock_mono_ms();
	return l->loading > 0 ? c->filters[l->loading - 1].load_ms : 0;
}

void
loads_take(struct loads *l, const struct config *c, struct span payload)
{
	struct wire w = wire_over(payload);

	forget_told(l);
	l->items = mem_array(c->n_filters + 1, sizeof(l->items[0]));
	while (w.rest.n > 0 && l->n < c->n_filters) {
		struct load_state s = load_state_get(&w);

		if (w.failed || s.filter >= c->n_filters)
			return;
		l->items[l->n++] = (struct load){
		    mem_dup(span_str(c->filters[s.filter].name)), mem_dup(s.why), s.result};
	}
}

const char *
loads_now(const struct loads *l, const struct config *c)
{
	return l->loading > 0 && l->loading <= c->n_filters ? c->filters[l->loading - 1].name
							    : NULL;
}

static bool
is_barred(const struct loads *l, uint32_t filter)
{
	struct wire w = wire_over(buf_span(&l->barred));

	while (w.rest.n > 0 && !w.failed)
		if (load_state_get(&w).filter == filter)
			return true;
	return false;
}

static void
say_end(const struct loads *l, const struct config *c, int wait_status, char *why, size_t size)
{
	int64_t limit_ms = c->filters[l->loading - 1].load_ms;

	if (l->is_late && limit_ms % MS == 0)
		(void)snprintf(why, size, "its load took over %lld s", (long long)(limit_ms / MS));
	else if (l->is_late)
		(void)snprintf(why, size, "its load took over %lld ms", (long long)limit_ms);
	else if (WIFSIGNALED(wait_status))
		(void)snprintf(why, size, "its load crashed (signal %d: %s)", WTERMSIG(wait_status),
		    strsignal(WTERMSIG(wait_status)));
	else
		(void)snprintf(why, size, "its load ended the process (exit status %d)",
		    WEXITSTATUS(wait_status));
}

bool
loads_died(struct loads *l, const struct config *c, int wait_status, struct err *err)
{
	char why[LOAD_WHY_MAX / 2], text[LOAD_WHY_MAX];
	struct load_state s = {.filter = l->loading - 1, .result = LOAD_BROKEN};

	/* Barred before and dead of it once more: then it is no load's doing. */
	if (loads_now(l, c) == NULL || is_barred(l, s.filter))
		return false;
	say_end(l, c, wait_status, why, sizeof(why));
	(void)err_set(err, E_CONFIG, "filter %s: %s", c->filters[s.filter].name, why);
	(void)snprintf(text, sizeof(text), "%s; have it corrected, then run postern reload", why);
	s.why = span_str(text);
	l->barred.max = LOADS_BYTES_MAX;
	load_state_put(&l->barred, &s); /* each once, and they are at most LOAD_STATES_MAX */
	return true;
}

static const struct load *
find(const struct loads *l, const char *filter)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->items[i].name, filter) == 0)
			return &l->items[i];
	return NULL;
}

bool
loads_lacks(const struct loads *l, const char *filter)
{
	const struct load *found = find(l, filter);

	return found != NULL ? found->result != LOAD_FINE : l->items == NULL;
}

bool
loads_lacks_barred(const struct loads *l, const struct loads *of, const struct config *c)
{
	const char *name = loads_now(of, c);

	return name != NULL && loads_lacks(l, name);
}

void
loads_compare(
    const struct loads *l, const struct loads *before, struct buf *refused, struct buf *lacking)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct load *now = &l->items[i];
		bool is_refused = now->result == LOAD_BROKEN && !loads_lacks(before, now->name);

		if (now->result != LOAD_FINE)
			(void)buf_addf(is_refused ? refused : lacking, "filter %s: %s\n", now->name,
			    now->why); /* sticky: whoever sends them has bounds of his own */
	}
}

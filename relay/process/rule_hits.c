#include "relay/process/rule_hits.h"
#include "policy/store/store.h"
#include "relay/base/log.h"
#include "relay/ipc/hits.h"

static void
tell_problem(struct supervisor *s, const char *why)
{
	if (why != NULL && s->hits_failed == HITS_TRIES)
		log_event(LOG_ERROR, "hits not kept", KV_STR("why", why));
	if (why != NULL && s->hits_failed < HITS_TRIES)
		return;
	problem_report(&s->problems, ROLE_SUPERVISOR, SPAN("hits"),
	    SPAN("the hits of rules are not kept; \"postern policy list\" shows too few"),
	    why != NULL ? SPAN("make room on the disk of state_dir, or see the owner of policy.db")
			: (struct span){0});
}

/* A whole batch or none of it. */
static int
store_batch(struct supervisor *s, struct err *err)
{
	size_t n_max = s->hits.n / HITS_ENTRY, n = 0;
	struct store_hit *hits = mem_array(n_max, sizeof(*hits));
	struct store *store = store_open_hits(s->config->state_dir, err);
	struct wire w = wire_over(buf_span(&s->hits));
	struct hits_entry e;
	int rc = -E_IO;

	while (n < n_max && hits_entry_get(&w, &e))
		hits[n++] = (struct store_hit){e.rule, e.hits, e.last_ms};
	if (store != NULL)
		rc = store_add_hits(store, hits, n, err);
	store_close(&store);
	mem_free(hits);
	return rc;
}

static void
on_again(void *arg)
{
	rule_hits_store(arg);
}

void
rule_hits_store(struct supervisor *s)
{
	struct err err = {0};

	timer_cancel(&s->hits_again);
	if (s->hits.n == 0)
		return;
	if (store_batch(s, &err) == 0) {
		buf_clear(&s->hits);
		s->hits_failed = 0;
		tell_problem(s, NULL);
		return;
	}
	if (s->hits_failed < HITS_TRIES)
		s->hits_failed++;
	tell_problem(s, err.text);
	loop_timer(s->loop, &s->hits_again, HITS_AGAIN_MS, on_again, s);
}

void
rule_hits_take(struct supervisor *s, struct span payload)
{
	struct wire w = wire_over(payload);
	struct hits_entry e;

	s->hits.max = HITS_WAITING_MAX;
	while (s->hits.n + HITS_ENTRY <= HITS_WAITING_MAX && hits_entry_get(&w, &e))
		hits_entry_put(&s->hits, &e);
	if (s->hits_again == NULL) /* else that is when */
		rule_hits_store(s);
}

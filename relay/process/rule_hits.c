#include "relay/process/rule_hits.h"
#include "policy/store/store.h"
#include "relay/base/log.h"
#include "relay/ipc/hits.h"

static void
tell_problem(struct supervisor *s, const char *why)
{
	static bool has_problem;

	if ((why != NULL) != has_problem && why != NULL)
		log_event(LOG_ERROR, "hits not kept", KV_STR("why", why));
	has_problem = why != NULL;
	problem_report(&s->problems, ROLE_SUPERVISOR, SPAN("hits"),
	    SPAN("the hits of rules are not kept; `policy list` shows too few"),
	    why != NULL ? SPAN("make room on the disk of state_dir, or see the owner of policy.db")
			: (struct span){0});
}

void
rule_hits_take(struct supervisor *s, struct span payload)
{
	struct store_hit hits[HITS_ENTRIES_MAX];
	struct wire w = wire_over(payload);
	struct hits_entry e;
	struct err err = {0};
	struct store *store;
	size_t n = 0;
	int rc = -E_IO;

	while (n < HITS_ENTRIES_MAX && hits_entry_get(&w, &e))
		hits[n++] = (struct store_hit){e.rule, e.hits, e.last_ms};
	if (n == 0)
		return;
	store = store_open(s->config->state_dir, true, &err);
	if (store != NULL)
		rc = store_add_hits(store, hits, n, &err);
	store_close(&store);
	tell_problem(s, rc < 0 ? err.text : NULL);
}

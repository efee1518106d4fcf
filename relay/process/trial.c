#include "relay/process/trial.h"
#include "policy/store/store.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"

enum {
	AGAIN_MS = 10000,             /* after a store that could not be written */
	SLEEP_MAX_MS = 60 * 60 * 1000 /* the wall clock may be set meanwhile */
};

/* 0: a new version is there; -E_NOT_FOUND and -E_AGAIN: nothing was to be done. */
static int
go_back(const struct config *config)
{
	struct store_trial t = {0};
	struct err err = {0};
	struct store *store = store_open(config->state_dir, true, &err);
	uint64_t version = 0;
	int rc = -E_IO;

	if (store != NULL)
		rc = store_go_back(store, clock_wall_ms(), &t, &version, &err);
	store_close(&store);
	if (rc == 0)
		log_event(LOG_WARN, "policy not confirmed", KV_INT("version", t.version),
		    KV_INT("back_to", t.back_to), KV_INT("now", version));
	else if (rc != -E_NOT_FOUND && rc != -E_AGAIN)
		log_event(LOG_ERROR, "policy cannot go back", KV_STR("why", err.text));
	return rc;
}

/* False: none. */
static bool
find(const struct config *config, struct store_trial *t)
{
	struct store *store = store_open(config->state_dir, false, NULL);
	bool has_one = store != NULL && store_trial(store, t, NULL) == 0;

	store_close(&store);
	return has_one;
}

void
trial_settle(const struct config *config)
{
	struct store_trial t;

	if (find(config, &t) && clock_wall_ms() >= t.until_ms)
		(void)go_back(config); /* said what failed; trial_watch tries again */
}

static void
on_time(void *arg)
{
	struct supervisor *s = arg;
	struct buf errors = BUF_INIT(0);
	int rc = go_back(s->config);

	if (rc < 0 && rc != -E_NOT_FOUND && rc != -E_AGAIN)
		loop_timer(s->loop, &s->trial, AGAIN_MS, on_time, s);
	else if (rc < 0)
		trial_watch(s);
	else if (supervisor_reload_policy(s, &errors) < 0)
		log_event(LOG_ERROR, "reload refused", KV("errors", buf_span(&errors)));
	buf_free(&errors);
}

void
trial_watch(struct supervisor *s)
{
	int64_t left_ms;
	struct store_trial t;

	timer_cancel(&s->trial);
	if (!find(s->config, &t))
		return;
	left_ms = t.until_ms - clock_wall_ms();
	if (left_ms < 0)
		left_ms = 0;
	loop_timer(s->loop, &s->trial, left_ms < SLEEP_MAX_MS ? left_ms : SLEEP_MAX_MS, on_time, s);
}

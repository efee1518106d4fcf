#include "relay/process/trial.h"
#include "policy/store/store.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"

enum {
	AGAIN_MS = 10000,             /* after a store that could not be read or written */
	SLEEP_MAX_MS = 60 * 60 * 1000 /* the wall clock may be set meanwhile */
};

/* 0: a new version is there; -E_NOT_FOUND and -E_AGAIN: nothing was to be done.  `opens`: store_open, or its
 * way that does not stop a loop for as long as somebody else writes. */
static int
go_back(const struct config *config,
    struct store *opens(const char *dir, bool may_write, struct err *err))
{
	struct store_trial t = {0};
	struct err err = {0};
	struct store *store = opens(config->state_dir, true, &err);
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

/* 0, -E_NOT_FOUND: none; or another error, when nobody can say. */
static int
find(const struct config *config, struct store_trial *t)
{
	struct store *store = store_open_now(config->state_dir, false, NULL);
	int rc = store != NULL ? store_trial(store, t, NULL) : -E_IO;

	store_close(&store);
	return rc;
}

void
trial_settle(const struct config *config)
{
	struct store_trial t;

	if (find(config, &t) == 0 && clock_wall_ms() >= t.until_ms)
		(void)go_back(config, store_open); /* said what failed; trial_watch tries again */
}

static void
on_time(void *arg)
{
	struct supervisor *s = arg;
	struct buf errors = BUF_INIT(0);
	int rc = go_back(s->config, store_open_now);

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
	int64_t left_ms = AGAIN_MS;
	struct store_trial t;
	int rc = find(s->config, &t);

	timer_cancel(&s->trial);
	if (rc == -E_NOT_FOUND)
		return;
	if (rc == 0)
		left_ms = t.until_ms - clock_wall_ms();
	if (left_ms < 0)
		left_ms = 0;
	loop_timer(s->loop, &s->trial, left_ms < SLEEP_MAX_MS ? left_ms : SLEEP_MAX_MS, on_time, s);
}

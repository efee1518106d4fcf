/*
 * The filter role: loads every filter that a flow uses, then keeps workers alive.
 *
 * A filter that cannot be loaded now (no signatures yet) is a problem that `status` shows, and a
 * `failure` for every message; loading is tried again every few seconds.  Other mail goes on.
 */
#include "filters/chain/builtins.h"
#include "filters/chain/catalog.h"
#include "filters/chain/plugin.h"
#include "filters/worker/limits.h"
#include "filters/worker/share.h"
#include "filters/worker/stamp.h"
#include "filters/worker/zygote.h"
#include "policy/dnsbl/domain.h"
#include "relay/base/log.h"
#include "relay/ipc/supervision.h"
#include "relay/message/decode.h"
#include "relay/process/role.h"
#include "relay/process/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	RETRY_MS = 5000,
	WATCH_MS = 1000, /* the signature folders are looked at this often */
	WATCH_QUIET = 2, /* so many looks in a row must find them as the one before did */
	WORKERS_MIN = 2,
	PATH_BYTES = 512
};

struct filter_role {
	struct role *role;
	struct chain *chain;
	struct zygote *zygote;
	char folder[PATH_BYTES]; /* of the scratch folders */
	int memory_fd;           /* limits_memory_open */
	struct timer *retry, *watch;
	uint64_t loaded, seen; /* stamps of the signature folders: as loaded, as seen last */
	unsigned n_quiet;      /* looks in a row that have seen the same */
	bool had_databases;    /* all folders named so were there before the sandbox closed */
};

/* Plugins of the folder that some flow uses; loaded once, a reload of signatures uses them again. */
static struct loaded {
	const struct pnf_about *about; /* the catalog's */
	struct pnf_filter filter;
} loaded[CATALOG_PLUGINS_MAX];
static size_t n_loaded;

static const struct pnf_filter *
code_of(const struct pnf_about *about)
{
	for (size_t i = 0; i < n_loaded; i++)
		if (loaded[i].about == about)
			return &loaded[i].filter;
	return filters_builtin(about);
}

static bool
is_used(const struct config *c, const struct pnf_about *about)
{
	for (size_t f = 0; f < c->n_flows; f++)
		for (size_t i = 0; i < c->flows[f].n_filters; i++)
			if (c->flows[f].filters[i].filter->plugin == about)
				return true;
	return false;
}

/* Looked at once more: what the supervisor has read may have been replaced since. */
static int
load_plugins(const struct role *role, struct err *err)
{
	const struct catalog *c = role->catalog;

	for (size_t i = 0; i < c->n; i++) {
		const struct catalog_plugin *p = &c->plugins[i];
		struct loaded *l = &loaded[n_loaded];

		if (!is_used(role->config, &p->about))
			continue;
		if (plugin_check_folder(c->folder, err) < 0 ||
		    plugin_check_file(c->folder, p->file, err) < 0 ||
		    plugin_open(c->folder, p->file, &l->filter, err) < 0)
			return -err->code;
		if (!catalog_is_same(l->filter.about, &p->about))
			return err_set(err, E_CONFIG,
			    "%s/%s has changed since the configuration was read; run postern "
			    "reload",
			    c->folder, p->file);
		l->about = &p->about;
		n_loaded++;
	}
	return 0;
}

static int
enter_sandbox(const char *tmpdir, struct err *err)
{
	const struct sandbox_path paths[] = {
	    {.path = tmpdir, .access = SANDBOX_WRITE}, {.path = NULL}};

	return sandbox_enter(SANDBOX_WORKER, paths, err);
}

/* For each front: together as many as there are cores. */
static unsigned
count_workers(unsigned fronts)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN) / (long)fronts;

	if (cores < WORKERS_MIN)
		return WORKERS_MIN;
	return cores * fronts > ZYGOTE_WORKERS_MAX ? ZYGOTE_WORKERS_MAX / fronts : (unsigned)cores;
}

/* Whether every folder that an option `databases` names is there. */
static bool
has_databases(const struct config *c)
{
	struct stat st;

	for (size_t i = 0; i < c->n_filters; i++)
		for (size_t k = 0; k < c->filters[i].n_options; k++) {
			const struct conf_option *o = &c->filters[i].options[k];

			if (strcmp(o->about->name, "databases") == 0 && o->n_values > 0 &&
			    stat(o->values[0], &st) < 0)
				return false;
		}
	return true;
}

/* Of all folders that an option `databases` names. */
static uint64_t
stamp_databases(const struct config *c)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < c->n_filters; i++)
		for (size_t k = 0; k < c->filters[i].n_options; k++) {
			const struct conf_option *o = &c->filters[i].options[k];

			if (strcmp(o->about->name, "databases") == 0 && o->n_values > 0)
				sum = sum * 31 + stamp_folder(o->values[0]);
		}
	return sum;
}

/* A filter's `why` reads "what is wrong; what to do". */
static void
tell_unloaded(struct filter_role *f)
{
	char what[CHAIN_WHY_MAX + 64], remedy[CHAIN_WHY_MAX];

	for (size_t i = 0; i < f->chain->n_filters; i++) {
		const struct chain_filter *filter = &f->chain->filters[i];
		struct span why = span_str(filter->why);
		size_t cut = span_rfind(why, ';');

		if (filter->is_loaded)
			continue;
		(void)snprintf(what, sizeof(what), "filter %s: %.*s", filter->conf->name,
		    SPAN_ARG(span_take(why, cut)));
		(void)span_copy(span_trim(span_skip(why, cut + 1)), remedy, sizeof(remedy));
		role_problem(f->role, "signatures", what,
		    remedy[0] != '\0' ? remedy : "see the log of the filter role");
		return;
	}
}

static size_t
count_loaded(const struct chain *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_filters; i++)
		n += c->filters[i].is_loaded;
	return n;
}

/* For a successor, whose chain is of the same configuration and so in the same order. */
static void
renew(struct filter_role *f)
{
	uint8_t bits[SETUP_LOADED_MAX] = {0};
	size_t n = f->chain->n_filters;

	if (n > 8 * sizeof(bits))
		n = 8 * sizeof(bits); /* no configuration is as long */
	for (size_t i = 0; i < n; i++)
		if (f->chain->filters[i].is_loaded)
			bits[i / 8] |= (uint8_t)(1u << i % 8);
	role_renew(f->role, span_of((const char *)bits, (n + 7) / 8));
}

/* Whether a filter that the one before has is not loaded here. */
static bool
loads_less(const struct chain *c, struct span before)
{
	for (size_t i = 0; i < c->n_filters && i / 8 < before.n; i++)
		if ((before.p[i / 8] >> i % 8 & 1) && !c->filters[i].is_loaded)
			return true;
	return false;
}

static void
on_retry(void *arg)
{
	struct filter_role *f = arg;
	size_t before = count_loaded(f->chain);
	struct err err = {0};
	bool has_all;

	/* A folder that came later is outside of the sandbox: a fresh start sees it. */
	if (!f->had_databases && has_databases(f->role->config)) {
		log_event(LOG_INFO, "restarting", KV_STR("why", "a signature folder has appeared"));
		loop_stop(f->role->loop);
		return;
	}
	has_all = chain_load(f->chain, &err) == 0;
	if (count_loaded(f->chain) > before)
		zygote_refresh(f->zygote);
	if (has_all) {
		role_problem(f->role, "signatures", "loaded", NULL);
		return;
	}
	if (count_loaded(f->chain) > before)
		tell_unloaded(f); /* the next one */
	loop_timer(f->role->loop, &f->retry, RETRY_MS, on_retry, f);
}

/*
 * What is being written is not loaded, so that looks must agree.  This process never loads new signatures: a
 * successor does, beside it, and takes over when it has them and they work.  What this one could not load at
 * all is no reason to wait.
 */
static void
on_watch(void *arg)
{
	struct filter_role *f = arg;
	uint64_t now = stamp_databases(f->role->config);

	f->n_quiet = now == f->seen ? f->n_quiet + 1 : 0;
	if (now != f->loaded && f->n_quiet >= WATCH_QUIET) {
		f->loaded = now;
		renew(f);
	}
	f->seen = now;
	loop_timer(f->role->loop, &f->watch, WATCH_MS, on_watch, f);
}

static void
on_worker_problem(void *arg, bool is_over, const char *what)
{
	struct filter_role *f = arg;

	role_problem(f->role, "workers", is_over ? "workers start" : what,
	    is_over ? NULL : "see the log of the filter role");
}

static int
make_folders(struct filter_role *f, struct err *err)
{
	int n = snprintf(f->folder, sizeof(f->folder), "%s/filter", f->role->config->run_dir);

	if (n < 0 || (size_t)n >= sizeof(f->folder) - 8)
		return err_set(err, E_CONFIG, "run_dir is too long");
	if (mkdir(f->folder, 0700) < 0 && errno != EEXIST)
		return err_set(err, E_IO, "making %s: %m; create it for this user", f->folder);
	return 0;
}

static int
filter_prepare(struct role *role, struct err *err)
{
	static struct filter_role f;
	int r;

	f.role = role;
	role->self = &f;
	if (make_folders(&f, err) < 0)
		return -err->code;
	f.memory_fd = limits_memory_open();
	decode_warm_up();
	domain_prepare();
	tzset();
	f.had_databases = has_databases(role->config);
	f.loaded = f.seen = stamp_databases(role->config);
	if (load_plugins(role, err) < 0)
		return -err->code;
	f.chain = chain_new(role->config, code_of, f.folder);
	r = chain_load(f.chain, err);
	/* Then the one before it goes on.  What that lacks too changes nothing: the rest is taken. */
	if (r < 0 && role->is_successor && loads_less(f.chain, role->loaded)) {
		log_event(LOG_ERROR, "new signatures refused", KV_STR("why", err->text));
		return r;
	}
	/* A filter whose settings are wrong fails each message, and status says so: all others would have
	 * no filter role at all. */
	if (r == -E_CONFIG)
		log_event(LOG_ERROR, "filter not loaded", KV_STR("why", err->text));
	else if (r < 0 && r != -E_AGAIN)
		return r;
	share_memory();
	return 0;
}

/* From now on it serves, and looks for what there is to load. */
static void
begin_watch(struct filter_role *f)
{
	loop_timer(f->role->loop, &f->watch, WATCH_MS, on_watch, f);
	if (count_loaded(f->chain) < f->chain->n_filters)
		loop_timer(f->role->loop, &f->retry, RETRY_MS, on_retry, f);
}

/* A successor is ready when a worker of its own was: before, all mail is the other one's. */
static void
on_tried(void *arg, bool is_fine)
{
	struct filter_role *f = arg;

	if (!is_fine)
		die("no worker of the new filter role has started; the one before it stays");
	log_event(LOG_INFO, "new signatures", KV_STR("state", "loaded"));
	role_policy_live(f->role, f->role->policy_version);
	begin_watch(f);
}

static void
filter_start(struct role *role)
{
	struct filter_role *f = role->self;
	unsigned fronts = role->config->fronts;
	const struct zygote_settings settings = {.n_workers = count_workers(fronts),
	    .n_fronts = fronts,
	    .folder = f->folder,
	    .first_folder = role->instance * ZYGOTE_WORKERS_MAX,
	    .sandbox = enter_sandbox,
	    .memory_fd = f->memory_fd,
	    .problem = on_worker_problem,
	    .arg = f};

	f->zygote = zygote_new(role->loop, f->chain, &settings);
	tell_unloaded(f);
	if (role->is_successor) {
		role->is_ready_later = true;
		zygote_try(f->zygote, on_tried, f);
	} else {
		begin_watch(f);
	}
}

static void
filter_peer(struct role *role, unsigned place, int fd)
{
	struct filter_role *f = role->self;

	if (place_role(place) == ROLE_FRONT)
		zygote_serve(f->zygote, place_instance(place), fd);
	else
		(void)close(fd); /* nobody else asks for workers */
}

static void
on_drained(void *arg)
{
	struct filter_role *f = arg;

	loop_stop(f->role->loop);
}

/* Messages that workers have in hand are finished: front closes the channels of the others. */
static void
filter_stop(struct role *role)
{
	struct filter_role *f = role->self;

	timer_cancel(&f->watch);
	timer_cancel(&f->retry);
	zygote_drain(f->zygote, on_drained, f);
}

int
main(int argc, char **argv)
{
	static const struct role_ops ops = {.id = ROLE_FILTER,
	    .prepare = filter_prepare,
	    .start = filter_start,
	    .peer = filter_peer,
	    .stop = filter_stop};

	return role_main(&ops, argc, argv);
}

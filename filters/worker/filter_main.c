/*
 * The filter role: loads every filter that a flow uses, then keeps workers alive.
 *
 * A filter that cannot be loaded now (no signatures yet) is a problem that `status` shows, and a
 * `failure` for every message; loading is tried again every few seconds.  Other mail goes on.  One whose
 * load has ended a process before this one is not loaded here (loads.h): a successor tries it now and then.
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
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	RETRY_MS = 5000,
	BARRED_MS = 600000, /* what a load has ended is tried again, beside us, this often */
	WATCH_MS = 1000,    /* the signature folders are looked at this often */
	WATCH_QUIET = 2,    /* so many looks in a row must find them as the one before did */
	WORKERS_MIN = 2,
	PATH_BYTES = 512
};

struct filter_role {
	struct role *role;
	struct chain *chain;
	struct zygote *zygote;
	char folder[PATH_BYTES]; /* of the scratch folders */
	int memory_fd;           /* limits_memory_open */
	struct timer *retry, *watch, *barred;
	char (
	    *told)[CHAIN_WHY_MAX]; /* of each filter of the chain: the problem that was reported */
	uint64_t loaded, seen;     /* stamps of the signature folders: as loaded, as seen last */
	unsigned n_quiet;          /* looks in a row that have seen the same */
	bool has_told;
	bool had_databases; /* all folders named so were there before the sandbox closed */
};

/* Plugins of the folder that some flow uses; loaded once, a reload of signatures uses them again. */
static struct loaded {
	const struct pnf_about *about; /* the catalog's */
	struct pnf_filter filter;
	struct err err; /* why it is not */
} loaded[CATALOG_PLUGINS_MAX];
static size_t n_loaded;

static const struct loaded *
find_loaded(const struct pnf_about *about)
{
	for (size_t i = 0; i < n_loaded; i++)
		if (loaded[i].about == about)
			return &loaded[i];
	return NULL;
}

static const struct pnf_filter *
code_of(const struct pnf_about *about)
{
	const struct loaded *l = find_loaded(about);

	if (l == NULL)
		return filters_builtin(about);
	return l->err.code == 0 ? &l->filter : NULL;
}

static uint32_t
index_of(const struct config *c, const struct conf_filter *filter)
{
	return (uint32_t)(filter - c->filters);
}

/* Told at once: this may be the last thing that we say.  A load that hangs hears nothing of a supervisor
 * that was killed, and would stay for ever. */
static void
on_load(void *arg, const struct conf_filter *filter)
{
	const struct role *role = arg;

	(void)prctl(PR_SET_PDEATHSIG, filter != NULL ? SIGKILL : 0); /* never refused */
	channel_send(role->control, ROLE_LOADING,
	    filter != NULL ? index_of(role->config, filter) + 1 : 0, (struct span){0}, NULL);
	channel_flush(role->control);
}

/* Why an earlier process has died of this filter; empty: none has. */
static struct span
barred_why(const struct role *role, const struct conf_filter *filter)
{
	struct wire w = wire_over(role->barred);

	while (w.rest.n > 0 && !w.failed) {
		struct load_state s = load_state_get(&w);

		if (s.filter == index_of(role->config, filter))
			return s.why;
	}
	return (struct span){0};
}

static bool
is_in_flow(const struct config *c, const struct conf_filter *filter)
{
	for (size_t f = 0; f < c->n_flows; f++)
		for (size_t i = 0; i < c->flows[f].n_filters; i++)
			if (c->flows[f].filters[i].filter == filter)
				return true;
	return false;
}

/* A filter that is to run this plugin; NULL: there is none. */
static const struct conf_filter *
user_of(const struct role *role, const struct pnf_about *about)
{
	const struct config *c = role->config;

	for (size_t i = 0; i < c->n_filters; i++)
		if (c->filters[i].plugin == about && is_in_flow(c, &c->filters[i]) &&
		    barred_why(role, &c->filters[i]).n == 0)
			return &c->filters[i];
	return NULL;
}

/* Looked at once more: what the supervisor has read may have been replaced since. */
static int
open_plugin(const struct catalog *c, const struct catalog_plugin *p, struct loaded *l)
{
	if (plugin_check_folder(c->folder, &l->err) < 0 ||
	    plugin_check_file(c->folder, p->file, &l->err) < 0 ||
	    plugin_open(c->folder, p->file, &l->filter, &l->err) < 0)
		return -l->err.code;
	if (!catalog_is_same(l->filter.about, &p->about))
		return err_set(&l->err, E_CONFIG,
		    "%s/%s has changed since the configuration was read; run postern reload",
		    c->folder, p->file);
	return 0;
}

/* One that cannot be had is a failure of the filters that use it. */
static void
load_plugins(struct role *role)
{
	const struct catalog *c = role->catalog;

	for (size_t i = 0; i < c->n; i++) {
		const struct catalog_plugin *p = &c->plugins[i];
		const struct conf_filter *user = user_of(role, &p->about);

		if (user == NULL)
			continue;
		on_load(role, user); /* its constructors */
		loaded[n_loaded].about = &p->about;
		if (open_plugin(c, p, &loaded[n_loaded]) < 0)
			log_event(LOG_ERROR, "plugin not loaded",
			    KV_STR("why", loaded[n_loaded].err.text));
		n_loaded++;
	}
	on_load(role, NULL);
}

static void
bar(struct filter_role *f)
{
	for (size_t i = 0; i < f->chain->n_filters; i++) {
		const struct conf_filter *filter = f->chain->filters[i].conf;
		const struct loaded *l = find_loaded(filter->plugin);
		struct span why = barred_why(f->role, filter);

		if (why.n == 0 && l != NULL)
			why = span_str(l->err.text);
		if (why.n > 0)
			chain_bar(f->chain, filter, why);
	}
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

/* `why` reads "what is wrong; what to do". */
static void
tell_problem(const struct filter_role *f, const char *name, struct span why)
{
	char what[CHAIN_WHY_MAX + PATH_BYTES], remedy[CHAIN_WHY_MAX];
	size_t cut = span_rfind(why, ';');

	(void)snprintf(what, sizeof(what), "%.*s", SPAN_ARG(span_take(why, cut))); /* or cut */
	(void)span_copy(span_trim(span_skip(why, cut + 1)), remedy, sizeof(remedy));
	role_problem(
	    f->role, name, what, remedy[0] != '\0' ? remedy : "see the log of the filter role");
}

static void
tell_unloaded(const struct filter_role *f, const struct chain_filter *filter)
{
	char name[PATH_BYTES], why[CHAIN_WHY_MAX + PATH_BYTES];

	(void)snprintf(name, sizeof(name), "load of %s", filter->conf->name); /* or cut, as below */
	(void)snprintf(why, sizeof(why), "filter %s: %s", filter->conf->name, filter->why);
	if (filter->is_loaded)
		role_problem(f->role, name, "loaded", NULL);
	else
		tell_problem(f, name, span_str(why));
}

/* What loading has come to, where that is new. */
static void
tell_loads(struct filter_role *f)
{
	struct buf states = BUF_INIT(LOADS_BYTES_MAX);
	bool is_new = !f->has_told;

	for (size_t i = 0; i < f->chain->n_filters; i++) {
		const struct chain_filter *filter = &f->chain->filters[i];
		struct load_state s = {index_of(f->role->config, filter->conf),
		    filter->is_loaded   ? LOAD_FINE
		    : filter->is_broken ? LOAD_BROKEN
					: LOAD_NOT_NOW,
		    filter->is_loaded ? (struct span){0} : span_str(filter->why)};

		load_state_put(&states, &s);
		if (span_eq(s.why, span_str(f->told[i])))
			continue;
		is_new = true;
		tell_unloaded(f, filter);
		(void)span_copy(s.why, f->told[i], sizeof(f->told[i])); /* as long */
	}
	f->has_told = true;
	if (is_new && !states.failed)
		channel_send(f->role->control, ROLE_LOADS, 0, buf_span(&states), NULL);
	buf_free(&states);
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
	tell_loads(f);
	if (count_loaded(f->chain) > before)
		zygote_refresh(f->zygote);
	if (!has_all)
		loop_timer(f->role->loop, &f->retry, RETRY_MS, on_retry, f);
}

/* The successor tries all of them; one that dies of it changes nothing here. */
static void
on_barred(void *arg)
{
	struct filter_role *f = arg;

	renew(f);
	loop_timer(f->role->loop, &f->barred, BARRED_MS, on_barred, f);
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
	const struct filter_role *f = arg;

	if (is_over)
		role_problem(f->role, "workers", "workers start", NULL);
	else
		tell_problem(f, "workers", span_str(what));
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
	load_plugins(role);
	f.chain = chain_new(role->config, code_of, f.folder);
	f.told = mem_array(f.chain->n_filters + 1, sizeof(f.told[0]));
	bar(&f);
	chain_on_load(f.chain, on_load, role);
	r = chain_load(f.chain, err);
	tell_loads(&f);
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
	if (f->role->barred.n > 0)
		loop_timer(f->role->loop, &f->barred, BARRED_MS, on_barred, f);
}

/* A successor is ready when a worker of its own was: before, all mail is the other one's. */
static void
on_tried(void *arg, bool is_fine)
{
	struct filter_role *f = arg;

	channel_flush(f->role->control); /* what was wrong */
	if (!is_fine)
		die("no worker of the new filter role has started; the one before it stays");
	if (f->role->loaded.n > 0)
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
	timer_cancel(&f->barred);
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

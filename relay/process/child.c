#include "policy/rate/tallies.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/ipc/supervision.h"
#include "relay/process/reload.h"
#include "relay/process/successor.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	RESTART_FIRST_MS = 100,
	RESTART_MAX_MS = 30000,
	STEADY_MS = 10000, /* up that long: the delay begins anew */
	PAIR_AGAIN_MS = 1000,
	STOP_MS = 15000,   /* asked to end and still there: killed */
	LEAVE_MS = 120000, /* the same for one whose successor serves: its messages may take long */
	LOAD_MS = 900000   /* a successor that is not ready by then never will be */
};

void
child_init(struct child *c, struct supervisor *s, unsigned place)
{
	*c = (struct child){.supervisor = s,
	    .role = place_role(place),
	    .place = place,
	    .pid = -1,
	    .delay_ms = RESTART_FIRST_MS};
}

/* The roles stand beside our own executable. */
static void
role_path(enum role_id role, char path[PATH_MAX])
{
	char self[PATH_MAX / 2];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self));
	struct span dir = span_of(self, n > 0 ? (size_t)n : 0);

	(void)snprintf(path, PATH_MAX, "%.*s/%s", (int)span_rfind(dir, '/'), self, role_name(role));
}

/* In the new process: fd 3 is the channel, everything from 4 on closes. */
static void
run_role(enum role_id role, int channel_fd)
{
	static const char *const kept[] = {
	    "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"};
	char path[PATH_MAX], env[sizeof(kept) / sizeof(kept[0])][512];
	char *envp[sizeof(kept) / sizeof(kept[0]) + 1] = {0}, *argv[2];
	size_t n = 0;
	sigset_t none;

	role_path(role, path);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		const char *value = getenv(kept[i]);

		if (value == NULL)
			continue;
		(void)snprintf(env[n], sizeof(env[n]), "%s=%s", kept[i], value);
		envp[n] = env[n];
		n++;
	}
	argv[0] = path;
	argv[1] = NULL;
	(void)sigemptyset(&none); /* cannot fail, nor can the next on a valid set */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (channel_fd == SUPERVISION_FD) {
		/* Already in place, but closes on exec: move it away and back. */
		channel_fd = dup(channel_fd);
	}
	if (dup2(channel_fd, SUPERVISION_FD) < 0 || close_range(SUPERVISION_FD + 1, ~0U, 0) < 0)
		_exit(EXIT_NO);
	(void)execve(path, argv, envp); /* returns on failure only */
	dprintf(STDERR_FILENO, "postern: cannot run %s: %m; is the installation complete?\n", path);
	_exit(EXIT_NO);
}

static void
send_config(struct child *c)
{
	const struct supervisor *s = c->supervisor;
	bool is_next = s->next != NULL && successor_is_other(c);
	struct span text = buf_span(is_next ? &s->next->config_text : &s->config_text);
	struct span plugins = buf_span(is_next ? &s->next->plugins.bytes : &s->plugins.bytes);
	bool has_plugins = plugins.n > 0;
	int fds[CHANNEL_FDS] = {
	    channel_seal(text, "config"), has_plugins ? channel_seal(plugins, "plugins") : -1};
	struct role_setup setup = {.config_file = span_str(s->config_file),
	    .is_json_log = s->is_json_log,
	    .is_successor = successor_is_other(c)};
	struct buf b = BUF_INIT(SETUP_NAME_MAX + SETUP_LOADED_MAX + LOADS_BYTES_MAX + 64);

	if (setup.is_successor && !is_next)
		setup.loaded = buf_span(&s->filter_loaded);
	setup.barred = buf_span(&c->loads.barred);
	if (fds[0] < 0 || (has_plugins && fds[1] < 0)) {
		log_event(LOG_ERROR, "no memory file", KV_STR("role", place_name(c->place)));
		return; /* the role ends for want of a configuration and is started again */
	}
	role_setup_put(&b, &setup);
	channel_send(c->channel, ROLE_CONFIG, c->place, buf_span(&b), fds);
	buf_free(&b);
}

void
child_send_policy(struct child *c)
{
	const struct supervisor *s = c->supervisor;

	if (c->channel != NULL && c->role == ROLE_FRONT)
		channel_send(c->channel, ROLE_POLICY, s->generation, buf_span(&s->bundle), NULL);
}

void
child_send_secrets(struct child *c)
{
	const struct supervisor *s = c->supervisor;
	int fds[CHANNEL_FDS] = {-1, -1};

	if (c->channel == NULL || c->role != ROLE_KEY || s->secrets < 0)
		return;
	fds[0] = dup(s->secrets);
	if (fds[0] >= 0)
		channel_send(c->channel, ROLE_SECRETS, s->generation, (struct span){0}, fds);
}

static void
send_tickets(struct child *c)
{
	const struct shared_fds *tickets = &c->supervisor->tickets;
	int fds[CHANNEL_FDS] = {-1, -1};

	if (c->role != ROLE_KEY && c->role != ROLE_FRONT)
		return;
	fds[0] = dup(c->role == ROLE_KEY ? tickets->write : tickets->read);
	if (fds[0] >= 0)
		channel_send(c->channel, ROLE_TICKETS, 0, (struct span){0}, fds);
}

static void
send_tallies(struct child *c)
{
	const struct supervisor *s = c->supervisor;
	struct buf secret = BUF_INIT(64);

	put_u64(&secret, s->tallies_secret[0]);
	put_u64(&secret, s->tallies_secret[1]);
	for (unsigned i = 0; c->role == ROLE_FRONT && i < s->config->fronts; i++) {
		int fds[CHANNEL_FDS] = {-1, -1};

		fds[0] =
		    dup(i == place_instance(c->place) ? s->tallies[i].write : s->tallies[i].read);
		if (fds[0] >= 0)
			channel_send(c->channel, ROLE_TALLIES, i, buf_span(&secret), fds);
	}
	buf_free(&secret);
}

static void
send_listener(struct child *c, const struct listener *l)
{
	int fds[CHANNEL_FDS] = {dup(l->fd), -1};

	if (fds[0] >= 0)
		channel_send(c->channel, ROLE_LISTENER, listener_number(l), (struct span){0}, fds);
}

static bool
is_owner(const struct child *c, const struct listener *l)
{
	if (l->is_web)
		return c->role == ROLE_WEB;
	return c->role == ROLE_FRONT &&
	       listener_owner(l, c->supervisor->config->fronts) == place_instance(c->place);
}

static void
send_listeners(struct child *c)
{
	const struct listener_set *set = &c->supervisor->listeners;

	for (size_t i = 0; i < set->n; i++)
		if (set->items[i].fd >= 0 && is_owner(c, &set->items[i]))
			send_listener(c, &set->items[i]);
	channel_flush(c->channel); /* hundreds of descriptors: not to wait for the turn's end */
}

/* What is new there replaces what was. */
static void
lend_listeners(struct child *to, const struct child *owner)
{
	struct listener_set *set = &to->supervisor->listeners;

	for (size_t i = 0; i < set->n; i++) {
		const struct listener *l = &set->items[i];

		if (l->is_web || l->fd < 0 || !is_owner(owner, l))
			continue;
		if (owner->state == CHILD_DOWN)
			send_listener(to, l);
		else
			channel_send(
			    to->channel, ROLE_LISTENER, listener_number(l), (struct span){0}, NULL);
	}
	channel_flush(to->channel); /* as above */
}

/*
 * Each front has its own socket of each address, and the kernel gives it new clients whether it lives
 * or not.  While it does not, the others accept from its sockets too, instead of letting clients wait
 * for its start, which may be put off for long.  All of the others: one of them could be next.
 */
void
child_share_listeners(struct supervisor *s, struct child *changed)
{
	if (changed->role != ROLE_FRONT)
		return;
	for (unsigned i = 0; i < s->config->fronts; i++)
		for (unsigned k = 0; k < s->config->fronts; k++) {
			struct child *to = &s->children[place_of_front(i)];
			struct child *owner = &s->children[place_of_front(k)];

			if (to == owner || (to != changed && owner != changed) ||
			    to->channel == NULL || to->state != CHILD_UP ||
			    (owner->state != CHILD_UP && owner->state != CHILD_DOWN))
				continue;
			lend_listeners(to, owner);
		}
}

/* Who talks to whom; everyone else has no channel. */
static bool
are_peers(enum role_id a, enum role_id b)
{
	static const enum role_id pairs[][2] = {{ROLE_FRONT, ROLE_LOOKUP},
	    {ROLE_FRONT, ROLE_FILTER}, {ROLE_FRONT, ROLE_SPOOL}, {ROLE_FRONT, ROLE_JOURNAL},
	    {ROLE_SPOOL, ROLE_LOOKUP}, {ROLE_SPOOL, ROLE_JOURNAL}, {ROLE_FRONT, ROLE_KEY}};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if ((pairs[i][0] == a && pairs[i][1] == b) ||
		    (pairs[i][0] == b && pairs[i][1] == a))
			return true;
	return false;
}

void
child_pair(struct child *a, struct child *b)
{
	int ends[2], for_a[CHANNEL_FDS], for_b[CHANNEL_FDS];

	if (a == b || a->channel == NULL || b->channel == NULL || !are_peers(a->role, b->role) ||
	    successor_is_other(a) || successor_is_other(b))
		return;
	channel_pair(ends);
	for_a[0] = ends[0];
	for_b[0] = ends[1];
	for_a[1] = for_b[1] = -1;
	channel_send(a->channel, ROLE_PEER, b->place, (struct span){0}, for_a);
	channel_send(b->channel, ROLE_PEER, a->place, (struct span){0}, for_b);
}

static void
pair_now(void *arg)
{
	struct child *a = arg;

	/* Whichever of its timers has just fired is NULL, as are those never set: pair what is due. */
	for (int i = 0; i < PLACES; i++)
		if (a->is_pair_due[i] && a->pair_again[i] == NULL) {
			a->is_pair_due[i] = false;
			child_pair(a, &a->supervisor->children[i]);
		}
}

void
child_pair_later(struct child *a, unsigned b)
{
	if (a->is_pair_due[b])
		return;
	a->is_pair_due[b] = true;
	loop_timer(a->supervisor->loop, &a->pair_again[b], PAIR_AGAIN_MS, pair_now, a);
}

/* A start makes all its channels anew: what was due is done by that. */
static void
forget_pairs(struct child *c)
{
	for (int i = 0; i < PLACES; i++) {
		struct child *peer = &c->supervisor->children[i];

		timer_cancel(&c->pair_again[i]);
		timer_cancel(&peer->pair_again[c->place]);
		c->is_pair_due[i] = peer->is_pair_due[c->place] = false;
	}
}

static void
on_message(void *arg, struct message *m)
{
	struct child *c = arg;

	supervisor_child_message(c->supervisor, c, m);
}

/* The process is ending or has closed its channel: SIGCHLD tells the rest. */
static void
on_close(void *arg)
{
	struct child *c = arg;

	channel_free(&c->channel);
}

static const struct channel_events child_events = {on_message, on_close};

static void
kill_now(void *arg)
{
	struct child *c = arg;

	log_event(LOG_WARN, "role does not end", KV_STR("role", place_name(c->place)));
	(void)kill(c->pid, SIGKILL); /* ours: not waited for yet */
}

static void
load_late(void *arg)
{
	struct child *c = arg;

	c->loads.is_late = true;
	(void)kill(c->pid, SIGKILL); /* ours: not waited for yet */
}

void
child_loading(struct child *c, uint64_t id)
{
	int64_t limit_ms = loads_loading(&c->loads, successor_config(c), id);

	if (c->state == CHILD_STOPPING || c->state == CHILD_DOWN)
		return; /* it has another time limit, or none */
	timer_cancel(&c->kill);
	if (limit_ms > 0)
		loop_timer(c->supervisor->loop, &c->kill, limit_ms, load_late, c);
	else if (c->state == CHILD_STARTING && successor_is_other(c))
		loop_timer(c->supervisor->loop, &c->kill, LOAD_MS, kill_now, c);
}

void
child_start(struct child *c)
{
	int ends[2];

	must(c->pid < 0);
	timer_cancel(&c->restart);
	forget_pairs(c);
	loads_begin(&c->loads);
	channel_pair(ends);
	c->pid = fork();
	if (c->pid == 0)
		run_role(c->role, ends[1]);
	(void)close(ends[1]); /* the child's */
	if (c->pid < 0) {
		log_event(LOG_ERROR, "cannot fork", KV_STR("role", place_name(c->place)));
		(void)close(ends[0]); /* never used */
		/* As one that has died while it loads: it is not tried again at once. */
		if (successor_is_other(c))
			c->state = CHILD_STARTING;
		child_died(c, 0);
		return;
	}
	c->state = CHILD_STARTING;
	c->started_ms = clock_mono_ms();
	c->channel = channel_new(c->supervisor->loop, ends[0], &child_events, c);
	send_config(c);
	child_send_policy(c);
	child_send_secrets(c);
	send_tickets(c);
	send_tallies(c);
	send_listeners(c);
	for (int i = 0; i < PLACES; i++)
		child_pair(c, &c->supervisor->children[i]);
	channel_send(
	    c->channel, ROLE_GO, listener_count(&c->supervisor->listeners), (struct span){0}, NULL);
	if (successor_is_other(c))
		loop_timer(c->supervisor->loop, &c->kill, LOAD_MS, kill_now, c);
	supervisor_child_changed(c->supervisor, c);
}

static void
restart_now(void *arg)
{
	child_start(arg);
}

void
child_stop(struct child *c)
{
	bool is_leaving;

	timer_cancel(&c->restart);
	if (c->pid < 0)
		return;
	is_leaving =
	    successor_is_other(c) && c->state == CHILD_UP && c->supervisor->renewal == RENEWAL_NONE;
	/* One that was to take over has nothing in hand, and loading it would hear us late. */
	if (successor_is_other(c) && c->state == CHILD_STARTING)
		(void)kill(c->pid, SIGKILL); /* ours: not waited for yet */
	c->state = CHILD_STOPPING;
	if (c->channel != NULL)
		channel_send(c->channel, ROLE_STOP, 0, (struct span){0}, NULL);
	loop_timer(c->supervisor->loop, &c->kill, is_leaving ? LEAVE_MS : STOP_MS, kill_now, c);
}

/* Ending well or not, this process may have spoilt what its successor gets. */
static void
check_listeners(struct supervisor *s)
{
	struct err err = {0};
	int r = listener_check_all(&s->listeners, &err);

	if (r > 0) {
		log_event(LOG_ERROR, "listeners were shut down", KV_INT("reopened", r),
		    KV_STR("do", "look for a role that was taken over"));
		for (unsigned i = 0; i < s->config->fronts; i++)
			if (s->children[place_of_front(i)].state == CHILD_UP)
				send_listeners(&s->children[place_of_front(i)]);
	}
	problem_report(&s->problems, ROLE_SUPERVISOR, SPAN("listeners"), span_str(err.text),
	    r < 0 ? SPAN("free the address, then restart the relay") : (struct span){0});
	if (r < 0)
		log_event(LOG_ERROR, "listener lost", KV_STR("why", err.text));
}

static void
tell_death(struct child *c, enum child_state before, int wait_status)
{
	log_event(LOG_ERROR, "role died", KV_STR("role", place_name(c->place)),
	    KV_INT("signal", WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0),
	    KV_INT("status", WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0),
	    KV_INT("restart_ms", c->delay_ms));
	if (before == CHILD_STARTING)
		c->failed_starts++;
}

void
child_died(struct child *c, int wait_status)
{
	enum child_state before = c->state;
	bool was_asked = before == CHILD_STOPPING;
	int64_t lived_ms = clock_mono_ms() - c->started_ms;
	struct err why = {0};
	bool is_load;

	/* What it has sent before still counts, but not that it was ready: the dead take nothing over. */
	c->state = CHILD_DOWN;
	if (c->channel != NULL)
		channel_drain(c->channel);
	channel_free(&c->channel);
	timer_cancel(&c->kill);
	c->pid = -1;
	c->state = CHILD_DOWN; /* it may have asked for its own end */
	is_load = !was_asked && loads_died(&c->loads, successor_config(c), wait_status, &why);
	if (before == CHILD_STARTING && successor_is_other(c))
		successor_refused(c->supervisor, c, wait_status, is_load ? why.text : NULL);
	problem_forget(&c->supervisor->problems, c->place);
	if (c->role == ROLE_FRONT) /* its clients have gone with it */
		shared_clear(&c->supervisor->tallies[place_instance(c->place)], TALLIES_BYTES);
	if (lived_ms >= STEADY_MS)
		c->delay_ms = RESTART_FIRST_MS;
	if (!was_asked && !(before == CHILD_STARTING && successor_is_other(c))) {
		if (is_load)
			log_event(LOG_ERROR, "filter not loaded", KV_STR("why", why.text));
		else
			tell_death(c, before, wait_status);
		c->restarts++;
	}
	if (!c->supervisor->is_stopping && (c->role == ROLE_FRONT || c->role == ROLE_WEB))
		check_listeners(c->supervisor);
	if (!c->supervisor->is_stopping && c->supervisor->renewal != RENEWAL_STOPPING &&
	    c->is_wanted) {
		loop_timer(c->supervisor->loop, &c->restart, was_asked || is_load ? 0 : c->delay_ms,
		    restart_now, c);
		if (!was_asked && !is_load)
			c->delay_ms =
			    c->delay_ms * 2 < RESTART_MAX_MS ? c->delay_ms * 2 : RESTART_MAX_MS;
	}
	supervisor_child_changed(c->supervisor, c);
}

#include "relay/process/supervisor.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/ipc/supervision.h"
#include "relay/process/control_socket.h"
#include "relay/process/notify.h"
#include "relay/process/policy_source.h"
#include "relay/process/rule_hits.h"
#include "relay/process/successor.h"
#include "relay/process/trial.h"
#include "relay/process/secrets.h"

#include <sys/wait.h>
#include <unistd.h>

/* Mail flows when these are up; journal too, since nothing may happen unseen. */
static const enum role_id essential[] = {
    ROLE_FRONT, ROLE_LOOKUP, ROLE_FILTER, ROLE_SPOOL, ROLE_JOURNAL, ROLE_KEY};

enum {
	ESSENTIAL = sizeof(essential) / sizeof(essential[0]),
	FAILED_STARTS_MAX = 3,
	FRONT_WAITS_MS = 5000
};

bool
supervisor_wants(const struct supervisor *s, unsigned place)
{
	enum role_id role = place_role(place);

	if (role == ROLE_FRONT)
		return place_instance(place) < s->config->fronts;
	if (role == ROLE_KEY)
		return config_needs_key(s->config);
	if (role == ROLE_FILTER)
		return place == s->filter_place;
	return role != ROLE_WEB || s->config->web.is_on;
}

/* Of those that this configuration wants. */
static bool
is_up(const struct supervisor *s, enum role_id role)
{
	const struct child *c = role == ROLE_FILTER ? successor_filter(s) : &s->children[role];

	return !c->is_wanted || c->state == CHILD_UP;
}

static unsigned
fronts_up(const struct supervisor *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		n += s->children[place_of_front(i)].state == CHILD_UP;
	return n;
}

bool
supervisor_is_ready(const struct supervisor *s)
{
	for (size_t i = 0; i < ESSENTIAL; i++)
		if (essential[i] != ROLE_FRONT && !is_up(s, essential[i]))
			return false;
	return fronts_up(s) > 0 && s->live_generation > 0;
}

bool
supervisor_is_whole(const struct supervisor *s)
{
	return supervisor_is_ready(s) && fronts_up(s) >= s->config->fronts;
}

static bool
is_essential(enum role_id role)
{
	for (size_t i = 0; i < ESSENTIAL; i++)
		if (essential[i] == role)
			return true;
	return false;
}

static void
become_ready(struct supervisor *s)
{
	static const char line[] = "ready\n";

	s->was_ready = true;
	if (write(STDOUT_FILENO, line, sizeof(line) - 1) < 0)
		log_event(LOG_WARN, "nobody reads standard output");
	notify_systemd("READY=1");
	log_event(LOG_INFO, "ready", KV_STR("hostname", s->config->hostname),
	    KV_INT("policy", s->policy_version));
}

/*
 * Front and web go first, so that nothing new comes in; then who has mail in hand, and last who is
 * told of it.  Stops the first of these groups that still runs; false when all are down.
 */
static bool
stop_next(struct supervisor *s)
{
	static const enum role_id groups[][2] = {{ROLE_FRONT, ROLE_WEB}, {ROLE_FILTER, ROLE_SPOOL},
	    {ROLE_JOURNAL, ROLE_LOOKUP}, {ROLE_KEY, ROLE_KEY}};

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		bool is_running = false;

		for (unsigned place = ROLE_FRONT; place < PLACES; place++) {
			struct child *c = &s->children[place];

			if (c->role != groups[i][0] && c->role != groups[i][1])
				continue;
			is_running |= c->pid >= 0;
			if (c->pid >= 0 && c->state != CHILD_STOPPING)
				child_stop(c);
		}
		if (is_running)
			return true;
	}
	return false;
}

void
supervisor_stop(struct supervisor *s, int exit_status)
{
	if (s->is_stopping)
		return;
	s->is_stopping = true;
	s->exit_status = exit_status;
	log_event(LOG_INFO, "stopping");
	notify_systemd("STOPPING=1");
	for (int i = ROLE_FRONT; i < PLACES; i++)
		timer_cancel(&s->children[i].restart);
	if (!stop_next(s))
		loop_stop(s->loop);
}

static void
start_fronts(void *arg)
{
	struct supervisor *s = arg;

	timer_cancel(&s->front_waits);
	if (s->renewal != RENEWAL_STARTING || s->is_stopping)
		return;
	s->renewal = RENEWAL_NONE;
	for (unsigned i = 0; i < s->config->fronts; i++)
		if (s->children[place_of_front(i)].pid < 0)
			child_start(&s->children[place_of_front(i)]);
}

/*
 * A changed configuration needs new processes.  All end in order; then the others come back, and
 * front last: meanwhile clients wait in the listeners' backlog, and nobody is told 451 for want of
 * a spool.  Who takes long to come back is not waited for: front knows how to do without.
 */
static void
renew_next(struct supervisor *s)
{
	if (s->renewal == RENEWAL_STOPPING) {
		if (stop_next(s))
			return;
		s->renewal = RENEWAL_STARTING;
		successor_reset(s);
		for (unsigned i = ROLE_FRONT; i < PLACES; i++)
			s->children[i].is_wanted = supervisor_wants(s, i);
		loop_timer(s->loop, &s->front_waits, FRONT_WAITS_MS, start_fronts, s);
		for (int i = ROLE_COUNT - 1; i > ROLE_FRONT; i--)
			if (s->children[i].is_wanted)
				child_start(&s->children[i]);
	}
	for (size_t i = 0; i < ESSENTIAL; i++)
		if (essential[i] != ROLE_FRONT && !is_up(s, essential[i]))
			return;
	start_fronts(s);
}

static void
send_to_fronts(struct supervisor *s)
{
	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		child_send_policy(&s->children[place_of_front(i)]);
}

/* What all fronts that run have in force; while none does, nothing new is. */
static void
look_what_is_live(struct supervisor *s)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++) {
		const struct child *c = &s->children[place_of_front(i)];

		if (c->state == CHILD_UP && c->generation < least)
			least = c->generation;
	}
	if (least != UINT64_MAX && least > s->live_generation)
		s->live_generation = least;
}

/* Key has its part of generation `got`, or is away: then a certificate without it must do. */
static void
key_is_done(struct supervisor *s, uint64_t got)
{
	if (!s->policy_waits_for_key || got < s->generation)
		return;
	s->policy_waits_for_key = false;
	send_to_fronts(s);
}

/* To the fronts, but to key first: when a client sees a new certificate, its key is there. */
static void
send_policy(struct supervisor *s)
{
	struct child *key = &s->children[ROLE_KEY];

	s->policy_waits_for_key = key->channel != NULL;
	if (key->channel != NULL)
		child_send_secrets(key);
	else
		send_to_fronts(s);
}

void
supervisor_child_changed(struct supervisor *s, struct child *c)
{
	if (c->state == CHILD_DOWN && c->role == ROLE_KEY)
		key_is_done(s, s->generation);
	if (c->state == CHILD_DOWN && s->control != NULL)
		control_role_gone(s->control, c->place);
	if (s->is_stopping) {
		if (!stop_next(s))
			loop_stop(s->loop);
		return;
	}
	successor_changed(s, c);
	if (s->renewal != RENEWAL_NONE)
		renew_next(s);
	else
		child_share_listeners(s, c);
	if (!s->was_ready && supervisor_is_whole(s))
		become_ready(s);
	if (!s->was_ready && is_essential(c->role) && c->failed_starts >= FAILED_STARTS_MAX) {
		log_event(LOG_ERROR, "cannot start", KV_STR("role", place_name(c->place)),
		    KV_STR("do", "the line above says why it ended"));
		supervisor_stop(s, EXIT_NO);
	}
}

/* The filter role that serves is meant, wherever it is by now. */
static unsigned
peer_of(const struct supervisor *s, unsigned place)
{
	return place_role(place) == ROLE_FILTER ? s->filter_place : place;
}

void
supervisor_child_message(struct supervisor *s, struct child *c, struct message *m)
{
	struct role_problem_report p;

	switch (m->type) {
	case ROLE_READY:
		if (c->state == CHILD_DOWN)
			break; /* it has died since */
		if (c->state == CHILD_STARTING)
			c->state = CHILD_UP;
		c->generation = m->id;
		look_what_is_live(s);
		if (c->role == ROLE_KEY)
			key_is_done(s, m->id);
		control_policy_live(s->control);
		supervisor_child_changed(s, c);
		break;
	case ROLE_PEER_LOST:
		if (m->id < PLACES)
			child_pair_later(c, peer_of(s, (unsigned)m->id));
		break;
	case ROLE_PROBLEM:
		if (role_problem_get(m->payload, &p) == 0)
			problem_report(&s->problems, c->place, p.name, p.what, p.do_this);
		break;
	case ROLE_RENEW:
		if (c->role == ROLE_FILTER)
			successor_ask(s, c, m->payload);
		break;
	case ROLE_HITS:
		if (c->role == ROLE_FRONT)
			rule_hits_take(s, m->payload);
		break;
	case CONTROL_REQUEST:
		control_from_role(s->control, c, m);
		break;
	case CONTROL_CHUNK:
	case CONTROL_END:
		control_answer(s->control, c, m);
		break;
	default:
		log_event(LOG_WARN, "unknown message", KV_STR("role", place_name(c->place)),
		    KV_INT("type", m->type));
	}
}

static bool
is_same(const struct buf *a, const struct buf *b)
{
	return span_eq(buf_span(a), buf_span(b));
}

struct loaded {
	struct buf config_text, bundle;
	struct plugins plugins;
	struct config *config;
	uint64_t policy_version;
	int secrets;
};

static int
load(struct supervisor *s, struct loaded *l, struct buf *errors)
{
	struct config_errors found = {.lines = BUF_INIT(CONFIG_TEXT_MAX)};
	struct err err = {0};
	int r = -E_CONFIG;

	errors->max = CONFIG_TEXT_MAX;
	l->config_text.max = CONFIG_TEXT_MAX;
	if (file_read(s->config_file, CONFIG_TEXT_MAX, &l->config_text, &err) < 0) {
		(void)buf_addf(errors, "%s\n", err.text); /* bounded */
		return -E_CONFIG;
	}
	l->config =
	    plugins_parse_config(buf_span(&l->config_text), s->config_file, &l->plugins, &found);
	if (l->config != NULL) {
		r = config_check_machine(l->config, &found);
		if (policy_source_read(l->config, &l->bundle, &l->policy_version, errors) < 0)
			r = -E_CONFIG;
		if (secrets_read(l->config, &l->bundle, &l->secrets, errors) < 0)
			r = -E_CONFIG;
	}
	(void)buf_add_span(errors, buf_span(&found.lines)); /* same bound */
	buf_free(&found.lines);
	return r;
}

static void
unload(struct loaded *l)
{
	buf_free(&l->config_text);
	buf_free(&l->bundle);
	config_free(&l->config);
	plugins_free(&l->plugins);
	secrets_close(&l->secrets);
}

int
supervisor_reload(struct supervisor *s, struct buf *errors)
{
	struct loaded l = {.secrets = -1};
	struct err err = {0};
	bool has_new_config, has_new_policy;

	if (load(s, &l, errors) < 0) {
		unload(&l);
		return -E_CONFIG;
	}
	if (strcmp(l.config->state_dir, s->config->state_dir) != 0 ||
	    strcmp(l.config->run_dir, s->config->run_dir) != 0) {
		(void)buf_addf(errors,
		    "%s: state_dir and run_dir cannot change while the relay runs; restart it\n",
		    s->config_file); /* bounded */
		unload(&l);
		return -E_CONFIG;
	}
	has_new_config = !is_same(&l.config_text, &s->config_text) ||
			 !is_same(&l.plugins.bytes, &s->plugins.bytes) ||
			 l.plugins.stamp != s->plugins.stamp;
	has_new_policy = !is_same(&l.bundle, &s->bundle);
	if (has_new_config && listener_open_all(&s->listeners, l.config, &err) < 0) {
		(void)buf_addf(errors, "%s\n", err.text); /* bounded */
		unload(&l);
		return -E_CONFIG;
	}
	log_event(LOG_INFO, "reload", KV_INT("policy", l.policy_version),
	    KV_STR("configuration", has_new_config ? "changed" : "same"));
	unload(&(struct loaded){s->config_text, s->bundle, s->plugins, s->config, 0, s->secrets});
	s->config_text = l.config_text;
	s->bundle = l.bundle;
	s->plugins = l.plugins;
	s->config = l.config;
	s->secrets = l.secrets;
	s->policy_version = l.policy_version;
	trial_watch(s);
	if (has_new_policy || has_new_config)
		s->generation++;
	if (has_new_config) {
		s->renewal = RENEWAL_STOPPING;
		timer_cancel(&s->front_waits); /* of a renewal that this one overtakes */
		renew_next(s);
	} else if (has_new_policy) {
		send_policy(s);
	} else {
		child_send_secrets(&s->children[ROLE_KEY]); /* users may have changed */
	}
	return 0;
}

int
supervisor_reload_policy(struct supervisor *s, struct buf *errors)
{
	struct buf bundle = BUF_INIT(0);
	uint64_t version;

	if (policy_source_read(s->config, &bundle, &version, errors) < 0) {
		buf_free(&bundle);
		return -E_CONFIG;
	}
	secrets_keep_certificates(s->config, buf_span(&s->bundle), &bundle);
	log_event(LOG_INFO, "reload", KV_INT("policy", version));
	s->policy_version = version;
	trial_watch(s);
	if (is_same(&bundle, &s->bundle)) {
		buf_free(&bundle);
		return 0;
	}
	buf_free(&s->bundle);
	s->bundle = bundle;
	s->generation++;
	send_policy(s);
	return 0;
}

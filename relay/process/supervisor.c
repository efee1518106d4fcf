#include "relay/process/supervisor.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/ipc/supervision.h"
#include "relay/process/control_socket.h"
#include "relay/process/notify.h"
#include "relay/process/rule_hits.h"
#include "relay/process/successor.h"
#include "relay/process/trial.h"

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

/* Of a configuration that comes in force the filter role is there already. */
static bool
is_kept(const struct supervisor *s, const struct child *c)
{
	return s->renewal == RENEWAL_STOPPING && !s->is_stopping && c == successor_filter(s) &&
	       c->state == CHILD_UP;
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

			if ((c->role != groups[i][0] && c->role != groups[i][1]) || is_kept(s, c))
				continue;
			is_running |= c->pid >= 0;
			if (c->state != CHILD_STOPPING)
				child_stop(c); /* if it is down, it stays down */
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
	successor_look(s);
}

/*
 * A changed configuration needs new processes.  All end in order but the filter role that has loaded it; then
 * the others come back, and front last: meanwhile clients wait in the listeners' backlog, and nobody is told 451 for want of
 * a spool.  Who takes long to come back is not waited for: front knows how to do without.
 */
static void
renew_next(struct supervisor *s)
{
	if (s->renewal == RENEWAL_STOPPING) {
		if (stop_next(s))
			return;
		s->renewal = RENEWAL_STARTING;
		for (unsigned i = ROLE_FRONT; i < PLACES; i++)
			s->children[i].is_wanted = supervisor_wants(s, i);
		loop_timer(s->loop, &s->front_waits, FRONT_WAITS_MS, start_fronts, s);
		for (int i = ROLE_COUNT - 1; i > ROLE_FRONT; i--)
			if (s->children[i].is_wanted && i != ROLE_FILTER)
				child_start(&s->children[i]);
		if (successor_filter(s)->pid < 0)
			child_start(successor_filter(s));
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

void
supervisor_send_policy(struct supervisor *s)
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
	case ROLE_LOADING:
		if (c->role == ROLE_FILTER)
			child_loading(c, m->id);
		break;
	case ROLE_LOADS:
		if (c->role == ROLE_FILTER)
			loads_take(&c->loads, successor_config(c), m->payload);
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

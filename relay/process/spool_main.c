/*
 * spool_main.c - the spool role: keeps what front has accepted and carries it to the gateways.
 *
 * A commit from front is put into the spool; only when the spool says that it is durable does
 * front hear SPOOL_COMMITTED, and only then is it delivered.  Everything front says is checked.
 */
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/ipc/front_spool.h"
#include "relay/message/decode.h"
#include "relay/process/gateway_requests.h"
#include "relay/process/role.h"
#include "relay/process/spool_requests.h"
#include "relay/walk/hold.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	ROOM_EVERY_MS = 1000,
	STOP_WAIT_MS = 3000, /* for replies to messages that are with a gateway */
	STOP_STEP_MS = 20,
	SPOOL_PATH_MAX = 4096
};

struct front_peer {
	struct spool_role *spool;
	struct channel *channel; /* NULL: it is away */
	uint64_t life;           /* of the channel: no two have the same */
};

struct spool_role {
	struct role *role;
	struct delivery delivery;
	struct trust *trust; /* towards gateways */
	struct queue_jobs *jobs;
	struct front_peer fronts[CONFIG_FRONTS_MAX];
	struct channel *lookup, *journal;
	uint64_t last_life;    /* counts fronts' channels */
	bool has_room;         /* for a small message: front is told */
	bool is_short_of_room; /* for one that was refused: the admin is told */
	uint64_t refused_size; /* the smallest that did not fit, 0: none since there was room */
	struct timer *room_timer, *stop_timer;
	int64_t stop_by_ms;
};

static struct spool_role self;

/* --- commits from front ------------------------------------------------------------------------ */

/* To the front by which a message came, if it is the same still. */
static void
answer(struct spool_role *s, uint64_t life, uint16_t type, uint64_t id, struct span payload)
{
	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		if (s->fronts[i].life == life && channel_is_open(s->fronts[i].channel))
			channel_send(s->fronts[i].channel, type, id, payload, NULL);
}

static void
tell_all(struct spool_role *s, uint16_t type, uint64_t id, struct span payload)
{
	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		if (channel_is_open(s->fronts[i].channel))
			channel_send(s->fronts[i].channel, type, id, payload, NULL);
}

static void
refuse(struct spool_role *s, uint64_t life, uint64_t id, bool is_full)
{
	struct refusal r = {.code = is_full ? 452 : 451,
	    .enhanced = is_full ? SPAN("4.3.1") : SPAN("4.3.0"),
	    .text = is_full ? SPAN("No room to keep the message now, try again later")
			    : SPAN("The message could not be stored, try again later")};
	struct buf payload = BUF_INIT(1024);

	refusal_put(&payload, &r);
	answer(s, life, SPOOL_REFUSED, id, buf_span(&payload));
	buf_free(&payload);
}

/* A letter bears its message's id, and those with a dash are of our own making: a front that used
 * one again would put its message in the place of a letter. */
static bool
id_is_usable(struct spool_role *s, struct span id)
{
	if (id.n == 0 || id.n > SPOOL_ID_MAX)
		return false;
	for (size_t i = 0; i < id.n; i++)
		if (!(id.p[i] >= '0' && id.p[i] <= '9') && !(id.p[i] >= 'A' && id.p[i] <= 'Z'))
			return false;
	return !queue_has(s->delivery.queue, id) && !intake_has(s->delivery.intake, id) &&
	       !quarantine_has(s->delivery.quarantine, id);
}

/* A body that front could still change, or that is shorter than it says, is none. */
static bool
body_is_sound(int fd, uint64_t size)
{
	const int wanted = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals >= 0 && (seals & wanted) == wanted && fstat(fd, &st) == 0 && st.st_size >= 0 &&
	       (uint64_t)st.st_size >= size;
}

/* What is held must be what can be filtered again: our Received before it, and the session's facts. */
static bool
copies_are_sound(const struct commit *c)
{
	struct held_list lists[HELD_LISTS_MAX];
	struct held_facts facts;
	bool has_held = false;

	for (size_t i = 0; i < c->n_copies; i++) {
		has_held = has_held || c->copies[i].fate == COPY_HOLD;
		if (c->copies[i].fate == COPY_DISCARD ||
		    (c->copies[i].fate == COPY_HOLD && c->received > c->copies[i].prefix.n))
			return false;
	}
	return !has_held ||
	       (c->received <= HELD_RECEIVED_MAX && held_facts_get(c->facts, &facts, lists) == 0);
}

/* `watch_room` tells the admin until a message of this size would fit. */
static void
note_refused_size(struct spool_role *s, uint64_t size)
{
	if (s->refused_size == 0 || size < s->refused_size)
		s->refused_size = size;
}

static void
take_commit(struct spool_role *s, uint64_t life, struct message *m)
{
	static struct commit_room room; /* large; used during this call */
	struct delivery *d = &s->delivery;
	struct arrival a = {.front_id = m->id, .front_life = life};
	struct intake_body body = {.fd = -1};
	struct envelope envelope;
	struct commit c;

	if (commit_get(m->payload, &c, &room) < 0 || !id_is_usable(s, c.id) ||
	    !copies_are_sound(&c) || (!c.is_inline && !body_is_sound(m->fds[0], c.body_size))) {
		log_event(
		    LOG_ERROR, "commit refused", KV_STR("why", "front sent a malformed commit"));
		refuse(s, life, m->id, false);
		return;
	}
	if (d->is_stopping) {
		refuse(s, life, m->id, false);
		return;
	}
	if (!spool_has_room(d->spool, commit_prefixes(&c) + c.body_size) ||
	    queue_count(d->queue) + intake_count(d->intake) >= QUEUE_MESSAGES_MAX) {
		note_refused_size(s, commit_prefixes(&c) + c.body_size);
		refuse(s, life, m->id, true);
		return;
	}
	envelope = (struct envelope){.flow = c.flow,
	    .from = c.from,
	    .is_8bit = c.is_8bit,
	    .is_utf8 = c.is_utf8,
	    .ret = c.ret,
	    .envid = c.envid,
	    .received_ms = clock_wall_ms(),
	    .copies = c.copies,
	    .n_copies = c.n_copies,
	    .rcpts = c.rcpts,
	    .n_rcpts = c.n_rcpts,
	    .received = c.received,
	    .facts = c.facts};
	body.skip = c.is_inline ? 0 : c.skip;
	body.size = c.body_size;
	body.body = c.is_inline ? span_skip(c.body, (size_t)c.skip) : (struct span){0};
	if (!c.is_inline) {
		body.fd = m->fds[0];
		m->fds[0] = -1;
	}
	if (through_is_fit(d, &c)) {
		struct transit *t = transit_new(c.id, &envelope, &body);

		if (t != NULL) {
			through_begin(d, &a, t, c.data_end_ms);
			return;
		}
	}
	if (intake_put(d->intake, d->spool, &a, c.id, &envelope, &body) < 0)
		refuse(s, life, m->id, false);
}

static void
on_through(void *arg, const struct arrival *a, const struct refusal *refusal)
{
	struct spool_role *s = arg;
	struct buf payload = BUF_INIT(1024);

	if (refusal != NULL)
		refusal_put(&payload, refusal);
	answer(s, a->front_life, refusal != NULL ? SPOOL_REFUSED : SPOOL_COMMITTED, a->front_id,
	    buf_span(&payload));
	buf_free(&payload);
}

static void
on_arrival(void *arg, struct arrival *a, const struct err *err)
{
	struct spool_role *s = arg;

	if (err != NULL)
		log_event(LOG_ERROR, "not stored", KV_STR("why", err->text));
	if (a->is_kept) {
		through_arrived(&s->delivery, a, err);
		return;
	}
	if (a->is_refiltered) {
		again_arrived(&s->delivery, a, err);
		return;
	}
	if (a->is_release) {
		release_arrived(&s->delivery, a, err);
		return;
	}
	if (a->is_notice) {
		settle_notice(&s->delivery, a, err);
		return;
	}
	if (err != NULL) {
		refuse(s, a->front_life, a->front_id, err->code == E_FULL);
		return;
	}
	/* A front that has died meanwhile never said 250; the message is ours all the same. */
	answer(s, a->front_life, SPOOL_COMMITTED, a->front_id, (struct span){0});
	deliver_start(&s->delivery, a->entry);
}

static void
tell_room(struct spool_role *s)
{
	tell_all(s, SPOOL_ROOM, s->has_room, (struct span){0});
}

static void
tell_ability(void *arg, size_t index)
{
	struct spool_role *s = arg;
	struct gateway_ability ability = gateway_ability(s->delivery.gateways[index]);
	struct buf payload = BUF_INIT(64);

	ability_put(&payload, &ability);
	tell_all(s, SPOOL_GATEWAY, index, buf_span(&payload));
	buf_free(&payload);
}

static void
watch_room(void *arg)
{
	struct spool_role *s = arg;
	bool has_room = spool_has_room(s->delivery.spool, 0) &&
			queue_count(s->delivery.queue) < QUEUE_MESSAGES_MAX;

	bool is_short = !has_room || (s->refused_size > 0 &&
					 !spool_has_room(s->delivery.spool, s->refused_size));

	if (has_room != s->has_room) {
		s->has_room = has_room;
		tell_room(s);
	}
	if (!is_short)
		s->refused_size = 0;
	if (is_short != s->is_short_of_room) {
		s->is_short_of_room = is_short;
		role_problem(s->role, "spool-room", "no room for new mail: clients are told 452",
		    is_short ? "free disk space under state_dir, or lower queue.min_free" : NULL);
	}
	loop_timer(s->role->loop, &s->room_timer, ROOM_EVERY_MS, watch_room, s);
}

/* --- the spool's events ------------------------------------------------------------------------ */

static void
on_committed(void *arg, uint64_t cookie, struct spool_message *m, const struct err *err)
{
	struct spool_role *s = arg;

	intake_committed(s->delivery.intake, cookie, m, err);
}

static void
on_recovered(
    void *arg, struct spool_message *m, struct span id, struct span envelope, struct span note)
{
	struct spool_role *s = arg;

	deliver_recover(&s->delivery, m, id, envelope, note);
}

static void
on_problem(void *arg, const char *name, const char *what, const char *do_this)
{
	struct spool_role *s = arg;

	role_problem(s->role, name, what, do_this);
}

static const struct spool_events spool_role_events = {
    .on_committed = on_committed, .on_recovered = on_recovered, .on_problem = on_problem};

/* --- peers ------------------------------------------------------------------------------------- */

/* To the front that is next in turn and can take it. */
static uint64_t
send_refilter(void *arg, uint64_t job, struct span payload, int fd)
{
	struct spool_role *s = arg;
	const int fds[CHANNEL_FDS] = {fd, -1};

	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++) {
		struct front_peer *f = &s->fronts[(job + i) % CONFIG_FRONTS_MAX];

		if (!channel_has_room(f->channel))
			continue;
		channel_send(f->channel, SPOOL_REFILTER, job, payload, fds);
		return f->life;
	}
	(void)close(fd); /* memory only */
	return 0;
}

static void
on_front_message(void *arg, struct message *m)
{
	struct front_peer *f = arg;
	struct delivery *d = &f->spool->delivery;

	switch (m->type) {
	case SPOOL_COMMIT:
		take_commit(f->spool, f->life, m);
		break;
	case SPOOL_HURRY:
		through_hurry(d); /* fronts end together, but for a crash */
		break;
	case SPOOL_REPLACE:
		again_answer(d, f->life, m->id, m->payload);
		break;
	case SPOOL_PUT_BACK:
		again_put_back(d, f->life, m->id);
		break;
	case SPOOL_SPLIT:
		again_split(d, f->life, m->id);
		break;
	case SPOOL_WORKS:
		if (m->payload.n <= COMMIT_FILTER_MAX)
			hold_signal(d, m->payload, m->id == 1);
		break;
	default:
		break; /* not ours to know */
	}
}

static void
tell_awaited(void *arg, struct span filter)
{
	tell_all(arg, SPOOL_AWAITS, 0, filter);
}

static void
watch_fronts(struct spool_role *s)
{
	bool has_any = false;

	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		has_any = has_any || channel_is_open(s->fronts[i].channel);
	s->delivery.hold->has_fronts = has_any;
}

static void
on_front_close(void *arg)
{
	struct front_peer *f = arg;

	channel_free(&f->channel);
	again_front_lost(&f->spool->delivery, f->life);
	watch_fronts(f->spool);
}

static void
on_lookup_message(void *arg, struct message *m)
{
	struct spool_role *s = arg;

	resolve_take(s->delivery.resolver, m);
}

static void
on_lookup_close(void *arg)
{
	struct spool_role *s = arg;

	resolve_attach(s->delivery.resolver, NULL);
	channel_free(&s->lookup);
	role_peer_lost(s->role, ROLE_LOOKUP);
}

/* The journal says nothing to us. */
static void
on_journal_message(void *arg, struct message *m)
{
	(void)arg;
	(void)m;
}

static void
on_journal_close(void *arg)
{
	struct spool_role *s = arg;

	s->delivery.journal = NULL;
	channel_free(&s->journal);
	role_peer_lost(s->role, ROLE_JOURNAL);
}

static const struct channel_events front_events = {on_front_message, on_front_close};
static const struct channel_events lookup_events = {on_lookup_message, on_lookup_close};
static const struct channel_events journal_events = {on_journal_message, on_journal_close};

static void
spool_peer(struct role *role, unsigned place, int fd)
{
	struct spool_role *s = role->self;
	enum role_id peer = place_role(place);

	if (peer == ROLE_FRONT) {
		struct front_peer *f = &s->fronts[place_instance(place)];

		channel_free(&f->channel);
		again_front_lost(&s->delivery, f->life);
		*f = (struct front_peer){s, NULL, ++s->last_life};
		f->channel = channel_new(role->loop, fd, &front_events, f);
		watch_fronts(s);
		for (size_t i = 0; i < s->delivery.hold->n_awaited; i++)
			tell_awaited(s, span_str(s->delivery.hold->awaited[i]));
		tell_room(s);
		for (size_t i = 0; i < s->delivery.n_gateways; i++)
			tell_ability(s, i);
	} else if (peer == ROLE_LOOKUP) {
		channel_free(&s->lookup);
		s->lookup = channel_new(role->loop, fd, &lookup_events, s);
		resolve_attach(s->delivery.resolver, s->lookup);
	} else if (peer == ROLE_JOURNAL) {
		channel_free(&s->journal);
		s->journal = channel_new(role->loop, fd, &journal_events, s);
		s->delivery.journal = s->journal;
	} else {
		(void)close(fd); /* nobody we talk to */
	}
}

/* --- the life of the role ---------------------------------------------------------------------- */

static void
open_quarantine(struct spool_role *s)
{
	const struct config *config = s->role->config;
	char path[SPOOL_PATH_MAX];
	struct quarantine_options options = {.dir = path,
	    .keep_ms = config->quarantine.keep_ms,
	    .max = config->quarantine.max,
	    .min_free = config->queue.min_free};
	struct err err = {0};

	(void)snprintf(path, sizeof(path), "%s/quarantine", config->state_dir);
	s->delivery.quarantine =
	    quarantine_open(&options, s->role->loop, &aside_events, &s->delivery, &err);
	if (s->delivery.quarantine == NULL)
		die("%s", err.text);
}

/* Authorities are files that the sandbox hides. */
static int
spool_prepare(struct role *role, struct err *err)
{
	decode_warm_up();
	self.trust = trust_new(role->config, err);
	return self.trust != NULL ? 0 : -err->code;
}

/* The committer thread must be born inside the sandbox, so the spool is opened here. */
static void
spool_start(struct role *role)
{
	struct spool_role *s = &self;
	struct delivery *d = &s->delivery;
	char path[SPOOL_PATH_MAX];
	struct spool_options options = {.dir = path, .min_free = role->config->queue.min_free};
	struct err err = {0};

	s->role = role;
	s->has_room = true;
	role->self = s;
	d->on_problem = on_problem;
	d->on_through = on_through;
	d->on_ability = tell_ability;
	d->on_refilter = send_refilter;
	d->on_awaits = tell_awaited;
	d->arg = s;
	(void)snprintf(path, sizeof(path), "%s/spool", role->config->state_dir);
	delivery_init(d, role->loop, role->config);
	s->jobs = queue_jobs_new(role, d);
	d->intake = intake_new(on_arrival, s);
	d->spool = spool_open(&options, role->loop, &spool_role_events, s, &err);
	if (d->spool == NULL)
		die("%s", err.text);
	open_quarantine(s);
	d->courier = courier_new(role->loop, d->spool, role->config->hostname, &deliver_events, d);
	gateway_requests_start(d);
	courier_use_trust(d->courier, s->trust);
	hold_recovered(d);
	log_event(LOG_INFO, "spool open", KV_INT("messages", queue_count(d->queue)));
	watch_room(s);
}

static void
end_role(struct spool_role *s)
{
	timer_cancel(&s->room_timer);
	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		channel_free(&s->fronts[i].channel);
	channel_free(&s->lookup);
	quarantine_close(&s->delivery.quarantine);
	queue_jobs_free(&s->jobs);
	delivery_free(&s->delivery);
	trust_free(&s->trust);
	spool_close(&s->delivery.spool);
	if (s->journal != NULL)
		channel_flush(s->journal);
	channel_free(&s->journal);
	loop_stop(s->role->loop);
}

/* Commits that are on their way get their answer; gateways have a moment for theirs, since what
 * is cut off in the middle is sent twice. */
static void
stop_step(void *arg)
{
	struct spool_role *s = arg;
	bool is_busy = intake_count(s->delivery.intake) > 0 ||
		       (courier_active(s->delivery.courier) > 0 && clock_mono_ms() < s->stop_by_ms);

	if (is_busy)
		loop_timer(s->role->loop, &s->stop_timer, STOP_STEP_MS, stop_step, s);
	else
		end_role(s);
}

static void
spool_stop(struct role *role)
{
	struct spool_role *s = role->self;

	s->delivery.is_stopping = true;
	through_hurry(&s->delivery);
	s->stop_by_ms = clock_mono_ms() + STOP_WAIT_MS;
	for (size_t i = 0; i < s->delivery.n_gateways; i++)
		courier_quit(s->delivery.courier, s->delivery.gateways[i]);
	loop_timer(role->loop, &s->stop_timer, STOP_STEP_MS, stop_step, s);
}

static void
on_request(struct role *role, uint64_t id, const struct control_request *r)
{
	struct spool_role *s = role->self;

	spool_request(role, &s->delivery, s->jobs, id, r);
}

static const struct role_ops spool_ops = {.id = ROLE_SPOOL,
    .prepare = spool_prepare,
    .start = spool_start,
    .peer = spool_peer,
    .request = on_request,
    .stop = spool_stop};

int
main(int argc, char **argv)
{
	return role_main(&spool_ops, argc, argv);
}

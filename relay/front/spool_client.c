#include "relay/front/spool_client.h"
#include "relay/base/err.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"

#include <fcntl.h>
#include <unistd.h>

enum { COMMIT_WAIT_MS = 120000 };

struct spool_client {
	struct loop *loop;
	struct channel *channel;
	struct map *pending; /* id -> struct spool_request */
	uint64_t next_id;
	void (*on_lost)(void *arg);
	void *lost_arg;
	void (*on_held)(void *arg, struct message *m);
	void *held_arg;
	bool has_room;
	struct gateway_ability *abilities; /* by index in the configuration */
	size_t n_gateways;
};

static const struct refusal gone = {
    .code = 451, .enhanced = {"4.3.0", 5}, .text = {"The queue is not available, try again", 37}};

static const struct refusal busy = {
    .code = 452, .enhanced = {"4.3.1", 5}, .text = {"The queue is busy, try again later", 34}};

static void
end(struct spool_request *r, const struct refusal *refusal)
{
	(void)map_remove_u64(r->client->pending, r->id); /* it is r itself */
	timer_cancel(&r->failed);
	r->client = NULL;
	r->on_done(r, refusal);
}

static void
on_message(void *arg, struct message *m)
{
	struct spool_client *s = arg;
	struct spool_request *r = map_get_u64(s->pending, m->id);
	struct refusal refusal;

	switch (m->type) {
	case SPOOL_GATEWAY:
		if (m->id < s->n_gateways)
			(void)ability_get(m->payload, &s->abilities[m->id]); /* or unknown */
		break;
	case SPOOL_REFILTER:
	case SPOOL_AWAITS:
		if (s->on_held != NULL)
			s->on_held(s->held_arg, m);
		break;
	case SPOOL_ROOM:
		s->has_room = m->id != 0;
		break;
	case SPOOL_COMMITTED:
		if (r != NULL)
			end(r, NULL);
		break;
	case SPOOL_REFUSED:
		if (r != NULL)
			end(r, refusal_get(m->payload, &refusal) < 0 ? &gone : &refusal);
		break;
	default:
		break; /* not ours to know */
	}
}

/* What was not answered was perhaps kept: the client tries again, at worst a duplicate. */
static void
fail_all(struct spool_client *s)
{
	struct span key;
	void *value;
	size_t at = 0;

	channel_free(&s->channel);
	while (map_next(s->pending, &at, &key, &value)) {
		end(value, &gone);
		at = 0; /* the callbacks may have changed the map */
	}
}

static void
on_close(void *arg)
{
	struct spool_client *s = arg;

	fail_all(s);
	if (s->on_lost != NULL)
		s->on_lost(s->lost_arg);
}

static const struct channel_events spool_events = {on_message, on_close};

struct spool_client *
spool_client_new(struct loop *loop, size_t n_gateways)
{
	struct spool_client *s = mem_alloc(sizeof(*s));

	s->abilities = mem_array(n_gateways, sizeof(*s->abilities));
	s->n_gateways = n_gateways;

	s->loop = loop;
	s->pending = map_new();
	s->next_id = 1;
	s->has_room = true;
	return s;
}

void
spool_client_on_lost(struct spool_client *s, void (*on_lost)(void *arg), void *arg)
{
	s->on_lost = on_lost;
	s->lost_arg = arg;
}

void
spool_client_on_held(
    struct spool_client *s, void (*on_held)(void *arg, struct message *m), void *arg)
{
	s->on_held = on_held;
	s->held_arg = arg;
}

void
spool_client_tell(struct spool_client *s, uint16_t type, uint64_t id, struct span payload)
{
	if (channel_is_open(s->channel))
		channel_send(s->channel, type, id, payload, NULL);
}

void
spool_client_connect(struct spool_client *s, int fd)
{
	if (s->channel != NULL)
		fail_all(s);
	s->channel = channel_new(s->loop, fd, &spool_events, s);
	s->has_room = true;
}

static void
fail(void *arg)
{
	end(arg, &gone);
}

static void
fail_busy(void *arg)
{
	end(arg, &busy);
}

void
spool_commit(struct spool_client *s, struct spool_request *r, const struct commit *c, int body_fd)
{
	struct buf b = BUF_INIT(CHANNEL_PAYLOAD_MAX);
	int fds[CHANNEL_FDS] = {-1, -1};

	must(r->client == NULL);
	r->client = s;
	r->id = s->next_id++;
	(void)map_set_u64(s->pending, r->id, r); /* ids are never used twice */
	commit_put(&b, c);
	if (body_fd >= 0)
		fds[0] = fcntl(body_fd, F_DUPFD_CLOEXEC, 0);
	if (b.failed || !channel_has_room(s->channel) || (body_fd >= 0 && fds[0] < 0)) {
		if (fds[0] >= 0)
			(void)close(fds[0]); /* a copy: the body is the caller's */
		loop_timer(s->loop, &r->failed, 0,
		    channel_is_open(s->channel) && !b.failed ? fail_busy : fail, r);
	} else {
		channel_send(s->channel, SPOOL_COMMIT, r->id, buf_span(&b), fds);
		/* A disk that takes nothing and refuses nothing leaves the client with 451. */
		loop_timer(s->loop, &r->failed, COMMIT_WAIT_MS, fail, r);
	}
	buf_free(&b);
}

void
spool_forget_request(struct spool_request *r)
{
	if (r->client == NULL)
		return;
	(void)map_remove_u64(r->client->pending, r->id); /* it is r itself */
	timer_cancel(&r->failed);
	r->client = NULL;
}

struct gateway_ability
spool_client_ability(const struct spool_client *s, size_t gateway)
{
	return gateway < s->n_gateways ? s->abilities[gateway] : (struct gateway_ability){0};
}

void
spool_client_hurry(struct spool_client *s)
{
	spool_client_tell(s, SPOOL_HURRY, 0, (struct span){0});
}

bool
spool_client_has_room(const struct spool_client *s)
{
	return s->has_room && channel_has_room(s->channel);
}

#include "relay/process/control_socket.h"
#include "relay/base/list.h"
#include "relay/base/log.h"
#include "relay/ipc/control_path.h"
#include "relay/process/acceptor.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CLIENTS_MAX = 64,
	REQUESTS_MAX = 1024,
	STATUS_MAX = 1024 * 1024,
	ROLE_STATUS_MAX = 65536,
	STATUS_WAIT_MS = 2000,
	STILL_MS = 20000 /* whoever waits for a reload hears of us this often */
};

struct client {
	struct list node;
	struct control_socket *owner;
	struct channel *channel;
	char user[CONTROL_ASKER_MAX]; /* by SO_PEERCRED */
};

/* One request that waits for a role, for several (status), or for a policy to be live. */
struct request {
	struct list node;
	struct control_socket *owner;
	uint64_t id;              /* ours */
	struct channel **channel; /* where the answer goes; *channel NULL: has gone */
	struct client *client;    /* NULL: a role asked */
	unsigned asker;           /* its place, when client is NULL */
	uint64_t asker_id;        /* the asker's number for it */
	bool waits_load;          /* for what is to be in force to be loaded, then to be live */
	bool waits_live;
	uint64_t generation;
	bool is_status;
	bool is_gathered;   /* its end is that of all who were asked */
	unsigned waits_for; /* bit for each place asked */
	struct buf status;  /* what roles have said of themselves so far */
	struct status_counts fronts;
	struct timer *patience;
};

struct control_socket {
	struct supervisor *supervisor;
	int fd, dir_fd;
	struct acceptor acceptor;
	struct list clients, requests;
	size_t n_clients, n_requests;
	uint64_t next_id;
};

static void
reply_end(struct channel *to, uint64_t id, int status, struct span text)
{
	struct buf b = BUF_INIT(CONTROL_WORD_MAX + 16);

	if (to == NULL)
		return;
	control_end_put(
	    &b, &(struct control_end){(uint8_t)status, span_take(text, CONTROL_WORD_MAX)});
	channel_send(to, CONTROL_END, id, buf_span(&b), NULL);
	buf_free(&b);
}

static void
reply_chunks(struct channel *to, uint64_t id, struct span text)
{
	while (to != NULL && text.n > 0) {
		struct span piece = span_take(text, CONTROL_CHUNK_MAX);

		channel_send(to, CONTROL_CHUNK, id, piece, NULL);
		text = span_skip(text, piece.n);
	}
}

static struct channel *
answer_to(const struct request *r)
{
	return r->channel != NULL ? *r->channel : NULL;
}

static void
request_free(struct control_socket *cs, struct request *r)
{
	list_remove(&r->node);
	timer_cancel(&r->patience);
	cs->n_requests--;
	buf_free(&r->status);
	mem_free(r);
}

static void
request_end(struct control_socket *cs, struct request *r, int status, struct span text)
{
	reply_end(answer_to(r), r->asker_id, status, text);
	request_free(cs, r);
}

static struct request *
request_find(struct control_socket *cs, uint64_t id)
{
	LIST_FOR (it, &cs->requests) {
		struct request *r = LIST_ENTRY(it, struct request, node);

		if (r->id == id)
			return r;
	}
	return NULL;
}

/* Who asks: exactly one of client and child is given. */
struct asker {
	struct control_socket *cs;
	struct client *client;
	struct child *child;
	uint64_t id;
};

static struct channel **
asker_channel(const struct asker *a)
{
	return a->client != NULL ? &a->client->channel : &a->child->channel;
}

static struct request *
request_new(const struct asker *a)
{
	struct request *r;

	if (a->cs->n_requests >= REQUESTS_MAX) {
		reply_end(
		    *asker_channel(a), a->id, EXIT_TEMPFAIL, SPAN("too many requests; try again"));
		return NULL;
	}
	r = mem_alloc(sizeof(*r));
	r->owner = a->cs;
	r->id = a->cs->next_id++;
	r->client = a->client;
	r->asker = a->child != NULL ? a->child->place : (unsigned)ROLE_SUPERVISOR;
	r->channel = asker_channel(a);
	r->asker_id = a->id;
	r->status.max = STATUS_MAX;
	list_append(&a->cs->requests, &r->node);
	a->cs->n_requests++;
	return r;
}

static bool
pass_on(struct control_socket *cs, struct request *r, unsigned place,
    const struct control_request *words)
{
	struct child *c = &cs->supervisor->children[place];
	struct control_request asked = *words;
	struct buf b = BUF_INIT(CONTROL_WORDS_MAX * (CONTROL_WORD_MAX + 8));

	if (c->state != CHILD_UP || c->channel == NULL)
		return false;
	asked.asker = span_str(r->client != NULL ? r->client->user : "console");
	control_request_put(&b, &asked);
	channel_send(c->channel, CONTROL_REQUEST, r->id, buf_span(&b), NULL);
	buf_free(&b);
	r->waits_for |= 1U << place;
	return true;
}

static void
ask_role(const struct asker *a, enum role_id role, const struct control_request *words)
{
	struct request *r = request_new(a);

	if (r != NULL && !pass_on(a->cs, r, role, words))
		request_end(a->cs, r, EXIT_TEMPFAIL,
		    SPAN("the role that knows is being restarted; try again in a moment"));
}

static void
status_finish(struct control_socket *cs, struct request *r)
{
	struct buf document = BUF_INIT(2 * STATUS_MAX);

	status_put_counts(&r->fronts, &r->status);
	status_write(cs->supervisor, r->waits_for, buf_span(&r->status), &document);
	reply_chunks(answer_to(r), r->asker_id, buf_span(&document));
	buf_free(&document);
	request_end(cs, r, EXIT_OK, (struct span){0});
}

/* Whoever has not answered by now is named in the answer. */
static void
on_status_late(void *arg)
{
	struct request *r = arg;

	status_finish(r->owner, r);
}

static void
ask_status(const struct asker *a)
{
	static const enum role_id roles[] = {ROLE_LOOKUP, ROLE_SPOOL, ROLE_JOURNAL, ROLE_KEY};
	struct control_request words = {.words = {SPAN("status")}, .n_words = 1};
	struct request *r = request_new(a);

	if (r == NULL)
		return;
	r->is_status = true;
	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		(void)pass_on(a->cs, r, place_of_front(i), &words);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		(void)pass_on(
		    a->cs, r, roles[i], &words); /* a role that is down has nothing to add */
	if (r->waits_for == 0)
		status_finish(a->cs, r);
	else
		loop_timer(
		    a->cs->supervisor->loop, &r->patience, STATUS_WAIT_MS, on_status_late, r);
}

/* All fronts: what each of them says, one behind the other. */
static void
ask_fronts(const struct asker *a, const struct control_request *words)
{
	struct request *r = request_new(a);

	if (r == NULL)
		return;
	r->is_gathered = true;
	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		(void)pass_on(a->cs, r, place_of_front(i), words);
	if (r->waits_for == 0)
		request_end(a->cs, r, EXIT_TEMPFAIL,
		    SPAN("front is being restarted; try again in a moment"));
}

/* Nothing new: only that we are there. */
static void
on_still(void *arg)
{
	struct request *r = arg;

	if (answer_to(r) != NULL)
		channel_send(answer_to(r), CONTROL_CHUNK, r->asker_id, (struct span){0}, NULL);
	loop_timer(r->owner->supervisor->loop, &r->patience, STILL_MS, on_still, r);
}

static void
ask_reload(const struct asker *a, bool is_policy_only)
{
	struct supervisor *s = a->cs->supervisor;
	struct buf errors = BUF_INIT(0);
	struct request *r = request_new(a);

	if (r == NULL) {
		buf_free(&errors);
		return;
	}
	if ((is_policy_only ? supervisor_reload_policy(s, &errors)
			    : supervisor_reload(s, &errors)) < 0) {
		reply_chunks(answer_to(r), r->asker_id, buf_span(&errors));
		request_end(a->cs, r, EXIT_CONFIG, SPAN("nothing was changed"));
		buf_free(&errors);
		return;
	}
	if (!is_policy_only)
		reply_chunks(
		    answer_to(r), r->asker_id, buf_span(&errors)); /* what goes on without */
	if (!is_policy_only && s->next != NULL) {
		r->waits_load = true;
		on_still(r);
	} else if (s->live_generation >= s->generation && supervisor_is_ready(s)) {
		request_end(a->cs, r, EXIT_OK, (struct span){0});
	} else {
		r->waits_live = true;
		r->generation = s->generation;
		on_still(r);
	}
	buf_free(&errors);
}

static void
ask_console(const struct asker *a, const struct control_request *words)
{
	struct console *console = &a->cs->supervisor->console;
	struct channel *to = *asker_channel(a);

	if (words->n_words == 3 && span_eq(words->words[1], SPAN("sign-in"))) {
		struct span session = console_sign_in(console, words->words[2]);

		reply_chunks(to, a->id, session);
		reply_end(to, a->id, session.n > 0 ? EXIT_OK : EXIT_NO,
		    session.n > 0 ? SPAN("") : SPAN("this sign-in link is not valid any more"));
	} else if (words->n_words == 3 && span_eq(words->words[1], SPAN("status"))) {
		if (console_is_signed_in(console, words->words[2]))
			ask_status(a);
		else
			reply_end(to, a->id, EXIT_NO, SPAN("not signed in"));
	} else if (words->n_words == 2 && span_eq(words->words[1], SPAN("ready"))) {
		reply_end(to, a->id, supervisor_is_ready(a->cs->supervisor) ? EXIT_OK : EXIT_NO,
		    (struct span){0});
	} else {
		reply_end(to, a->id, EXIT_USAGE, SPAN("unknown console request"));
	}
}

static void
on_request(const struct asker *a, struct message *m)
{
	struct control_request words;
	struct channel *to = *asker_channel(a);

	if (m->type != CONTROL_REQUEST || control_request_get(m->payload, &words) < 0 ||
	    words.n_words == 0)
		reply_end(to, a->id, EXIT_USAGE, SPAN("malformed request"));
	else if (span_eq(words.words[0], SPAN("console")) && a->child != NULL)
		ask_console(a, &words);
	else if (a->child != NULL)
		reply_end(to, a->id, EXIT_NO, SPAN("not for this role"));
	else if (span_eq(words.words[0], SPAN("status")))
		ask_status(a);
	else if (span_eq(words.words[0], SPAN("reload")))
		ask_reload(a, words.n_words == 2 && span_eq(words.words[1], SPAN("policy")));
	else if (span_eq(words.words[0], SPAN("queue")) ||
		 span_eq(words.words[0], SPAN("gateway")) ||
		 span_eq(words.words[0], SPAN("quarantine")))
		ask_role(a, ROLE_SPOOL, &words);
	else if (span_eq(words.words[0], SPAN("policy")) ||
		 span_eq(words.words[0], SPAN("conduct")))
		ask_fronts(a, &words);
	else if (span_eq(words.words[0], SPAN("recipient")))
		ask_role(a, ROLE_LOOKUP, &words);
	else if (span_eq(words.words[0], SPAN("trace")))
		ask_role(a, ROLE_JOURNAL, &words);
	else
		reply_end(to, a->id, EXIT_USAGE, SPAN("unknown request"));
}

void
control_from_role(struct control_socket *cs, struct child *from, struct message *m)
{
	struct asker a = {.cs = cs, .child = from, .id = m->id};

	on_request(&a, m);
}

static void
status_answer(struct control_socket *cs, struct request *r, struct child *from, struct message *m)
{
	if (m->type == CONTROL_CHUNK) {
		if (from->role == ROLE_FRONT)
			status_add_counts(&r->fronts, m->payload);
		else if (m->payload.n <= ROLE_STATUS_MAX)
			status_add_role(&r->status, m->payload);
		return;
	}
	r->waits_for &= ~(1U << from->place);
	if (r->waits_for == 0)
		status_finish(cs, r);
}

void
control_answer(struct control_socket *cs, struct child *from, struct message *m)
{
	struct request *r = request_find(cs, m->id);

	if (r == NULL || !(r->waits_for & (1U << from->place)))
		return; /* the asker has gone, or the role speaks out of turn */
	if (r->is_status) {
		status_answer(cs, r, from, m);
		return;
	}
	if (r->is_gathered && m->type == CONTROL_END) {
		r->waits_for &= ~(1U << from->place);
		if (r->waits_for != 0)
			return;
	}
	if (answer_to(r) != NULL)
		channel_send(answer_to(r), m->type, r->asker_id, m->payload, NULL);
	if (m->type == CONTROL_END)
		request_free(cs, r);
}

void
control_role_gone(struct control_socket *cs, unsigned place)
{
	LIST_FOR_SAFE (it, &cs->requests) {
		struct request *r = LIST_ENTRY(it, struct request, node);

		if (r->client == NULL && r->asker == place) {
			request_free(cs, r);
			continue;
		}
		if (!(r->waits_for & (1U << place)))
			continue;
		r->waits_for &= ~(1U << place);
		if (r->is_gathered && r->waits_for != 0)
			continue;
		if (!r->is_status)
			request_end(cs, r, EXIT_TEMPFAIL,
			    SPAN("the role that knows has died and is being restarted; try again"));
		else if (r->waits_for == 0)
			status_finish(cs, r);
	}
}

void
control_reload_done(struct control_socket *cs, int status, struct span lines)
{
	if (cs == NULL)
		return;
	LIST_FOR_SAFE (it, &cs->requests) {
		struct request *r = LIST_ENTRY(it, struct request, node);

		if (!r->waits_load)
			continue;
		reply_chunks(answer_to(r), r->asker_id, lines);
		if (status != EXIT_OK) {
			request_end(cs, r, status, SPAN("nothing was changed"));
			continue;
		}
		r->waits_load = false;
		r->waits_live = true;
		r->generation = cs->supervisor->generation;
	}
	control_policy_live(cs);
}

void
control_policy_live(struct control_socket *cs)
{
	LIST_FOR_SAFE (it, &cs->requests) {
		struct request *r = LIST_ENTRY(it, struct request, node);

		if (r->waits_live && r->generation <= cs->supervisor->live_generation &&
		    supervisor_is_ready(cs->supervisor))
			request_end(cs, r, EXIT_OK, (struct span){0});
	}
}

static void
client_free(struct client *c)
{
	struct control_socket *cs = c->owner;

	LIST_FOR_SAFE (it, &cs->requests) {
		struct request *r = LIST_ENTRY(it, struct request, node);

		if (r->client == c)
			request_free(cs, r);
	}
	list_remove(&c->node);
	cs->n_clients--;
	channel_free(&c->channel);
	mem_free(c);
}

static void
on_client_message(void *arg, struct message *m)
{
	struct client *c = arg;
	struct asker a = {.cs = c->owner, .client = c, .id = m->id};

	on_request(&a, m);
}

static void
on_client_close(void *arg)
{
	client_free(arg);
}

static const struct channel_events client_events = {on_client_message, on_client_close};

static void
name_user(int fd, char to[CONTROL_ASKER_MAX])
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	const struct passwd *pw;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return; /* nameless: it may ask all the same */
	pw = getpwuid(peer.uid);
	if (pw != NULL)
		(void)span_copy(span_str(pw->pw_name), to, CONTROL_ASKER_MAX); /* cut: enough */
	else
		(void)snprintf(to, CONTROL_ASKER_MAX, "%u", (unsigned)peer.uid); /* fits */
}

static void
on_connection(void *arg, int fd, const struct sockaddr_storage *sa)
{
	struct control_socket *cs = arg;
	struct client *c;

	(void)sa; /* who may connect is decided by the socket file's mode */
	if (cs->n_clients >= CLIENTS_MAX) {
		(void)close(fd); /* one too many: it sees the end */
		return;
	}
	c = mem_alloc(sizeof(*c));
	c->owner = cs;
	name_user(fd, c->user);
	c->channel = channel_new(cs->supervisor->loop, fd, &client_events, c);
	list_append(&cs->clients, &c->node);
	cs->n_clients++;
}

/* root's and, where the package has made it, the group postern's. */
static void
give_to_group(const char *path)
{
	const struct group *group = getgrnam("postern");

	if (group != NULL && chown(path, (uid_t)-1, group->gr_gid) < 0)
		log_event(LOG_WARN, "control socket", KV_STR("why", "not given to group postern"));
}

static int
bind_socket(struct control_socket *cs)
{
	struct sockaddr_un sa;

	cs->dir_fd = control_path(cs->supervisor->config->run_dir, &sa);
	if (cs->dir_fd < 0)
		return -1;
	(void)unlink(sa.sun_path); /* of a relay that has gone: the lock on state_dir says so */
	cs->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (cs->fd < 0 || bind(cs->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    chmod(sa.sun_path, 0660) < 0 || listen(cs->fd, CLIENTS_MAX) < 0)
		return -1;
	give_to_group(sa.sun_path);
	return 0;
}

struct control_socket *
control_open(struct supervisor *s, struct err *err)
{
	struct control_socket *cs = mem_alloc(sizeof(*cs));

	cs->supervisor = s;
	cs->next_id = 1;
	cs->fd = cs->dir_fd = -1;
	list_init(&cs->clients);
	list_init(&cs->requests);
	if (bind_socket(cs) < 0) {
		(void)err_set(err, E_IO, "cannot make %s/control.sock: %m; choose another run_dir",
		    s->config->run_dir);
		if (cs->fd >= 0)
			(void)close(cs->fd); /* never used */
		if (cs->dir_fd >= 0)
			(void)close(cs->dir_fd); /* O_PATH: nothing to lose */
		mem_free(cs);
		return NULL;
	}
	acceptor_open(&cs->acceptor, s->loop, cs->fd, on_connection, cs);
	return cs;
}

void
control_close(struct control_socket **c)
{
	struct control_socket *cs = *c;

	if (cs == NULL)
		return;
	LIST_FOR_SAFE (it, &cs->clients)
		client_free(LIST_ENTRY(it, struct client, node));
	acceptor_close(&cs->acceptor);
	(void)close(cs->fd);                           /* a socket: nothing to lose */
	(void)unlinkat(cs->dir_fd, "control.sock", 0); /* a leftover is removed at the next start */
	(void)close(cs->dir_fd);                       /* O_PATH: nothing to lose */
	mem_free(cs);
	*c = NULL;
}

#include "relay/process/role.h"
#include "filters/chain/catalog.h"
#include "relay/base/log.h"
#include "relay/ipc/supervision.h"
#include "relay/process/listener.h"
#include "relay/process/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum {
	/* Peers that are restarted meanwhile come again. */
	EARLY_MAX = LISTENERS_MAX + 4 * PLACES,
	START_TIMEOUT_MS = 60000,
	ROLE_PATHS_MAX = 64
};

/* Listeners and peers that come before the role has started are kept until it has. */
struct early {
	uint16_t type;
	uint64_t id;
	int fd;
};

struct start {
	struct early items[EARLY_MAX];
	size_t n;
	char config_file[SETUP_NAME_MAX + 1];
};

static const char *const role_names[ROLE_COUNT] = {
    "supervisor", "front", "lookup", "filter", "spool", "journal", "web", "key"};
static const enum sandbox_kind role_kinds[ROLE_COUNT] = {SANDBOX_SUPERVISOR, SANDBOX_FRONT,
    SANDBOX_LOOKUP, SANDBOX_ZYGOTE, SANDBOX_SPOOL, SANDBOX_JOURNAL, SANDBOX_WEB, SANDBOX_KEY};

const char *
role_name(enum role_id id)
{
	return (unsigned)id < ROLE_COUNT ? role_names[id] : "unknown";
}

unsigned
place_of_front(unsigned instance)
{
	return instance == 0 ? (unsigned)ROLE_FRONT : ROLE_COUNT + instance - 1;
}

enum role_id
place_role(unsigned place)
{
	if (place == PLACE_FILTER_2)
		return ROLE_FILTER;
	return place < ROLE_COUNT ? (enum role_id)place : ROLE_FRONT;
}

unsigned
place_instance(unsigned place)
{
	if (place == PLACE_FILTER_2)
		return 1;
	return place < ROLE_COUNT ? 0 : place - ROLE_COUNT + 1;
}

const char *
place_name(unsigned place)
{
	static const char *const fronts[] = {
	    "front-2", "front-3", "front-4", "front-5", "front-6", "front-7", "front-8"};

	_Static_assert(sizeof(fronts) / sizeof(fronts[0]) == CONFIG_FRONTS_MAX - 1, "one each");
	if (place < ROLE_COUNT || place == PLACE_FILTER_2)
		return role_names[place_role(place)];
	return place < PLACES ? fronts[place - ROLE_COUNT] : "unknown";
}

static int
take_fd(struct message *m)
{
	int fd = m->fds[0];

	m->fds[0] = -1;
	return fd;
}

static void
take_config(struct role *role, struct start *start, struct message *m)
{
	struct config_errors errors = {.lines = BUF_INIT(CONFIG_TEXT_MAX)};
	struct role_setup setup;
	struct span text, plugins = {0};

	if (role_setup_get(m->payload, &setup) < 0 ||
	    channel_map(m->fds[0], CONFIG_TEXT_MAX, &text) < 0)
		die("the supervisor sent no configuration");
	(void)span_copy(setup.config_file, start->config_file, sizeof(start->config_file));
	if (m->fds[1] >= 0 && channel_map(m->fds[1], CATALOG_BYTES_MAX, &plugins) < 0)
		die("the supervisor sent no plugins");
	role->catalog = catalog_get(plugins);
	if (role->catalog == NULL)
		die("the supervisor sent plugins that cannot be");
	channel_unmap(&plugins);
	role->is_successor = setup.is_successor;
	/* The place stands in the message's id; outside a relay there is none. */
	if (m->id >= ROLE_COUNT && m->id < PLACES)
		role->instance = place_instance((unsigned)m->id);
	log_setup(role->instance == 0 ? role_name(role->ops->id) : place_name((unsigned)m->id),
	    setup.is_json_log, LOG_INFO);
	role->config = config_parse(text, start->config_file, role->catalog->abouts, &errors);
	if (role->config == NULL)
		die("the supervisor sent a configuration in error: %.*s", (int)errors.lines.n,
		    errors.lines.p);
	role->loaded = arena_copy(&role->config->memory, setup.loaded);
	role->barred = arena_copy(&role->config->memory, setup.barred);
	if (setup.run_dir.n > 0)
		role->config->run_dir = arena_copy(&role->config->memory, setup.run_dir).p;
	channel_unmap(&text);
	buf_free(&errors.lines);
}

static void
take_policy(struct role *role, struct message *m)
{
	buf_clear(&role->policy);
	(void)buf_add_span(&role->policy, m->payload); /* bounded by the channel, as max is */
	role->policy_version = m->id;
}

static void
take_secrets(struct role *role, struct message *m)
{
	if (role->secrets >= 0)
		(void)close(role->secrets); /* memory only */
	role->secrets = take_fd(m);
	role->policy_version = m->id;
}

static void
take_tallies(struct role *role, struct message *m)
{
	struct wire w = wire_over(m->payload);

	role->tallies_secret[0] = get_u64(&w);
	role->tallies_secret[1] = get_u64(&w);
	if (wire_end(&w) < 0 || m->id >= CONFIG_FRONTS_MAX)
		die("the supervisor sent tallies that cannot be");
	role->tallies[m->id] = take_fd(m);
}

static void
hand_over(struct role *role, uint16_t type, uint64_t id, int fd)
{
	if (type == ROLE_LISTENER && role->ops->listener != NULL)
		role->ops->listener(role, (unsigned)id, fd);
	else if (type == ROLE_PEER && role->ops->peer != NULL && id < PLACES && fd >= 0)
		role->ops->peer(role, (unsigned)id, fd);
	else if (fd >= 0)
		(void)close(fd); /* not for us */
}

static void
keep_early(struct start *start, struct message *m)
{
	must(start->n < EARLY_MAX);
	start->items[start->n++] = (struct early){m->type, m->id, take_fd(m)};
}

static bool
take_go(struct role *role, const struct message *m)
{
	role->n_listeners = m->id < LISTENERS_MAX ? (unsigned)m->id : LISTENERS_MAX;
	return true;
}

/* Blocks until the supervisor says go. */
static void
receive_start(struct role *role, struct start *start)
{
	struct buf buf = BUF_INIT(0);
	bool is_complete = false;

	while (!is_complete) {
		struct message m;

		if (channel_receive(SUPERVISION_FD, &m, &buf, START_TIMEOUT_MS) < 0)
			die("started without a supervisor; run \"postern run\" instead");
		if (m.type == ROLE_CONFIG)
			take_config(role, start, &m);
		else if (m.type == ROLE_POLICY)
			take_policy(role, &m);
		else if (m.type == ROLE_SECRETS)
			take_secrets(role, &m);
		else if (m.type == ROLE_TICKETS)
			role->tickets = take_fd(&m);
		else if (m.type == ROLE_TALLIES)
			take_tallies(role, &m);
		else if (m.type == ROLE_LISTENER || m.type == ROLE_PEER)
			keep_early(start, &m);
		else if (m.type == ROLE_GO)
			is_complete = take_go(role, &m);
		for (int i = 0; i < CHANNEL_FDS; i++)
			if (m.fds[i] >= 0)
				(void)close(m.fds[i]); /* read, or not ours */
	}
	buf_free(&buf);
	if (role->config == NULL)
		die("the supervisor sent no configuration");
}

void
role_policy_live(struct role *role, uint64_t version)
{
	channel_send(role->control, ROLE_READY, version, (struct span){0}, NULL);
}

void
role_renew(struct role *role, struct span loaded)
{
	channel_send(role->control, ROLE_RENEW, 0, span_take(loaded, SETUP_LOADED_MAX), NULL);
}

static void
say_ready(struct role *role)
{
	role_policy_live(role, role->policy_version);
}

static void
on_control(void *arg, struct message *m)
{
	struct role *role = arg;
	struct control_request r;

	switch (m->type) {
	case ROLE_LISTENER:
	case ROLE_PEER:
		hand_over(role, m->type, m->id, take_fd(m));
		break;
	case ROLE_POLICY:
		take_policy(role, m);
		if (role->ops->policy != NULL)
			role->ops->policy(role);
		else
			say_ready(role);
		break;
	case ROLE_SECRETS:
		take_secrets(role, m);
		if (role->ops->secrets != NULL)
			role->ops->secrets(role);
		say_ready(role);
		break;
	case ROLE_STOP:
		if (role->ops->stop != NULL)
			role->ops->stop(role);
		else
			loop_stop(role->loop);
		break;
	case CONTROL_REQUEST:
		if (role->ops->request == NULL || control_request_get(m->payload, &r) < 0)
			role_reply_end(
			    role, m->id, EXIT_USAGE, SPAN("not a request for this role"));
		else
			role->ops->request(role, m->id, &r);
		break;
	case CONTROL_CHUNK:
	case CONTROL_END:
		if (role->ops->answer != NULL)
			role->ops->answer(role, m);
		break;
	default:
		log_event(LOG_WARN, "unknown control message", KV_INT("type", m->type));
	}
}

/* Without a supervisor there is nobody to restart, stop or configure us. */
static void
on_supervisor_gone(void *arg)
{
	struct role *role = arg;

	log_event(LOG_WARN, "supervisor has gone");
	loop_stop(role->loop);
}

static const struct channel_events control_events = {on_control, on_supervisor_gone};

static void
add_path(struct sandbox_path *paths, const char *path, enum sandbox_access access)
{
	size_t n = 0;

	while (paths[n].path != NULL)
		n++;
	if (n + 1 < ROLE_PATHS_MAX)
		paths[n] = (struct sandbox_path){path, access};
}

static const char *
join(struct role *role, const char *dir, const char *name)
{
	struct span path;
	struct buf b = BUF_INIT(SETUP_NAME_MAX);

	(void)buf_addf(&b, "%s/%s", dir, name); /* both from the configuration, which is bounded */
	path = arena_copy(&role->config->memory, buf_span(&b));
	buf_free(&b);
	return path.p;
}

/* Of the file that an option names: it may come, or be written anew, while the filter waits for it. */
static void
add_folder_of(struct role *role, struct sandbox_path *paths, const char *file)
{
	struct span folder = span_take(span_str(file), span_rfind(span_str(file), '/'));
	int fd;

	if (folder.n == 0)
		return; /* below / is all there is */
	folder = arena_copy(&role->config->memory, folder);
	fd = open(folder.p, O_PATH | O_CLOEXEC | O_DIRECTORY);
	if (fd < 0)
		return; /* not there, or not for us */
	(void)close(fd);
	add_path(paths, folder.p, SANDBOX_READ);
}

static void
add_option(struct role *role, struct sandbox_path *paths, const struct conf_option *o)
{
	if (o->n_values == 0)
		return;
	if (strcmp(o->about->name, "databases") == 0)
		add_path(paths, o->values[0], SANDBOX_READ);
	else if (o->about->type == PNF_OPTION_TEXT && o->values[0][0] == '/')
		add_folder_of(role, paths, o->values[0]);
}

/* The folders a role keeps: its own, and for the zygote those that filters' options name. */
static void
role_paths(struct role *role, struct sandbox_path *paths)
{
	const struct config *c = role->config;

	switch (role->ops->id) {
	case ROLE_SPOOL:
		add_path(paths, join(role, c->state_dir, "spool"), SANDBOX_WRITE);
		add_path(paths, join(role, c->state_dir, "quarantine"), SANDBOX_WRITE);
		break;
	case ROLE_JOURNAL:
		add_path(paths, join(role, c->state_dir, "journal"), SANDBOX_WRITE);
		break;
	case ROLE_FILTER:
		add_path(paths, join(role, c->run_dir, "filter"), SANDBOX_WRITE);
		for (size_t i = 0; i < c->n_filters; i++)
			for (size_t k = 0; k < c->filters[i].n_options; k++)
				add_option(role, paths, &c->filters[i].options[k]);
		break;
	case ROLE_SUPERVISOR:
	case ROLE_FRONT:
	case ROLE_LOOKUP:
	case ROLE_WEB:
	case ROLE_KEY:
		break;
	}
}

int
role_main(const struct role_ops *ops, int argc, char **argv)
{
	static struct start start;
	struct role role = {
	    .ops = ops, .policy = BUF_INIT(CHANNEL_PAYLOAD_MAX), .secrets = -1, .tickets = -1};
	struct sandbox_path paths[ROLE_PATHS_MAX] = {0};
	enum sandbox_kind kind = role_kinds[ops->id];
	struct err err = {0};
	int r;

	(void)argc;
	(void)argv;
	for (size_t i = 0; i < CONFIG_FRONTS_MAX; i++)
		role.tallies[i] = -1;
	/* The supervisor decides when we end; a terminal's Ctrl-C reaches us too and is not for us. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	log_setup(role_name(ops->id), false, LOG_INFO);
	tzset(); /* the C library reads /etc/localtime at first use; later it could not */
	receive_start(&role, &start);
	if (sandbox_drop_user(kind, &err) < 0)
		die("%s", err.text);
	role.loop = loop_new();
	loop_tell_slow_turns(role.loop);
	role.control = channel_new(role.loop, SUPERVISION_FD, &control_events, &role);
	if (ops->prepare != NULL && ops->prepare(&role, &err) < 0)
		die("%s", err.text);
	role_paths(&role, paths);
	r = sandbox_enter(kind, paths, &err);
	if (r < 0)
		die("%s", err.text);
	if (r == SANDBOX_NO_LANDLOCK)
		role_problem(&role, "sandbox",
		    "this kernel has no Landlock: a role that is taken over can reach every file "
		    "of its user",
		    "use a kernel of 5.13 or later with Landlock enabled");
	if (ops->start != NULL)
		ops->start(&role);
	for (size_t i = 0; i < start.n; i++)
		hand_over(&role, start.items[i].type, start.items[i].id, start.items[i].fd);
	if (!role.is_ready_later)
		say_ready(&role);
	loop_run(role.loop);
	channel_flush(role.control);
	/* The kernel gives back what we hold; running atexit hooks of libraries helps nobody. */
	_exit(EXIT_OK);
}

void
role_reply(struct role *role, uint64_t id, struct span chunk)
{
	while (chunk.n > 0) {
		struct span piece = span_take(chunk, CONTROL_CHUNK_MAX);

		channel_send(role->control, CONTROL_CHUNK, id, piece, NULL);
		chunk = span_skip(chunk, piece.n);
	}
}

void
role_reply_end(struct role *role, uint64_t id, int status, struct span text)
{
	struct buf b = BUF_INIT(CONTROL_WORD_MAX + 16);

	control_end_put(
	    &b, &(struct control_end){(uint8_t)status, span_take(text, CONTROL_WORD_MAX)});
	channel_send(role->control, CONTROL_END, id, buf_span(&b), NULL);
	buf_free(&b);
}

void
role_peer_lost(struct role *role, unsigned place)
{
	channel_send(role->control, ROLE_PEER_LOST, place, (struct span){0}, NULL);
}

void
role_problem(struct role *role, const char *name, const char *what, const char *do_this)
{
	struct buf b = BUF_INIT(4 * PROBLEM_TEXT_MAX);
	struct role_problem_report p = {span_take(span_str(name), PROBLEM_TEXT_MAX),
	    span_take(span_str(what), PROBLEM_TEXT_MAX),
	    span_take(span_str(do_this), PROBLEM_TEXT_MAX)};

	role_problem_put(&b, &p);
	channel_send(role->control, ROLE_PROBLEM, 0, buf_span(&b), NULL);
	buf_free(&b);
	if (p.do_this.n > 0)
		log_event(LOG_WARN, "problem", KV("name", p.name), KV("what", p.what),
		    KV("do", p.do_this));
	else
		log_event(LOG_INFO, "problem over", KV("name", p.name));
}

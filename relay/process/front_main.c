/*
 * The front role: accepts clients, speaks SMTP, decides.  It opens no file, connects nowhere, and
 * parses nothing of a message but its header section.
 */
#include "policy/dnsbl/domain.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/ipc/journal.h"
#include "relay/ipc/policy_bundle.h"
#include "relay/ipc/shared.h"
#include "relay/ipc/supervision.h"
#include "relay/process/acceptor.h"
#include "relay/process/listener.h"
#include "relay/process/policy_build.h"
#include "relay/process/policy_source.h"
#include "relay/process/role.h"
#include "relay/smtp/reply.h"
#include "relay/tls/remote_key.h"
#include "relay/tls/server.h"
#include "relay/walk/walk.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TURNED_AWAY_LINES = 20, TURNED_AWAY_MS = 1000 /* that many lines in that time */ };

struct front_listener {
	struct acceptor acceptor;
	const struct conf_listen *listen; /* NULL: not in use */
	int fd;
	struct front *front;
};

enum { FRONT_STATUS_MAX = 65536 };

static struct front front;
static struct front_listener listeners[LISTENERS_MAX]; /* by number */
static struct policy_build *policy_build;

static bool
is_full(const struct front *f)
{
	return f->n_sessions >= session_room(f);
}

/* Under a flood a line for each would cost more than the refusals. */
static bool
is_worth_a_line(const struct front *f)
{
	static uint64_t lines, skipped;
	static int64_t since_ms;
	int64_t now_ms = clock_mono_ms();

	if (now_ms - since_ms >= TURNED_AWAY_MS) {
		if (skipped > 0)
			log_event(LOG_WARN, "turned away, many", KV_INT("more", skipped),
			    KV_INT("sessions", f->n_sessions));
		since_ms = now_ms;
		lines = skipped = 0;
	}
	if (lines >= TURNED_AWAY_LINES)
		skipped++;
	else
		lines++;
	return skipped == 0;
}

/* RFC 5321 section 3.8: too many clients; said at once and cheaply, no session is made. */
static void
turn_away(const struct front_listener *l, int fd, const struct ip *peer, struct span enhanced,
    struct span text)
{
	struct buf b = BUF_INIT(SMTP_REPLY_LINE_MAX);
	struct id id = id_new();
	char ip[IP_TEXT_MAX];

	if (l->listen->tls != LISTEN_IMPLICIT) /* in the clear it would not be understood */
		(void)smtp_reply_add(&b, 421, enhanced, text, id_span(&id)); /* short: it fits */
	farewell_say(front.farewells, fd, buf_span(&b));
	buf_free(&b);
	front.n_refused++;
	front.n_turned_away++;
	if (is_worth_a_line(&front))
		log_event(LOG_INFO, "turned away", KV("id", id_span(&id)),
		    KV("client", ip_format(peer, ip)), KV_INT("code", 421), KV("why", text));
}

static void
on_client(void *arg, int fd, const struct sockaddr_storage *sa)
{
	struct front_listener *l = arg;
	struct ip peer;
	uint16_t port;

	if (!ip_from_sockaddr(sa, &peer, &port))
		(void)close(fd); /* our listeners are IP's: never here */
	else if (is_full(l->front))
		turn_away(
		    l, fd, &peer, SPAN("4.3.2"), SPAN("Too many connections, try again later"));
	else if (session_is_counted(&peer, l->listen) &&
		 clients_is_full(l->front->clients, &peer, l->listen->limits.sessions_per_client))
		turn_away(
		    l, fd, &peer, SPAN("4.7.0"), SPAN("Too many connections from your address"));
	else
		session_new(l->front, fd, &peer, l->listen);
}

static const struct conf_listen *
listen_of(const struct config *config, unsigned index)
{
	for (size_t i = 0; i < config->n_listens; i++) {
		if (index < config->listens[i].n_addresses)
			return &config->listens[i];
		index -= (unsigned)config->listens[i].n_addresses;
	}
	return NULL;
}

static void
listener_let_go(struct front_listener *l)
{
	if (l->listen == NULL)
		return;
	acceptor_close(&l->acceptor);
	(void)close(l->fd); /* the supervisor has it still */
	l->listen = NULL;
}

static void
front_listener(struct role *role, unsigned number, int fd)
{
	const struct conf_listen *listen = listen_of(role->config, listener_index(number));
	struct front_listener *l = &listeners[number % LISTENERS_MAX];

	listener_let_go(l);
	if (fd < 0)
		return;
	if (listen == NULL || front.is_draining) {
		(void)close(fd); /* not one of this configuration, or for our successor */
		return;
	}
	*l = (struct front_listener){.listen = listen, .fd = fd, .front = &front};
	acceptor_open(&l->acceptor, role->loop, fd, on_client, l);
}

static void
load_recipients(struct front *f)
{
	struct err err = {0};

	if (f->recipients == NULL)
		f->recipients = mem_array(f->config->n_domains, sizeof(*f->recipients));
	for (size_t i = 0; i < f->config->n_domains; i++) {
		const struct conf_domain *d = &f->config->domains[i];
		struct span text;

		if (d->recipients != RECIPIENTS_FILE)
			continue;
		/* The supervisor has read and checked the file: without it we would refuse wrongly. */
		must(bundle_find(
		    buf_span(&f->bundle), BUNDLE_RECIPIENTS, span_str(d->recipients_file), &text));
		recipients_free(&f->recipients[i]);
		f->recipients[i] = recipients_parse(text, d->recipients_file, &err);
		must(f->recipients[i] != NULL);
	}
}

/* Sessions that run keep theirs.  The supervisor has had them looked at. */
static void
load_certificates(struct front *f)
{
	const struct conf_tls *tls = &f->config->tls;
	struct span chains[CONFIG_CERTIFICATES_MAX];
	struct ssl_ctx_st *next;
	struct err err = {0};

	if (tls->n_certificates == 0 || !config_needs_key(f->config))
		return;
	for (size_t i = 0; i < tls->n_certificates; i++)
		must(bundle_find(buf_span(&f->bundle), BUNDLE_CERTIFICATE,
		    span_str(tls->certificates[i]), &chains[i]));
	next = tls_server_new(
	    chains, tls->certificates, tls->n_certificates, tls->is_13_only, f->tickets, &err);
	if (next == NULL) {
		log_event(LOG_ERROR, "certificate refused", KV_STR("why", err.text));
		return;
	}
	tls_server_free(&f->tls);
	f->tls = next;
}

static void
report_problem(void *arg, const char *name, const char *what, const char *do_this)
{
	role_problem(arg, name, what, do_this);
}

/* New sessions use the new snapshot; those that run finish on the one they began with. */
static void
take_policy(struct role *role, struct policy_built *built)
{
	must(built->snapshot != NULL); /* the supervisor has compiled it before */
	snapshot_release(&front.snapshot);
	front.snapshot = built->snapshot;
	if (front.limited != 0)
		report_problem(role, "regex", "the policy has changed", NULL);
	front.limited = 0;
	if (front.has_unread)
		report_problem(role, "regexes", "the policy has changed", NULL);
	front.has_unread = false;
	front.needs_host = snapshot_needs(front.snapshot, FACET_HOST);
	buf_free(&front.bundle);
	front.bundle = built->bundle;
	policy_source_databases(
	    front.config, buf_span(&front.bundle), &front.countries, &front.networks);
	load_recipients(&front);
	load_certificates(&front);
	list_watch_follow(front.lists, front.snapshot);
	list_watch_follow(front.domain_lists, front.snapshot);
	pool_set_policy(front.workers, built->generation, buf_span(&built->content));
	buf_free(&built->content);
	log_event(LOG_INFO, "policy", KV_INT("generation", built->generation),
	    KV_INT("rules", snapshot_rule_count(front.snapshot)));
}

static void
on_built(void *arg, struct policy_built *built)
{
	take_policy(arg, built);
	spool_client_tell(front.spool, SPOOL_WORKS, 1, (struct span){0});
	role_policy_live(arg, built->generation);
}

static void
front_policy(struct role *role)
{
	policy_build_start(policy_build, &role->policy, role->policy_version);
}

static void
report_filter(void *arg, const struct conf_filter *filter, bool is_over)
{
	char name[128], what[256];

	(void)snprintf(
	    name, sizeof(name), "filter %s", filter->name); /* cut is fine, here and below */
	(void)snprintf(what, sizeof(what),
	    is_over ? "filter %.80s works again"
		    : "filter %.80s has failed %u times in a row and is not asked for a while: its "
		      "failure action is applied",
	    filter->name, filter->max_failures);
	role_problem(arg, name, what,
	    is_over ? NULL
		    : "look for \"worker died\" and for this filter in the log; it is tried again "
		      "by itself after its pause");
}

/* NULL: perhaps any of them. */
static void
on_works(void *arg, const struct conf_filter *filter)
{
	(void)arg;
	spool_client_tell(
	    front.spool, SPOOL_WORKS, 0, span_str(filter != NULL ? filter->name : NULL));
}

static void
watch_filter(struct span name)
{
	const struct config *c = front.config;

	for (size_t i = 0; i < c->n_flows; i++)
		for (size_t k = 0; k < c->flows[i].n_filters; k++) {
			const struct conf_filter *filter = c->flows[i].filters[k].filter;

			if (span_eq(name, SPAN("*")) || span_eq(name, span_str(filter->name)))
				pool_watch(front.workers, filter);
		}
}

static void
on_held(void *arg, struct message *m)
{
	(void)arg;
	if (m->type == SPOOL_AWAITS) {
		watch_filter(m->payload);
		return;
	}
	refilter_begin(&front, m->id, m->payload, m->fds[0]);
	m->fds[0] = -1;
}

static void
lost_lookup(void *arg)
{
	role_peer_lost(arg, ROLE_LOOKUP);
}

static void
lost_filter(void *arg)
{
	role_peer_lost(arg, ROLE_FILTER);
}

static void
lost_spool(void *arg)
{
	refilter_stop(&front, false);
	role_peer_lost(arg, ROLE_SPOOL);
}

static void
lost_key(void *arg)
{
	role_peer_lost(arg, ROLE_KEY);
}

/* What all fronts count together: our own page, which only we write, and those of the others. */
static int
map_tallies(struct role *role, struct err *err)
{
	const void *others[CONFIG_FRONTS_MAX];
	void *own = NULL;
	size_t n = 0;

	for (unsigned i = 0; i < role->config->fronts && i < CONFIG_FRONTS_MAX; i++) {
		bool is_own = i == role->instance;
		void *page = shared_map(role->tallies[i], TALLIES_BYTES, is_own);

		role->tallies[i] = -1;
		if (page == NULL)
			return err_set(
			    err, E_IO, "the supervisor sent no tallies of front %u", i + 1);
		if (is_own)
			own = page;
		else
			others[n++] = page;
	}
	if (own == NULL)
		return err_set(err, E_IO, "the supervisor sent no tallies of our own");
	front.tallies = tallies_over(own, others, n, role->tallies_secret);
	return 0;
}

/* Asked before the sandbox closes: inside it there is no such call. */
static void
look_at_limit(const struct role *role)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		files_set_limit(files.rlim_cur, role->n_listeners);
	front.sessions_max = files_sessions_max(WALK_SESSIONS_MAX);
}

/* Before the sandbox closes, and before OpenSSL reads what it would read by itself. */
static int
front_prepare(struct role *role, struct err *err)
{
	void *tickets;

	look_at_limit(role);
	content_set_budget(content_budget_of_machine() / role->config->fronts);
	front.keys = key_client_new(role->loop);
	key_client_on_lost(front.keys, lost_key, role);
	domain_prepare();
	if (remote_key_setup(&key_client_asker, front.keys, err) < 0)
		return -err->code;
	tickets = shared_map(role->tickets, TLS_TICKETS_BYTES, false);
	role->tickets = -1;
	if (tickets == NULL)
		return err_set(err, E_IO, "the supervisor sent no table of ticket keys");
	front.tickets = tls_tickets_over(tickets);
	return map_tallies(role, err);
}

/* How long an address that one of ours has written to is known: as the flow that keeps for longest
 * says.  No flow has a greylist: none is kept. */
static struct grey_client *
grey_of(const struct config *config)
{
	int64_t keep_ms = 0;

	for (size_t i = 0; i < config->n_flows; i++) {
		const struct conf_flow *f = &config->flows[i];

		if ((f->connect & CONNECT_GREYLIST) && f->greylist.keep_ms > keep_ms)
			keep_ms = f->greylist.keep_ms;
	}
	return keep_ms > 0 ? grey_client_new(keep_ms) : NULL;
}

static void
tell_hits(void *arg, struct span payload)
{
	channel_send(((struct role *)arg)->control, ROLE_HITS, 0, payload, NULL);
}

static void
front_start(struct role *role)
{
	struct policy_built built;

	front.loop = role->loop;
	front.config = role->config;
	front.dns = dns_client_new(role->loop);
	front.lists = list_watch_new(
	    role->loop, front.dns, LIST_OF_ADDRESSES, &role->config->dns, report_problem, role);
	front.domain_lists = list_watch_new(
	    role->loop, front.dns, LIST_OF_DOMAINS, &role->config->dns, report_problem, role);
	front.canaries = canary_watch_new(
	    role->loop, front.dns, (uint32_t)role->config->dns.timeout_ms, report_problem, role);
	front.workers = pool_new(role->loop);
	front.spool = spool_client_new(role->loop, role->config->n_gateways);
	dns_client_on_lost(front.dns, lost_lookup, role);
	pool_on_lost(front.workers, lost_filter, role);
	pool_on_breaker(front.workers, &(struct breakers_events){report_filter, on_works, role});
	spool_client_on_lost(front.spool, lost_spool, role);
	front.limits = limits_new(role->config, front.tallies);
	front.hits = hits_new(role->loop, tell_hits, role);
	front.grey = grey_of(role->config);
	list_init(&front.sessions);
	list_init(&front.refilters);
	spool_client_on_held(front.spool, on_held, role);
	front.clients = clients_new(front.tallies, 0);
	front.report = report_problem;
	front.report_arg = role;
	front.farewells = farewells_new(role->loop);
	log_event(LOG_INFO, "room", KV_INT("sessions", front.sessions_max));
	policy_build = policy_build_new(role->loop, on_built, role);
	policy_build_now(&role->policy, role->policy_version, &built);
	take_policy(role, &built);
}

static void
on_journal_message(void *arg, struct message *m)
{
	(void)arg;
	if (front.grey == NULL)
		return; /* no question was asked */
	if (m->type == JOURNAL_GREY_ENTRIES)
		grey_client_take(front.grey, m->payload);
	else if (m->type == JOURNAL_GREY_ENTRY)
		grey_client_hear(front.grey, m->payload);
}

static void
tell_grey_of_journal(void)
{
	if (front.grey != NULL)
		grey_client_connect(front.grey, front.journal);
}

static void
on_journal_close(void *arg)
{
	struct role *role = arg;

	channel_free(&front.journal);
	tell_grey_of_journal();
	role_peer_lost(role, ROLE_JOURNAL);
}

static const struct channel_events journal_events = {on_journal_message, on_journal_close};

static void
front_peer(struct role *role, unsigned place, int fd)
{
	switch (place_role(place)) {
	case ROLE_LOOKUP:
		dns_client_connect(front.dns, fd);
		break;
	case ROLE_FILTER:
		pool_connect(front.workers, fd);
		break;
	case ROLE_SPOOL:
		refilter_stop(&front, false); /* of its predecessor */
		spool_client_connect(front.spool, fd);
		break;
	case ROLE_KEY:
		key_client_connect(front.keys, fd);
		break;
	case ROLE_JOURNAL:
		channel_free(&front.journal);
		front.journal = channel_new(role->loop, fd, &journal_events, role);
		tell_grey_of_journal();
		break;
	case ROLE_SUPERVISOR:
	case ROLE_FRONT:
	case ROLE_WEB:
		(void)close(fd); /* no peers of ours */
		break;
	}
}

static void
reply_status(struct role *role, uint64_t id)
{
	struct buf b = BUF_INIT(FRONT_STATUS_MAX);
	struct json lists = {.to = &b};

	(void)buf_addf(&b,
	    "{\"front\":{\"sessions\":%zu,\"connections\":%llu,\"accepted\":%llu,\"refused\":%llu,"
	    "\"workers\":%zu,\"idle_workers\":%zu,\"journal_dropped\":%llu,"
	    "\"tls\":%llu,\"tls_failed\":%llu,\"auth_failed\":%llu,\"turned_away\":%llu,"
	    "\"handshakes\":%zu,\"sessions_max\":%zu,\"memory_held\":%llu,"
	    "\"regex_limits\":%llu,\"regexes_not_tried\":%llu},\"dnsbl\":",
	    front.n_sessions, (unsigned long long)front.n_connections,
	    (unsigned long long)front.n_accepted, (unsigned long long)front.n_refused,
	    pool_size(front.workers), pool_idle(front.workers),
	    (unsigned long long)front.n_journal_dropped, (unsigned long long)front.n_tls,
	    (unsigned long long)front.n_tls_failed, (unsigned long long)front.n_auth_failed,
	    (unsigned long long)front.n_turned_away, front.n_handshakes, front.sessions_max,
	    (unsigned long long)content_held(), (unsigned long long)front.n_limits,
	    (unsigned long long)front.n_unread);
	json_open(&lists, NULL, '{');
	list_watch_counts(front.lists, &lists);
	list_watch_counts(front.domain_lists, &lists);
	json_close(&lists, '}');
	(void)buf_add_char(&b, '}'); /* bounded: POLICY_LISTS_MAX */
	role_reply(role, id, buf_span(&b));
	role_reply_end(role, id, EXIT_OK, (struct span){0});
	buf_free(&b);
}

static void
reply_conduct(struct role *role, uint64_t id, const struct control_request *r)
{
	struct buf b = BUF_INIT(CONTROL_CHUNK_MAX);
	struct err err = {0};

	if (conduct_tell(&front, r, &b, &err) == 0)
		role_reply(role, id, buf_span(&b));
	role_reply_end(role, id, err.code == 0 ? EXIT_OK : EXIT_NO, span_str(err.text));
	buf_free(&b);
}

static void
front_request(struct role *role, uint64_t id, const struct control_request *r)
{
	if (r->n_words == 1 && span_eq(r->words[0], SPAN("status"))) {
		reply_status(role, id);
	} else if (r->n_words == 2 && span_eq(r->words[1], SPAN("hits"))) {
		hits_tell(front.hits); /* on the same channel: there before the end of this */
		role_reply_end(role, id, EXIT_OK, (struct span){0});
	} else if (r->n_words > 0 && span_eq(r->words[0], SPAN("conduct"))) {
		reply_conduct(role, id, r);
	} else {
		role_reply_end(role, id, EXIT_USAGE, SPAN("unknown request"));
	}
}

/* What the last sessions hit goes out with the loop's last turn. */
static void
on_turn_while_ending(void *arg)
{
	hits_tell(arg);
}

/* No new clients (they wait in the listeners' backlog for our successor); the rest finishes. */
static void
front_stop(struct role *role)
{
	for (size_t i = 0; i < LISTENERS_MAX; i++)
		listener_let_go(&listeners[i]);
	front.is_draining = true;
	loop_at_turn_end(role->loop, on_turn_while_ending, front.hits);
	refilter_stop(&front, true);
	spool_client_hurry(front.spool);
	if (front.n_sessions == 0)
		loop_stop(role->loop);
	LIST_FOR_SAFE (it, &front.sessions)
		session_drain(LIST_ENTRY(it, struct session, node));
}

static const struct role_ops ops = {
    .id = ROLE_FRONT,
    .prepare = front_prepare,
    .start = front_start,
    .peer = front_peer,
    .listener = front_listener,
    .policy = front_policy,
    .request = front_request,
    .stop = front_stop,
};

int
main(int argc, char **argv)
{
	return role_main(&ops, argc, argv);
}

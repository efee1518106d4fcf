/* Front decides again about a message that was held: with the facts of then and the policy of now. */
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/ipc/held.h"
#include "relay/ipc/hits.h"
#include "relay/message/received.h"
#include "relay/walk/walk.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define RECEIVED "Received: from x by y\r\n"
#define SECTION  "Subject: x\r\nX-Mailer: y\r\n"
#define BODY     "\r\nhello\r\n"
#define ID       "01JD0000000000000000000000"

enum { TURNS = 10, JOB = 5 };

/* These live as long as the process. */
static struct loop *loop;
static struct spool_client *spool;
static struct worker_pool *workers;
static struct list_watch *lists;
static struct front front;
static struct conf_gateway gateway = {.name = "inside"};
static struct conf_flow flow;
static struct conf_listen listening;
static struct config config;
static int spool_end;

static void
turn(void)
{
	for (int i = 0; i < TURNS; i++)
		loop_turn(loop, 0);
}

static void
report(void *arg, const char *name, const char *what, const char *do_this)
{
	(void)arg;
	(void)name;
	(void)what;
	(void)do_this;
}

static void
use_policy(const char *text)
{
	struct policy_errors errors = {0};
	static uint64_t version;

	snapshot_release(&front.snapshot);
	front.snapshot = snapshot_parse(span_str(text), "p", NULL, NULL, &errors);
	if (front.snapshot == NULL)
		fail_msg("%.*s", SPAN_ARG(buf_span(&errors.lines)));
	snapshot_set_version(front.snapshot, ++version);
	pool_set_policy(workers, version, (struct span){0});
	list_watch_follow(lists, front.snapshot);
}

static int
setup(void **state)
{
	int ends[2];

	(void)state;
	clock_fake(1000, 1700000000000LL);
	flow = (struct conf_flow){.name = "inbound",
	    .relay = RELAY_ANY,
	    .gateway = &gateway,
	    .connect = CONNECT_ACCESS | CONNECT_DNSBL,
	    .max_size = 1000000,
	    .max_recipients = 10};
	listening =
	    (struct conf_listen){.name = "mx", .flow = &flow, .limits = conf_limits_default};
	config = (struct config){.hostname = "mx.example.org",
	    .postmaster = "postmaster@example.org",
	    .flows = &flow,
	    .n_flows = 1};
	front = (struct front){
	    .loop = loop, .config = &config, .spool = spool, .workers = workers, .lists = lists};
	list_init(&front.sessions);
	list_init(&front.refilters);
	front.tallies = tallies_new();
	front.clients = clients_new(front.tallies, 0);
	front.limits = limits_new(&config, front.tallies);
	use_policy("");
	channel_pair(ends);
	spool_client_connect(spool, ends[0]);
	spool_end = ends[1];
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	refilter_stop(&front, false);
	assert_int_equal(content_held(), 0);
	(void)close(spool_end);
	turn();
	clients_free(&front.clients);
	limits_free(&front.limits);
	tallies_free(&front.tallies);
	snapshot_release(&front.snapshot);
	clock_fake(0, -1);
	return 0;
}

/* --- what the spool asks -------------------------------------------------------------------------- */

static const struct held_list held_lists[] = {{.zone = {"bad.example", 11},
						  .of = LIST_OF_CLIENT,
						  .state = LIST_LISTED,
						  .address = 0x7f000002},
    {.zone = {"good.example", 12}, .of = LIST_OF_CLIENT, .state = LIST_NOT_LISTED}};
static const struct commit_rcpt rcpts[] = {
    {.address = {"a@example.org", 13}, .gateway = {"inside", 6}},
    {.address = {"postmaster@example.org", 22}, .gateway = {"gone", 4}}};

static struct held
some_held(void)
{
	struct held h = {.id = SPAN(ID),
	    .part = SPAN(ID "-H1"),
	    .flow = SPAN("inbound"),
	    .from = SPAN("alice@sender.example"),
	    .received = SPAN(RECEIVED),
	    .section = sizeof(SECTION) - 1,
	    .size = sizeof(SECTION BODY) - 1,
	    .rcpts = rcpts,
	    .n_rcpts = 2,
	    .facts = {.has_host = true,
		.host = SPAN("mail.sender.example"),
		.helo = SPAN("odd"),
		.user = SPAN("bob"),
		.tls = SPAN("TLSv1.3"),
		.lists = held_lists,
		.n_lists = 2}};

	must(ip_parse(SPAN("192.0.2.7"), &h.facts.client));
	return h;
}

static void
ask(const struct held *h, int fd)
{
	struct buf facts = BUF_INIT(HELD_FACTS_MAX), b = BUF_INIT(1 << 20);

	held_facts_put(&facts, &h->facts);
	held_put(&b, h, buf_span(&facts));
	refilter_begin(&front, JOB, buf_span(&b), fd);
	buf_free(&facts);
	buf_free(&b);
	turn();
}

/* What front says: the message is kept until the next one. */
static uint16_t
answer(struct replacement *r, size_t n_asked)
{
	static struct replacement_room room;
	static struct buf b;
	struct message m;

	assert_int_equal(channel_receive(spool_end, &m, &b, 1000), 0);
	assert_int_equal(m.id, JOB);
	if (m.type == SPOOL_REPLACE)
		assert_int_equal(replacement_get(m.payload, n_asked, r, &room), 0);
	return m.type;
}

static const struct commit_copy *
copy_for(const struct replacement *r, uint32_t rcpt)
{
	for (size_t i = 0; i < r->commit.n_rcpts; i++)
		if (r->asked[i] == rcpt)
			return &r->commit.copies[r->commit.rcpts[i].copy];
	fail_msg("nothing is said of recipient %u", rcpt);
	return NULL;
}

/* --- what front says ------------------------------------------------------------------------------ */

/* Each fact reaches the rules, and of each action there is one fate. */
static void
test_facts(void **state)
{
	static const struct {
		const char *policy;
		enum copy_fate fate, postmaster;
	} rows[] = {
	    {"", COPY_DELIVER, COPY_DELIVER},
	    {"reject client 192.0.2.7", COPY_QUARANTINE, COPY_DELIVER},
	    {"reject client 192.0.2.8", COPY_DELIVER, COPY_DELIVER},
	    {"keep host .sender.example", COPY_QUARANTINE, COPY_DELIVER},
	    {"quarantine helo odd", COPY_QUARANTINE, COPY_QUARANTINE},
	    {"discard from @sender.example", COPY_DISCARD, COPY_DISCARD},
	    {"hold to a@example.org", COPY_HOLD, COPY_DELIVER},
	    {"tempfail tls TLSv1.3", COPY_HOLD, COPY_DELIVER},
	    {"hold auth bob", COPY_HOLD, COPY_HOLD},
	    {"tag x client *", COPY_DELIVER, COPY_DELIVER},
	    {"dnsbl bad.example reject", COPY_QUARANTINE, COPY_DELIVER},
	    {"dnsbl other.example reject\ndnsbl good.example reject", COPY_DELIVER, COPY_DELIVER},
	    {"accept from *\nreject to a@example.org", COPY_DELIVER, COPY_DELIVER},
	};
	struct held h = some_held();
	struct replacement r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		use_policy(rows[i].policy);
		ask(&h, channel_seal(SPAN(SECTION BODY), "m"));
		assert_int_equal(answer(&r, 2), SPOOL_REPLACE);
		if (copy_for(&r, 0)->fate != rows[i].fate ||
		    copy_for(&r, 1)->fate != rows[i].postmaster)
			fail_msg("%s: %d %d", rows[i].policy, (int)copy_for(&r, 0)->fate,
			    (int)copy_for(&r, 1)->fate);
		assert_false(r.is_deadly);
		assert_true(list_is_empty(&front.refilters));
	}
}

static void
test_headers(void **state)
{
	struct held h = some_held();
	const struct commit_copy *c;
	struct replacement r;

	(void)state;
	use_policy("tag odd helo odd\nhold to a@example.org");
	ask(&h, channel_seal(SPAN(SECTION BODY), "m"));
	assert_int_equal(answer(&r, 2), SPOOL_REPLACE);
	c = copy_for(&r, 1);
	assert_true(c->is_tagged);
	assert_true(span_starts(c->prefix, SPAN(RECEIVED "X-Postern-Tag: odd;")));
	assert_true(span_ends_nocase(c->prefix, SPAN("id=" ID "\r\n" SECTION)));
	c = copy_for(&r, 0);
	assert_int_equal(c->fate, COPY_HOLD);
	assert_int_equal(c->prefix.n, 0);
	assert_true(span_starts(c->why, SPAN("rule 2: hold to")));
	assert_int_equal(c->waits_for.n, 0);
	assert_true(replacement_is_of(&r, h.section, h.size));
	assert_true(span_eq(r.commit.rcpts[0].address, SPAN("a@example.org")));
}

/* Nobody can look at it, and a rule wants to: it waits for whoever works first. */
static void
test_no_worker(void **state)
{
	struct held h = some_held();
	struct replacement r;

	(void)state;
	use_policy("reject subject x");
	ask(&h, channel_seal(SPAN(SECTION BODY), "m"));
	assert_false(list_is_empty(&front.refilters));
	clock_fake(1000 + POOL_WAIT_MS, 1700000000000LL);
	turn();
	assert_int_equal(answer(&r, 2), SPOOL_REPLACE);
	assert_int_equal(copy_for(&r, 0)->fate, COPY_HOLD);
	assert_true(span_eq(copy_for(&r, 0)->waits_for, SPAN("*")));
}

/* A header section that has no room for ours: it stays, and says why. */
static void
test_too_long(void **state)
{
	struct held h = some_held();
	struct replacement r;
	static char section[COMMIT_HEADER_MAX];
	struct span bytes = span_of(section, sizeof(section));

	(void)state;
	memset(section, 'a', sizeof(section));
	h.section = h.size = sizeof(section);
	ask(&h, channel_seal(bytes, "m"));
	assert_int_equal(answer(&r, 2), SPOOL_REPLACE);
	assert_int_equal(copy_for(&r, 0)->fate, COPY_HOLD);
	assert_true(span_starts(copy_for(&r, 1)->why, SPAN("The message's header section")));
	assert_true(replacement_is_of(&r, h.section, h.size));
}

/* Copies that do not fit into one message of the spool together: it is to ask for fewer. */
static void
test_split(void **state)
{
	enum { RCPTS = 70 };
	static struct commit_rcpt many[RCPTS];
	static char section[COMMIT_HEADER_MAX - 2048], names[RCPTS][24];
	struct buf policy = BUF_INIT(1 << 16);
	struct held h = some_held();
	struct replacement r;

	(void)state;
	memset(section, 'a', sizeof(section));
	for (size_t i = 0; i < RCPTS; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "r%zu@example.org", i);
		many[i] =
		    (struct commit_rcpt){.address = span_str(names[i]), .gateway = SPAN("inside")};
		assert_int_equal(buf_addf(&policy, "tag t%zu to %s\n", i, names[i]), 0);
	}
	assert_int_equal(buf_add(&policy, "", 1), 0);
	use_policy(policy.p);
	h.section = h.size = sizeof(section);
	h.rcpts = many;
	h.n_rcpts = RCPTS;
	ask(&h, channel_seal(span_of(section, sizeof(section)), "m"));
	assert_int_equal(answer(&r, RCPTS), SPOOL_SPLIT);
	assert_true(list_is_empty(&front.refilters));
	h.n_rcpts = RCPTS / 2;
	ask(&h, channel_seal(span_of(section, sizeof(section)), "m"));
	assert_int_equal(answer(&r, RCPTS / 2), SPOOL_REPLACE);
	assert_int_equal(r.commit.n_copies, RCPTS / 2);
	assert_int_equal(copy_for(&r, 0)->fate, COPY_DELIVER);
	buf_free(&policy);
}

static void
test_put_back(void **state)
{
	struct held h = some_held(), other = some_held(), longer = some_held();
	struct replacement r;
	int open_fd = memfd_create("m", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	other.flow = SPAN("gone");
	ask(&other, channel_seal(SPAN(SECTION BODY), "m"));
	assert_int_equal(answer(&r, 2), SPOOL_PUT_BACK);
	longer.size++;
	ask(&longer, channel_seal(SPAN(SECTION BODY), "m"));
	assert_int_equal(answer(&r, 2), SPOOL_PUT_BACK);
	assert_true(write(open_fd, SECTION BODY, h.size) == (ssize_t)h.size);
	ask(&h, open_fd); /* it could still be changed */
	assert_int_equal(answer(&r, 2), SPOOL_PUT_BACK);
	ask(&h, -1);
	assert_int_equal(answer(&r, 2), SPOOL_PUT_BACK);
	refilter_begin(&front, JOB, SPAN("nonsense"), -1);
	turn();
	assert_int_equal(answer(&r, 2), SPOOL_PUT_BACK);
	/* At its end front gives back what it has, and takes no more. */
	use_policy("reject subject x");
	ask(&h, channel_seal(SPAN(SECTION BODY), "m"));
	front.is_draining = true;
	refilter_stop(&front, true);
	turn();
	assert_int_equal(answer(&r, 2), SPOOL_PUT_BACK);
	ask(&h, channel_seal(SPAN(SECTION BODY), "m"));
	assert_int_equal(answer(&r, 2), SPOOL_PUT_BACK);
}

/* --- from the first time to the second ------------------------------------------------------------- */

static int
send_live(void)
{
	static const char text[] = "EHLO client.example\r\nMAIL FROM:<alice@sender.example>\r\n"
				   "RCPT TO:<a@example.org>\r\nDATA\r\n";
	static const char message[] = "X-Postern-Tag: forged\r\n" SECTION "\r\nhello\r\n.\r\n";
	struct ip ip;
	int ends[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	must(ip_parse(SPAN("192.0.2.7"), &ip));
	session_new(&front, ends[0], &ip, &listening);
	must(send(ends[1], text, sizeof(text) - 1, 0) == (ssize_t)sizeof(text) - 1);
	turn();
	must(send(ends[1], message, sizeof(message) - 1, 0) == (ssize_t)sizeof(message) - 1);
	turn();
	return ends[1];
}

static void
test_there_and_back(void **state)
{
	static struct commit_room room;
	struct held_list room_of_lists[HELD_LISTS_MAX];
	struct buf b = {0};
	struct held h = some_held();
	struct replacement r;
	struct commit c;
	struct message m;
	int client;

	(void)state;
	use_policy("tag here client *\nhold client 192.0.2.7\n");
	client = send_live();
	assert_int_equal(channel_receive(spool_end, &m, &b, 1000), 0);
	assert_int_equal(m.type, SPOOL_COMMIT);
	assert_int_equal(commit_get(m.payload, &c, &room), 0);
	assert_int_equal(c.n_copies, 1);
	assert_int_equal(c.copies[0].fate, COPY_HOLD);
	assert_true(c.copies[0].is_tagged); /* and may not be bounced */
	/* As it came, without the forged field, below our Received. */
	assert_true(span_eq(span_skip(c.copies[0].prefix, c.received), SPAN(SECTION)));
	assert_int_equal(held_facts_get(c.facts, &h.facts, room_of_lists), 0);
	assert_true(span_eq(h.facts.helo, SPAN("client.example")));
	h.received = span_take(c.copies[0].prefix, c.received);
	h.n_rcpts = 1;
	use_policy("tag there client 192.0.2.7  helo client.example\n");
	ask(&h, channel_seal(SPAN(SECTION BODY), "m"));
	assert_int_equal(answer(&r, 1), SPOOL_REPLACE);
	assert_int_equal(r.commit.copies[0].fate, COPY_DELIVER);
	assert_true(span_starts(r.commit.copies[0].prefix, h.received));
	assert_true(span_starts(
	    span_skip(r.commit.copies[0].prefix, h.received.n), SPAN("X-Postern-Tag: there;")));
	assert_int_equal(received_count(r.commit.copies[0].prefix), 1);
	buf_free(&b);
	(void)close(client);
	turn();
	assert_int_equal(front.n_sessions, 0);
}

static void
on_hits(void *arg, struct span payload)
{
	struct wire w = wire_over(payload);
	struct hits_entry e;

	while (hits_entry_get(&w, &e))
		*(uint64_t *)arg += e.hits;
}

/* A rule has matched when the mail came, however often that is filtered again. */
static void
test_hits_count_once(void **state)
{
	struct held h = some_held();
	struct replacement r;
	struct buf b = {0};
	struct message m;
	uint64_t n_hits = 0;
	int client;

	(void)state;
	use_policy("tag here client *\nobserve reject from *\ntag a to *\nhold client 192.0.2.7\n");
	front.hits = hits_new(loop, on_hits, &n_hits);
	client = send_live();
	hits_tell(front.hits);
	assert_int_equal(n_hits, 4);
	n_hits = 0;
	assert_int_equal(channel_receive(spool_end, &m, &b, 1000), 0);
	assert_int_equal(m.type, SPOOL_COMMIT);
	ask(&h, channel_seal(SPAN(SECTION BODY), "m"));
	assert_int_equal(answer(&r, 2), SPOOL_REPLACE);
	assert_int_equal(copy_for(&r, 0)->fate, COPY_HOLD);
	hits_tell(front.hits);
	assert_int_equal(n_hits, 0);
	hits_free(&front.hits);
	buf_free(&b);
	(void)close(client);
	turn();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_facts),
	    TEST(test_headers),
	    TEST(test_no_worker),
	    TEST(test_too_long),
	    TEST(test_split),
	    TEST(test_put_back),
	    TEST(test_there_and_back),
	    TEST(test_hits_count_once),
	};
	int failed;

	loop = loop_new();
	spool = spool_client_new(loop, 1);
	workers = pool_new(loop);
	lists = list_watch_new(loop, dns_client_new(loop), LIST_OF_ADDRESSES,
	    &(struct conf_dns){.probe_ms = 1000}, report, NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pool_free(&workers);
	return failed;
}

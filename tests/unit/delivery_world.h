/*
 * delivery_world.h - steps 7 and 8 with two fake gateways of one name, a spool in memory and a fake
 * clock: what test_delivery.c and test_through.c stand on.
 */
#ifndef TEST_DELIVERY_WORLD_H
#define TEST_DELIVERY_WORLD_H
#include "relay/base/clock.h"
#include "relay/deliver/show.h"
#include "relay/walk/hold.h"
#include "tests/unit/fake_gateway.h"
#include "tests/unit/fake_quarantine.h"
#include "tests/unit/fake_spool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum {
	TURNS_MAX = 20000,
	QUIET_TURNS = 25,
	MINUTE_MS = 60 * 1000,
	HOUR_MS = 60 * MINUTE_MS,
	CONNECTIONS = 20 /* to each server */
};
#define WALL_MS 1700000000000LL

static struct loop *loop;
static struct fake fakes[2];
static struct conf_server servers[2];
static struct conf_gateway gateways[1];
static struct conf_domain domains[1];
static struct conf_flow flows[1];
static struct config config;
static struct delivery d;
static int64_t now_ms;
static char problem[256];

static inline void
on_problem(void *arg, const char *name, const char *what, const char *do_this)
{
	(void)arg;
	(void)name;
	(void)span_copy(span_str(do_this != NULL ? what : ""), problem, sizeof(problem));
}

/* What on_through said last: 250, or the refusal's code; 0: nothing yet. */
static int answer;
static char answer_text[512], answer_enhanced[16];

static inline void
on_through(void *arg, const struct arrival *a, const struct refusal *refusal)
{
	(void)arg;
	assert_int_equal(a->front_id, 7);
	assert_int_equal(answer, 0); /* once */
	answer = refusal != NULL ? refusal->code : 250;
	if (refusal != NULL) {
		(void)span_copy(refusal->text, answer_text, sizeof(answer_text));
		(void)span_copy(refusal->enhanced, answer_enhanced, sizeof(answer_enhanced));
	}
}

static inline void
on_arrival(void *arg, struct arrival *a, const struct err *err)
{
	(void)arg;
	if (a->is_kept)
		through_arrived(&d, a, err);
	else if (a->is_refiltered)
		again_arrived(&d, a, err);
	else if (a->is_notice)
		settle_notice(&d, a, err);
	else if (err == NULL)
		deliver_start(&d, a->entry);
}

static inline void
set_clock(int64_t ms)
{
	now_ms = ms;
	clock_fake(1000 + ms, WALL_MS + ms);
}

static inline void
start_delivery(void)
{
	d = (struct delivery){.on_problem = on_problem, .on_through = on_through};
	answer = 0;
	answer_text[0] = '\0';
	delivery_init(&d, loop, &config);
	d.spool = &fake_spool;
	d.quarantine = &fake_quarantine;
	fake_quarantine.events = &aside_events;
	fake_quarantine.arg = &d;
	d.intake = intake_new(on_arrival, NULL);
	d.courier = courier_new(loop, d.spool, "mx.example.org", &deliver_events, &d);
}

static inline int
set_up(void **state)
{
	(void)state;
	set_clock(0);
	problem[0] = '\0';
	fake_spool_clear();
	fake_quarantine_clear();
	loop = loop_new();
	for (int i = 0; i < 2; i++) {
		fake_init(&fakes[i], loop);
		fake_listen(&fakes[i], 0);
		servers[i] = (struct conf_server){.text = "127.0.0.1",
		    .port = fakes[i].port,
		    .preference = 10u * ((uint32_t)i + 1),
		    .weight = 1};
		must(ip_parse(SPAN("127.0.0.1"), &servers[i].ip));
	}
	gateways[0] = (struct conf_gateway){.name = "exchange",
	    .servers = servers,
	    .n_servers = 2,
	    .connections = CONNECTIONS,
	    .timeouts = conf_timeouts_default};
	domains[0] = (struct conf_domain){.name = "example.org", .gateway = &gateways[0]};
	flows[0] = (struct conf_flow){.name = "inbound", .relay = RELAY_DOMAINS};
	config = (struct config){.hostname = "mx.example.org",
	    .postmaster = "postmaster@example.org",
	    .domains = domains,
	    .n_domains = 1,
	    .flows = flows,
	    .n_flows = 1,
	    .gateways = gateways,
	    .n_gateways = 1};
	config.queue = (struct conf_queue){.retry_ms = {5 * MINUTE_MS, 15 * MINUTE_MS},
	    .n_retry = 2,
	    .warn_after_ms = 4 * HOUR_MS,
	    .expire_after_ms = 24 * HOUR_MS};
	start_delivery();
	return 0;
}

static inline int
tear_down(void **state)
{
	(void)state;
	delivery_free(&d);
	for (int i = 0; i < 2; i++)
		fake_free(&fakes[i]);
	loop_free(&loop);
	fake_spool_clear();
	fake_quarantine_clear();
	clock_fake(0, -1);
	return 0;
}

/* The committer's part: everything put is durable, or nothing is. */
static inline void
commit(bool is_fine)
{
	struct err err = {.code = E_IO, .text = "disk gone"};

	for (size_t i = 0; i < fake_spool.n; i++) {
		struct spool_message *m = &fake_spool.messages[i];

		if (m->is_committed)
			continue;
		m->is_committed = true;
		m->is_live = is_fine;
		intake_committed(d.intake, m->cookie, is_fine ? m : NULL, is_fine ? NULL : &err);
	}
}

/* Until nothing is under way; then some turns more, for what only a trial or a close brings. */
static inline void
run_with(bool commits)
{
	int quiet = 0;

	for (int i = 0; i < TURNS_MAX && quiet < QUIET_TURNS; i++) {
		bool has_letters = commits && fake_quarantine_end(0);

		loop_turn(loop, 1);
		if (commits)
			commit(true);
		quiet = courier_active(d.courier) > 0 || has_letters ? 0 : quiet + 1;
	}
	assert_int_equal(courier_active(d.courier), 0);
}

static inline void
run(void)
{
	run_with(true);
}

static inline void
run_at(int64_t ms)
{
	set_clock(ms);
	run();
}

static inline void
accept_one(
    struct span id, struct span from, bool is_tagged, const struct commit_rcpt *rcpts, size_t n)
{
	const struct commit_copy copies[] = {
	    {.prefix = SPAN("Subject: hello\r\n\r\n"), .is_tagged = is_tagged},
	    {.prefix = SPAN("Subject: kept\r\n\r\n"),
		.fate = COPY_QUARANTINE,
		.why = SPAN("suspicious: antivirus")},
	    {.prefix = SPAN("Subject: other\r\n\r\n")},
	    {.prefix = SPAN("Subject: later\r\n\r\n"),
		.fate = COPY_HOLD,
		.why = SPAN("unscanned: antivirus")}};
	struct envelope envelope = {.flow = SPAN("inbound"),
	    .from = from,
	    .received_ms = clock_wall_ms(),
	    .copies = copies,
	    .n_copies = 4,
	    .rcpts = rcpts,
	    .n_rcpts = n};
	struct arrival a = {0};
	struct intake_body body = {.body = SPAN("text\r\n"), .fd = -1, .size = 6};

	must(intake_put(d.intake, d.spool, &a, id, &envelope, &body) == 0);
	commit(true);
}

static inline void
accept_mail(struct span from, bool is_tagged, const struct commit_rcpt *rcpts, size_t n)
{
	accept_one(SPAN("MAIL1"), from, is_tagged, rcpts, n);
}

#define RCPT(a, g)                                                             \
	{                                                                      \
		.address = {a, sizeof(a) - 1}, .gateway = { g, sizeof(g) - 1 } \
	}

static const struct commit_rcpt good[] = {RCPT("ok@example.org", "exchange")};
static const struct commit_rcpt bad[] = {RCPT("bad@example.org", "exchange")};
/* Nobody takes it: it is held. */
static const struct commit_rcpt lost[] = {RCPT("ok@other.example", "old")};
static const struct commit_rcpt mixed[] = {
    RCPT("ok@example.org", "exchange"), RCPT("bad@example.org", "exchange")};
#define SENDER SPAN("sender@example.org")

static inline struct queue_entry *
mail(void)
{
	return queue_find(d.queue, SPAN("MAIL1"));
}

static inline bool
gateway_got(const char *text)
{
	for (int i = 0; i < 2; i++)
		if (fakes[i].data.n > 0 &&
		    memmem(fakes[i].data.p, fakes[i].data.n, text, strlen(text)) != NULL)
			return true;
	return false;
}

static inline void
stop_gateways(void)
{
	for (int i = 0; i < 2; i++)
		fake_stop(&fakes[i]);
}

#endif

/*
 * Steps 7 and 8 under random gateways, clocks, disks, admins and restarts.  After all that everything
 * works again, and time alone must bring every recipient of every acknowledged message to exactly
 * one end; nothing comes twice but after an uncertain end or a kill.
 *
 * WALK_ROUNDS is how many worlds are tried, WALK_SEED the first: a failure names its seed.
 */
#include "tests/unit/random_world.h"

/* --- mail -------------------------------------------------------------------------------------- */

static void
some_mail(void)
{
	static const struct span senders[] = {
	    {"s@a.example", 11}, {"s@b.example", 11}, {"s@nowhere.example", 17}, {NULL, 0}};
	static const char *const names[] = {"a", "b", "c"};
	static const unsigned notify[] = {0, 0, NOTIFY_NEVER, NOTIFY_SUCCESS,
	    NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, NOTIFY_FAILURE};
	struct commit_copy copies[3];
	struct commit_rcpt rcpts[LEDGER_RCPTS];
	char texts[3][TEXT_MAX], id[SPOOL_ID_MAX + 1], body[TEXT_MAX];
	struct commit c = {.flow = SPAN("inbound"), .copies = copies, .rcpts = rcpts};
	struct arrival a = {.front_id = n_ledger};
	struct ledger_mail *m;
	struct envelope e;
	struct intake_body b = {.fd = -1};
	struct transit *t = NULL;

	if (n_mails == MAILS)
		return;
	(void)snprintf(id, sizeof(id), "MAIL%zu", n_mails++);
	c.id = span_str(id);
	c.from = senders[rng_below(4)];
	m = ledger_add(c.id);
	for (c.n_copies = 0; c.n_copies == 0 || (c.n_copies < 3 && one_in(3)); c.n_copies++) {
		(void)snprintf(texts[c.n_copies], TEXT_MAX, "Subject: copy %zu\r\n", c.n_copies);
		copies[c.n_copies] = (struct commit_copy){.prefix = span_str(texts[c.n_copies]),
		    .is_tagged = one_in(4),
		    .fate = one_in(6)   ? COPY_QUARANTINE
			    : one_in(8) ? COPY_HOLD
					: COPY_DELIVER,
		    .why = SPAN("suspicious")};
	}
	while (c.n_rcpts == 0 || (c.n_rcpts < LEDGER_RCPTS && !one_in(3))) {
		char address[LEDGER_ADDRESS];
		const char *name = names[rng_below(3)];

		(void)snprintf(address, sizeof(address), "%sr%zu@%s.example", id, c.n_rcpts, name);
		ledger_add_rcpt(m, span_str(address));
		rcpts[c.n_rcpts] =
		    (struct commit_rcpt){.address = span_str(m->rcpts[c.n_rcpts].address),
			.gateway = span_str(name),
			.copy = rng_below((uint32_t)c.n_copies),
			.notify = notify[rng_below(6)]};
		c.n_rcpts++;
	}
	e = (struct envelope){.flow = c.flow,
	    .from = c.from,
	    .received_ms = wall_ms,
	    .copies = copies,
	    .n_copies = c.n_copies,
	    .rcpts = rcpts,
	    .n_rcpts = c.n_rcpts};
	(void)snprintf(body, sizeof(body), "\r\n%s\r\n", id);
	b.body = span_str(body);
	b.size = c.body_size = b.body.n;
	if (through_is_fit(&d, &c))
		t = transit_new(c.id, &e, &b);
	if (t != NULL)
		through_begin(&d, &a, t, mono_ms);
	else
		must(intake_put(d.intake, d.spool, &a, c.id, &e, &b) == 0);
}

/* --- disks ------------------------------------------------------------------------------------- */

static void
commit_some(void)
{
	struct err err = {.code = one_in(2) ? E_IO : E_FULL, .text = "disk"};

	for (size_t i = 0; i < fake_spool.n; i++) {
		struct spool_message *m = &fake_spool.messages[i];

		if (m->is_committed || (!is_calm && one_in(3)))
			continue;
		m->is_committed = true;
		m->is_live = is_calm || !one_in(4);
		intake_committed(
		    d.intake, m->cookie, m->is_live ? m : NULL, m->is_live ? NULL : &err);
	}
}

static void
some_trouble(void)
{
	switch (rng_below(5)) {
	case 0:
		fake_spool.is_unreadable = one_in(2);
		break;
	case 1:
		fake_spool.refuses_notes = true;
		break;
	case 2:
		fake_spool_write(false);
		break;
	case 3:
		fake_quarantine.is_full = one_in(2);
		break;
	default:
		if (fake_spool.n > 0)
			fake_spool.messages[rng_below((uint32_t)fake_spool.n)].verify_steps = 3;
		if (fake_spool.n > 0 && one_in(4))
			fake_spool.messages[rng_below((uint32_t)fake_spool.n)].is_damaged = true;
		break;
	}
}

/* --- admins ------------------------------------------------------------------------------------ */

static void
order(struct queue_entry *e, const struct selection *s)
{
	enum admin_verb verb = (enum admin_verb)rng_below(ADMIN_VERBS);
	const char *why = NULL;

	if (verb == ADMIN_DELETE && one_in(2))
		verb = ADMIN_RETRY;
	(void)admin_do(&d, e, verb, s, rng_below(3) * 1000, &why);
}

static void
some_order(void)
{
	struct selection s = {.until_ms = INT64_MAX, .by = "joe"};
	struct queue_cursor cursor;
	struct queue_entry *e;
	struct span id;

	if (n_ledger == 0)
		return;
	if (!one_in(6)) {
		const struct ledger_mail *m = &ledger[rng_below((uint32_t)n_ledger)];

		id = span_str(m->id);
		s.ids = &id;
		s.n_ids = 1;
		if (one_in(2))
			s.to = span_str(m->rcpts[rng_below((uint32_t)m->n_rcpts)].address);
		e = queue_find(d.queue, id);
		if (e != NULL)
			order(e, &s);
		return;
	}
	s.is_all = true;
	queue_cursor_start(d.queue, &cursor);
	while ((e = queue_cursor_next(d.queue, &cursor)) != NULL)
		if (one_in(4) && selection_has(&s, e))
			order(e, &s);
		else
			deliver_rest(&d, e);
	queue_cursor_end(&cursor);
}

/* --- the clock --------------------------------------------------------------------------------- */

static void
set_clocks(int64_t later_ms, int64_t jump_ms)
{
	mono_ms += later_ms;
	wall_ms += later_ms + jump_ms;
	clock_fake(mono_ms, wall_ms);
}

static void
some_time(void)
{
	static const int64_t spans[] = {
	    1, 1000, 10000, MINUTE_MS, 5 * MINUTE_MS, HOUR_MS, 5 * HOUR_MS};
	int64_t jump_ms = one_in(30) ? (one_in(2) ? 2 : -2) * (int64_t)HOUR_MS : 0;

	set_clocks(spans[rng_below(one_in(4) ? 7 : 4)], jump_ms);
}

/* --- a life ------------------------------------------------------------------------------------ */

static void
start(void)
{
	/* A gateway may be missing from this configuration. */
	config.n_gateways = one_in(4) && !is_calm ? 2 : 3;
	config.n_domains = config.n_gateways;
	for (int i = 0; i < 3; i++)
		gateways[i].accept = one_in(2) ? GATEWAY_THROUGH : GATEWAY_QUEUE;
	d = (struct delivery){.on_problem = on_problem, .on_through = on_through};
	delivery_init(&d, loop, &config);
	d.intake = intake_new(on_arrival, NULL);
}

static void
started(void)
{
	d.spool = &fake_spool;
	d.quarantine = &fake_quarantine;
	fake_quarantine.events = &aside_events;
	fake_quarantine.arg = &d;
	d.courier = courier_new(loop, d.spool, "mx.example.org", &deliver_events, &d);
}

/* What was durable is ours, whoever was told. */
static void
adopt_all(void)
{
	for (size_t i = 0; i < fake_spool.n; i++) {
		const struct spool_message *m = &fake_spool.messages[i];
		struct queue_entry *e = m->is_live ? queue_find(d.queue, span_str(m->id)) : NULL;

		must((e != NULL) == m->is_live);
		if (e == NULL)
			continue;
		(void)ledger_adopt(e);
		deliver_rest(&d, e);
	}
}

/* Killed, and started again. */
static void
restart(void)
{
	bool is_lost = fake_spool.refuses_notes;

	delivery_free(&d);
	fake_spool.is_unreadable = fake_spool.is_full = false;
	if (is_lost)
		ledger_all_may_repeat();
	fake_spool_write(is_lost);
	for (size_t i = 0; i < fake_quarantine.n; i++) {
		struct fake_letter *f = &fake_quarantine.letters[i];

		if (!f->is_put)
			continue;
		f->is_put = false;
		f->is_durable = one_in(2); /* and nobody was told */
		for (size_t k = 0; k < f->letter.n_rcpts; k++)
			ledger_rcpt(span_str(f->from.about), f->letter.rcpts[k].address)
			    ->may_repeat = true;
	}
	start();
	for (size_t i = 0; i < fake_spool.n; i++) {
		struct spool_message *m = &fake_spool.messages[i];
		bool is_ours =
		    m->is_committed || (one_in(2) && ledger_find(span_str(m->id)) == NULL);

		if (!m->is_committed)
			m->is_live = is_ours;
		m->is_committed = true;
		if (m->is_live)
			deliver_recover(
			    &d, m, span_str(m->id), buf_span(&m->envelope), buf_span(&m->note));
	}
	started();
	adopt_all();
}

/* --- what must hold ---------------------------------------------------------------------------- */

/* The end of that leg settles what is left of the others. */
static bool
is_any_busy(const struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_legs; i++)
		if (e->legs[i].state != LEG_IDLE)
			return true;
	return false;
}

/* What a failure needs to be understood. */
static void
need(bool is_so, const char *what, const struct queue_entry *e)
{
	if (is_so)
		return;
	(void)fprintf(stderr, "seed %llu, step %d, %s: %s; notice %d letter %d transit %d\n",
	    (unsigned long long)seed, n_step, e->id, what, e->is_notice_in_flight,
	    e->is_letter_in_flight, e->transit != NULL);
	for (size_t i = 0; i < e->n_legs; i++)
		(void)fprintf(stderr, "leg %zu: state %d\n", i, (int)e->legs[i].state);
	for (size_t i = 0; i < e->n_rcpts; i++)
		(void)fprintf(stderr, "rcpt %zu: leg %u state %d\n", i, e->rcpts[i].leg,
		    (int)e->rcpts[i].state);
	must(false);
}

/* Somebody will look at the leg again. */
static void
check_leg(const struct queue_leg *l)
{
	const struct queue_entry *e = l->entry;
	bool wants =
	    leg_has(l, RCPT_WAITING) || leg_has(l, RCPT_FAILED) || leg_has(l, RCPT_TO_QUARANTINE);

	switch (l->state) {
	case LEG_IDLE:
		need(!leg_has(l, RCPT_WAITING) || e->transit != NULL, "waits for nothing", e);
		need(!leg_has(l, RCPT_FAILED) || e->transit != NULL || e->is_notice_in_flight ||
			 is_any_busy(e),
		    "failed and nobody is told", e);
		need(!leg_has(l, RCPT_TO_QUARANTINE) || e->is_letter_in_flight || is_any_busy(e),
		    "not on its way into quarantine", e);
		need(list_is_empty(&l->node), "idle in a list", e);
		break;
	case LEG_DEFERRED:
		need(l->due.ms < mono_ms + LONGEST_MS, "put off for ever", e);
		break;
	case LEG_READY:
		need(wants && !list_is_empty(&l->node), "ready in no list", e);
		break;
	case LEG_ACTIVE:
		need(list_is_empty(&l->node), "active in a list", e);
		break;
	}
}

static void
check_queue(void)
{
	struct queue_totals before, found = {0}, after;
	struct queue_cursor cursor;
	struct queue_entry *e;

	if (fake_spool.is_unreadable)
		return;
	queue_totals(d.queue, wall_ms, &before);
	queue_cursor_start(d.queue, &cursor);
	while ((e = queue_cursor_next(d.queue, &cursor)) != NULL) {
		bool is_deferred = false;

		found.messages++;
		found.bytes += e->size;
		found.held += e->is_counted_held;
		need(e->is_counted_held == entry_has(e, RCPT_HELD) || is_any_busy(e) ||
			 e->transit != NULL,
		    "held, but not counted", e);
		for (size_t i = 0; i < e->n_legs; i++) {
			const struct queue_leg *l = &e->legs[i];

			check_leg(l);
			is_deferred |= l->state == LEG_DEFERRED;
			for (size_t k = 0; l->state == LEG_DEFERRED && k < QUEUE_TRIES; k++)
				if (k == QUEUE_TRIES - 1 || l->attempts < queue_tries_bounds[k]) {
					found.tries[k]++;
					break;
				}
		}
		found.deferred += is_deferred;
		deliver_rest(&d, e);
	}
	queue_cursor_end(&cursor);
	queue_totals(d.queue, wall_ms, &after);
	must(memcmp(&before, &after, sizeof(before)) == 0);
	must(found.messages == after.messages && found.bytes == after.bytes);
	must(found.deferred == after.deferred);
	must(memcmp(found.tries, after.tries, sizeof(found.tries)) == 0);
	must(found.held == after.held);
}

/* --- a round ----------------------------------------------------------------------------------- */

static void
turns(void)
{
	for (uint32_t n = 1 + rng_below(3); n > 0; n--)
		loop_turn(loop, 0);
}

static void
step(void)
{
	switch (rng_below(16)) {
	case 0:
	case 1:
		some_mail();
		break;
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
		some_end();
		break;
	case 7:
		some_trial();
		break;
	case 8:
	case 9:
		commit_some();
		break;
	case 10:
		(void)fake_quarantine_end(one_in(4) ? (one_in(4) ? E_CORRUPT : E_IO) : 0);
		break;
	case 11:
		some_order();
		break;
	case 12:
		some_time();
		break;
	case 13:
		some_drain();
		break;
	case 14:
		if (one_in(3))
			some_trouble();
		if (one_in(10))
			through_hurry(&d);
		break;
	default:
		if (one_in(6))
			restart();
		else
			check_queue();
		break;
	}
}

static bool
is_quiet(void)
{
	for (size_t i = 0; i < fake_spool.n; i++)
		if (!fake_spool.messages[i].is_committed)
			return false;
	return d.courier->n == 0 && list_is_empty(&d.courier->trials);
}

/* Everything works; nobody looks at the queue, and only time goes on. */
static void
drain(void)
{
	is_calm = true;
	fake_spool.is_unreadable = fake_quarantine.is_full = false;
	fake_spool_write(false);
	for (size_t i = 0; i < d.n_gateways; i++) {
		for (size_t k = 0; k < d.gateways[i]->n_targets; k++)
			gateway_undrain(
			    d.gateways[i], span_str(d.gateways[i]->targets[k].text), mono_ms);
		deliver_drained(&d, d.gateways[i]);
	}
	for (int hour = 0; hour < DRAIN_HOURS; hour++) {
		int n = 0;

		do {
			loop_turn(loop, 0);
			while (!list_is_empty(&d.courier->carries))
				end_carry(LIST_ENTRY(d.courier->carries.next, struct carry, node));
			some_trial();
			commit_some();
			must(++n < 10000);
		} while (fake_quarantine_end(0) || !is_quiet() || n < 5);
		set_clocks(HOUR_MS, 0);
	}
}

static void
count_held(void)
{
	for (size_t i = 0; i < n_ledger; i++) {
		struct queue_entry *e = queue_find(d.queue, span_str(ledger[i].id));

		for (size_t k = 0; e != NULL && k < e->n_rcpts; k++) {
			enum rcpt_state state = e->rcpts[k].state;

			must(state != RCPT_WAITING && state != RCPT_FAILED &&
			     state != RCPT_RELAYED && state != RCPT_TO_QUARANTINE);
			ledger_rcpt(span_str(e->id), e->rcpts[k].address)->n_held +=
			    state == RCPT_HELD;
		}
		must(e == NULL || entry_has(e, RCPT_HELD));
	}
}

static void
configure(void)
{
	static const char *const names[] = {"a", "b", "c"}, *const domain_names[] = {"a.example",
								"b.example", "c.example"};

	for (size_t i = 0; i < 4; i++) {
		servers[i] = (struct conf_server){.text = "127.0.0.1",
		    .port = (uint16_t)(1000 + i),
		    .preference = 10,
		    .weight = 1};
		must(ip_parse(SPAN("127.0.0.1"), &servers[i].ip));
	}
	for (size_t i = 0; i < 3; i++) {
		gateways[i] = (struct conf_gateway){.name = names[i],
		    .servers = &servers[i + (i > 0)],
		    .n_servers = i == 0 ? 2 : 1,
		    .connections = 3,
		    .through_wait_ms = WAIT_MS,
		    .timeouts = conf_timeouts_default};
		domains[i] = (struct conf_domain){.name = domain_names[i], .gateway = &gateways[i]};
	}
	flows[0] = (struct conf_flow){.name = "inbound", .relay = RELAY_DOMAINS};
	config = (struct config){.hostname = "mx.example.org",
	    .postmaster = one_in(4) ? NULL : "postmaster@b.example",
	    .domains = domains,
	    .flows = flows,
	    .n_flows = 1,
	    .gateways = gateways};
	config.queue = (struct conf_queue){.retry_ms = {5 * MINUTE_MS, 15 * MINUTE_MS},
	    .n_retry = 2,
	    .warn_after_ms = 4 * HOUR_MS,
	    .expire_after_ms = 24 * HOUR_MS};
}

static void
round_of(uint64_t with)
{
	seed = with;
	rng_seed(seed);
	n_ledger = n_mails = 0;
	is_calm = false;
	mono_ms = 1000;
	wall_ms = WALL_MS;
	set_clocks(0, 0);
	fake_spool_clear();
	fake_quarantine_clear();
	loop = loop_new();
	configure();
	start();
	started();
	for (n_step = 0; n_step < STEPS; n_step++) {
		step();
		turns();
	}
	drain();
	count_held();
	ledger_count_letters();
	ledger_check(seed);
	check_queue();
	delivery_free(&d);
	loop_free(&loop);
}

static uint64_t
number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void
test_random_walks(void **state)
{
	uint64_t first = number_from("WALK_SEED", 1), n = number_from("WALK_ROUNDS", ROUNDS);

	(void)state;
	for (uint64_t i = 0; i < n; i++) {
		(void)fprintf(stderr, "\rseed %llu ", (unsigned long long)(first + i));
		round_of(first + i);
	}
	fake_spool_clear();
	fake_quarantine_clear();
	clock_fake(0, -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_walks)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * release_sim.h - the power-loss simulator of the quarantine: a spool on memfs, letters on shelf_fs,
 * and steps 7 and 8 of the walk between them do made-up work; at file calls an image of what kill -9
 * or a power loss would leave of both is recovered and held against where each recipient's mail may
 * be (release_ledger.h).  Now and then the world itself dies and goes on from an image.
 *
 * One thread and one seed: committer and helper do their work when the simulator says so, and the
 * loop goes on between their file calls.  A point is one image recovered.
 */
#ifndef TESTS_RELEASE_SIM_H
#define TESTS_RELEASE_SIM_H
#include "tests/lib/campaign.h"
#include "tests/lib/release_world.h"

/* --- work --------------------------------------------------------------------------------------- */

static size_t
rsim_letters(const struct rsim *sim)
{
	size_t n = 0;

	for (int i = 0; i < FS_NAMES; i++)
		n += strstr(sim->w->shelf_fs->now.items[i].name, ".eml") != NULL;
	return n;
}

/* Mail for the quarantine, or that nobody may be told of. */
static void
rsim_accept(struct rsim *sim)
{
	struct commit_copy copy = {.why = SPAN("suspicious"), .is_tagged = true};
	struct commit_rcpt rcpts[3];
	char id[SPOOL_ID_MAX], prefix[64], addresses[3][32], body[2048];
	struct arrival a = {.front_id = sim->ways.n_mails};
	struct envelope e = {.flow = SPAN("inbound"),
	    .from = SPAN("s@example.net"),
	    .received_ms = clock_wall_ms(),
	    .copies = &copy,
	    .n_copies = 1,
	    .rcpts = rcpts,
	    .n_rcpts = 1 + rsim_below(sim, 3)};
	struct intake_body b = {.fd = -1, .size = 40 + rsim_below(sim, 1500)};

	if (sim->ways.n_mails == WAY_MAILS || sim->ways.n + 3 > WAY_RCPTS ||
	    rsim_letters(sim) >= RSIM_LETTERS || queue_count(sim->w->d.queue) >= RSIM_LETTERS)
		return;
	copy.fate = rsim_below(sim, 2) == 0 ? COPY_QUARANTINE : COPY_DELIVER;
	(void)snprintf(id, sizeof(id), "M%zu", sim->ways.n_mails);
	copy.prefix = span_of(prefix,
	    (size_t)snprintf(prefix, sizeof(prefix), "Subject: mail %zu\r\n", sim->ways.n_mails));
	for (size_t i = 0; i < e.n_rcpts; i++) {
		(void)snprintf(addresses[i], sizeof(addresses[i]), "r%zu@example.org", sim->ways.n);
		rcpts[i] = (struct commit_rcpt){
		    .address = span_str(addresses[i]), .gateway = SPAN("exchange")};
		sim->ways.rcpts[sim->ways.n++] = (struct way){.mail = sim->ways.n_mails};
	}
	rsim_body(sim->ways.n_mails, body, b.size);
	b.body = span_of(body, b.size);
	sim->ways.sizes[sim->ways.n_mails++] = b.size;
	must(intake_put(sim->w->d.intake, sim->w->d.spool, &a, span_str(id), &e, &b) == 0);
}

/* The server takes it, refuses it for good, or for some, or wants it later. */
static void
rsim_end_carry(struct rsim *sim)
{
	struct courier *k = sim->w->d.courier;
	struct client_end end = {
	    .outcome = CLIENT_ACCEPTED, .code = 250, .reply = SPAN("250 2.0.0 taken")};
	struct way *taken[3];
	char id[SPOOL_ID_MAX + 1];
	size_t n = 0;
	struct carry *c;

	if (list_is_empty(&k->carries))
		return;
	c = LIST_ENTRY(k->carries.next, struct carry, node);
	switch (rsim_below(sim, 5)) {
	case 0:
		end = (struct client_end){
		    .outcome = CLIENT_REFUSED, .code = 451, .reply = SPAN("451 4.3.0 later")};
		break;
	case 1:
	case 2:
		end = (struct client_end){
		    .outcome = CLIENT_REFUSED, .code = 554, .reply = SPAN("554 5.6.0 no")};
		break;
	case 3:
		c->carriage.is_refused[0] = true;
		c->carriage.n_refused = 1;
		k->events->on_rcpt(k->arg, &c->carriage, 0, 550, SPAN("550 5.1.1 nobody"));
		break;
	default:
		break;
	}
	if (c->carriage.n_refused == c->carriage.n_rcpts)
		end.outcome = CLIENT_NO_RCPT;
	for (size_t i = 0; end.outcome == CLIENT_ACCEPTED && i < c->carriage.n_rcpts; i++) {
		const struct queue_entry *e = c->carriage.leg->entry;
		struct way *way =
		    way_of_address(&sim->ways, e->rcpts[c->carriage.rcpts[i]].address);

		if (c->carriage.is_refused[i])
			continue;
		way_add(way, AT_END, SPAN(""), true);
		taken[n++] = way;
	}
	memcpy(id, c->carriage.leg->entry->id, sizeof(id));
	fake_courier_end(k, c, &end);
	for (size_t i = 0; i < n; i++)
		way_left(taken[i], IN_SPOOL, span_str(id), LEFT_TOLD);
}

static struct order *
rsim_free_order(struct rsim *sim)
{
	for (size_t i = 0; i < RSIM_ORDERS; i++)
		if (!sim->orders[i].is_used)
			return &sim->orders[i];
	return NULL;
}

static void
rsim_released(void *arg, uint64_t request, int status, struct span text)
{
	struct order *o = arg;

	(void)request;
	(void)text;
	o->is_used = false;
	for (size_t i = 0; i < o->n; i++) {
		struct way *way = o->rcpts[i];

		o->sim->n_released += status == EXIT_OK;
		if (status == EXIT_OK)
			way_left(way, IN_LETTER, span_str(o->id), LEFT_FIRM);
		else if (o->spooled[0] != '\0')
			way->is_loose = true; /* and the letter is still there */
		else
			way_cancel(way, o->base); /* the spool has refused it */
	}
}

/* A letter of the shelf, its id cut out of its name; empty: there is none. */
static struct span
rsim_some_letter(struct rsim *sim, char to[FS_NAME])
{
	size_t first = rsim_below(sim, FS_NAMES);

	for (size_t i = 0; i < FS_NAMES; i++) {
		const struct fs_name *n = &sim->w->shelf_fs->now.items[(first + i) % FS_NAMES];
		struct span name = span_str(n->name);

		if (name.n < 5 || !span_eq(span_skip(name, name.n - 4), SPAN(".eml")))
			continue;
		must(span_copy(span_take(name, name.n - 4), to, FS_NAME));
		return span_str(to);
	}
	return (struct span){0};
}

/* Everybody in it, or one of them. */
static void
rsim_release(struct rsim *sim)
{
	char name[FS_NAME], *mark;
	struct span id = rsim_some_letter(sim, name);
	struct order *o = rsim_free_order(sim);
	struct release_order order = {.id = id, .who = SPAN("joe")};
	struct shelf s = {.io = &sim->w->shelf_fs->io};
	struct letter l;
	bool was_held = sim->is_held;
	size_t one;
	int r;

	if (id.n == 0 || o == NULL || release_is_under_way(&sim->w->d, id))
		return;
	s = *quarantine_shelf(sim->w->d.quarantine);
	sim->is_held = true;
	r = shelf_read(&s, id, &l);
	sim->is_held = was_held;
	if (r != 0)
		return;
	one = rsim_below(sim, l.n_rcpts * 2);
	*o = (struct order){.sim = sim, .is_used = true};
	memcpy(o->base, name, sizeof(o->base));
	mark = strstr(o->base, "-R");
	if (mark == NULL)
		mark = o->base + strlen(o->base);
	must((size_t)(mark - o->base) + 3 <= sizeof(o->base));
	memcpy(mark, "-R", 3);
	must(span_copy(id, o->id, sizeof(o->id)));
	for (size_t i = 0; i < l.n_rcpts; i++) {
		struct way *way = way_of_address(&sim->ways, l.rcpts[i].address);

		if (one < l.n_rcpts && i != one)
			continue;
		way_add(way, IN_SPOOL, span_str(o->base), false);
		must(o->n < 4);
		o->rcpts[o->n++] = way;
		order.to = one < l.n_rcpts ? &l.rcpts[i].address : NULL;
		order.n_to = one < l.n_rcpts;
	}
	release_begin(&sim->w->d, &order, rsim_released, o);
	letter_free(&l);
}

/* As `quarantine delete` does it. */
struct deletion {
	struct task task;
	struct rsim *sim;
	struct world *w;
	int result;
	bool is_gone;
	char id[FS_NAME];
};

static void
deletion_run(struct task *t)
{
	struct deletion *x = (struct deletion *)t;

	const struct shelf *s = quarantine_shelf(x->w->d.quarantine);

	x->result = shelf_remove(s, span_str(x->id), true);
	x->is_gone = x->result == 0 || !shelf_has(s, span_str(x->id));
}

static void
deletion_done(struct task *t)
{
	struct deletion *x = (struct deletion *)t;

	if (x->is_gone)
		quarantine_gone(x->w->d.quarantine, span_str(x->id));
	for (size_t i = 0; x->result == 0 && !x->w->is_dead && i < x->sim->ways.n; i++)
		way_left(&x->sim->ways.rcpts[i], IN_LETTER, span_str(x->id), LEFT_FIRM);
	mem_free(x);
}

static void
rsim_delete(struct rsim *sim)
{
	struct deletion *x = mem_alloc(sizeof(*x));
	struct span id = rsim_some_letter(sim, x->id);

	if (id.n == 0 || release_is_under_way(&sim->w->d, id)) {
		mem_free(x);
		return;
	}
	x->task = (struct task){.run = deletion_run, .done = deletion_done};
	x->sim = sim;
	x->w = sim->w;
	for (size_t i = 0; i < sim->ways.n; i++) {
		struct way *way = &sim->ways.rcpts[i];

		if (way->n > 0 && way_matches(way_newest(way), IN_LETTER, id))
			way_add(way, AT_END, SPAN(""), true);
	}
	helper_push(quarantine_helper(sim->w->d.quarantine), &x->task);
}

static void
rsim_act(struct rsim *sim)
{
	switch (rsim_below(sim, 12)) {
	case 0:
	case 1:
	case 2:
		rsim_accept(sim);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
		rsim_release(sim);
		break;
	case 7:
		if (rsim_below(sim, 6) == 0)
			rsim_delete(sim);
		break;
	default:
		rsim_end_carry(sim);
		break;
	}
}

static void
rsim_time(struct rsim *sim, int64_t ms)
{
	sim->now_ms += ms;
	clock_fake(sim->now_ms, RSIM_WALL_MS + sim->now_ms);
	rsim_age(sim);
}

static void
rsim_turn(struct rsim *sim)
{
	rsim_time(sim, 100);
	loop_turn(sim->loop, 0);
}

/* Of the committer or the helper; false: neither has any. */
static bool
rsim_work(struct rsim *sim)
{
	bool is_first = rsim_below(sim, 2) == 0, is_done;

	sim->is_in_job = true;
	is_done = is_first ? sim_commit_step(sim->w->d.spool->committer)
			   : sim_helper_step(quarantine_helper(sim->w->d.quarantine));
	if (!is_done)
		is_done = is_first ? sim_helper_step(quarantine_helper(sim->w->d.quarantine))
				   : sim_commit_step(sim->w->d.spool->committer);
	sim->is_in_job = false;
	return is_done;
}

static void
rsim_on_call(struct rsim *sim, bool changes, uint64_t calls, uint64_t fail_at)
{
	bool is_near = fail_at != 0 && calls >= fail_at && calls - fail_at < RSIM_SHOT_NEAR;

	if (sim->is_held || rsim_is_over(sim))
		return;
	if (changes && (is_near || (!sim->is_quiet && rsim_below(sim, RSIM_SHOT_EVERY) == 0)))
		rsim_shoot(sim);
	if (!sim->is_in_job || rsim_below(sim, 6) != 0)
		return;
	sim->is_in_job = false;
	rsim_act(sim);
	if (rsim_below(sim, 2) == 0)
		rsim_turn(sim);
	sim->is_in_job = true;
}

static void
rsim_on_spool_call(void *arg, enum memfs_call call)
{
	struct rsim *sim = arg;

	if (sim->w != NULL)
		rsim_on_call(
		    sim, call != MEMFS_LOOK, sim->w->spool_fs->calls, sim->w->spool_fs->fail_at);
}

static void
rsim_on_shelf_call(void *arg, bool changes)
{
	struct rsim *sim = arg;

	if (sim->w != NULL)
		rsim_on_call(sim, changes, sim->w->shelf_fs->calls, sim->w->shelf_fs->fail_at);
}

/* --- lives -------------------------------------------------------------------------------------- */

static void
rsim_begin(struct rsim *sim, struct memfs *spool_fs, struct shelf_fs *shelf_fs)
{
	spool_fs->on_call = rsim_on_spool_call;
	shelf_fs->on_call = rsim_on_shelf_call;
	spool_fs->on_call_arg = shelf_fs->on_call_arg = sim;
	sim->w = NULL;
	sim->is_held = true;
	sim->w = world_open(sim, spool_fs, shelf_fs, false);
	sim->is_held = false;
	must(sim->w != NULL);
	sim->failed_before = sim->syncs_before = 0;
}

/* The letters that the quarantine counts are those that are there, and none is too old. */
static void
rsim_check_count(struct rsim *sim)
{
	struct quarantine_totals t = quarantine_totals(sim->w->d.quarantine);

	/* One whose removal failed when nobody could look either stays counted until it expires. */
	if (t.is_counting || t.messages < rsim_letters(sim) ||
	    (t.messages > rsim_letters(sim) && sim->w->shelf_fs->n_failed == 0))
		rsim_wrong(sim, "settled", "letters are there that are not counted", NULL);
	if (t.messages > 0 && t.oldest_ms + RSIM_KEEP_MS + RSIM_MINUTE_MS < clock_wall_ms())
		rsim_wrong(sim, "settled", "a letter does not expire", NULL);
	for (size_t i = 0; i < RSIM_ORDERS; i++)
		if (sim->orders[i].is_used)
			rsim_wrong(sim, "settled", "an order has no answer", NULL);
}

/* The disks work from now on: after some minutes all is written that can be. */
static void
rsim_settle(struct rsim *sim)
{
	sim->w->spool_fs->fail_at = sim->w->shelf_fs->fail_at = 0;
	for (int i = 0; i < 8 && !rsim_is_over(sim); i++) {
		sim->is_held = i == 7; /* what came last is a tick away */
		rsim_time(sim, i < 3 ? RSIM_MINUTE_MS + 1 : 1100);
		for (int k = 0; k < 6; k++) {
			rsim_turn(sim);
			while (rsim_work(sim))
				rsim_turn(sim);
		}
	}
	if (rsim_is_over(sim))
		return;
	if (rsim_marks_wait(sim->w->d.spool))
		rsim_wrong(sim, "settled", "marks still wait", NULL);
	rsim_check_count(sim);
	shelf_fs_write_back(sim->w->shelf_fs);
	for (size_t i = 0; i < sim->ways.n; i++)
		way_settle(&sim->ways.rcpts[i]);
	sim->syncs_before = sim->w->spool_fs->n_failed_syncs;
	sim->is_held = true;
	rsim_find(sim, sim->w, "settled");
	rsim_check(sim, true, "settled");
	sim->is_held = false;
}

/* The process is killed, or the power fails, and it starts again. */
static void
rsim_die(struct rsim *sim)
{
	struct memfs *spool_fs = memfs_clone(sim->w->spool_fs, rsim_below(sim, 1 << 30));
	struct shelf_fs *shelf_fs = shelf_fs_copy(sim->w->shelf_fs);
	bool is_power = rsim_below(sim, 2) == 0, is_exact = !is_power && rsim_is_exact(sim);

	if (is_power) {
		memfs_lose_power(spool_fs, (enum memfs_loss)rsim_below(sim, MEMFS_LOSSES));
		shelf_fs_lose_power(shelf_fs);
	}
	sim->is_held = true;
	world_close(sim->w);
	memset(sim->orders, 0, sizeof(sim->orders));
	rsim_begin(sim, spool_fs, shelf_fs);
	sim->is_held = true;
	rsim_age(sim);
	rsim_find(sim, sim->w, "the next life");
	rsim_check(sim, is_exact, "the next life");
	for (size_t i = 0; i < sim->ways.n; i++)
		way_adopt(&sim->ways.rcpts[i], is_power);
	sim->is_held = false;
}

static void
rsim_step(struct rsim *sim, int step)
{
	static const int fails[] = {1, 1, 2, 3, 20};

	if (sim->has_faults && rsim_below(sim, 6) == 0) {
		sim->w->spool_fs->fail_at = sim->w->spool_fs->calls + 1 + rsim_below(sim, 12);
		sim->w->spool_fs->fails = fails[rsim_below(sim, 5)];
	}
	/* What cannot be read while the letters are counted is not counted. */
	if (sim->has_faults && !quarantine_totals(sim->w->d.quarantine).is_counting &&
	    rsim_below(sim, 6) == 0) {
		sim->w->shelf_fs->fail_at = sim->w->shelf_fs->calls + 1 + rsim_below(sim, 16);
		sim->w->shelf_fs->fails = (uint64_t)fails[rsim_below(sim, 5)];
		sim->w->shelf_fs->fail_with = rsim_below(sim, 4) == 0 ? ENOSPC : EIO;
	}
	rsim_act(sim);
	rsim_act(sim);
	/* Some time before letters are too old, so that one expires in the midst of things. */
	if (rsim_below(sim, 8) == 0)
		rsim_time(sim, (int64_t)rsim_below(sim, RSIM_KEEP_MS / 2));
	for (uint64_t i = rsim_below(sim, 4); i > 0; i--) {
		rsim_turn(sim);
		for (uint64_t j = rsim_below(sim, 4); j > 0; j--)
			(void)rsim_work(sim);
	}
	if (step % RSIM_SETTLE_EVERY == RSIM_SETTLE_EVERY - 1)
		rsim_settle(sim);
	if (rsim_below(sim, 30) == 0 && !rsim_is_over(sim))
		rsim_die(sim);
}

/* --- campaigns ---------------------------------------------------------------------------------- */

static struct conf_server rsim_servers[1] = {
    {.text = "127.0.0.1", .port = 25, .preference = 10, .weight = 1}};
static struct conf_gateway rsim_gateways[1] = {{.name = "exchange",
    .servers = rsim_servers,
    .n_servers = 1,
    .connections = 4,
    .timeouts = {0}}};
static struct conf_flow rsim_flows[1] = {{.name = "inbound", .relay = RELAY_DOMAINS}};
static struct conf_domain rsim_domains[1] = {{.name = "example.org", .gateway = &rsim_gateways[0]}};

static struct rsim *
rsim_new(uint64_t seed, uint64_t points_max)
{
	struct rsim *sim = mem_alloc(sizeof(*sim));
	struct shelf_fs *shelf_fs = shelf_fs_new();

	rng_seed(seed);
	must(ip_parse(SPAN("127.0.0.1"), &rsim_servers[0].ip));
	sim->seed = seed;
	sim->noise = seed * 0x9e3779b97f4a7c15ull;
	sim->n_points_max = points_max;
	sim->config = (struct config){.hostname = "mx.example.org",
	    .postmaster = "postmaster@example.org",
	    .domains = rsim_domains,
	    .n_domains = 1,
	    .flows = rsim_flows,
	    .n_flows = 1,
	    .gateways = rsim_gateways,
	    .n_gateways = 1};
	sim->config.queue = (struct conf_queue){.retry_ms = {RSIM_MINUTE_MS},
	    .n_retry = 1,
	    .expire_after_ms = 24 * 60 * RSIM_MINUTE_MS};
	sim->loop = loop_new();
	sim->other = loop_new();
	sim->now_ms = 1000;
	clock_fake(sim->now_ms, RSIM_WALL_MS + sim->now_ms);
	shelf_fs->gives_memfds = true;
	rsim_begin(sim, memfs_new(seed), shelf_fs);
	return sim;
}

static void
rsim_run(struct rsim *sim, int steps)
{
	for (int i = 0; i < steps && !rsim_is_over(sim); i++)
		rsim_step(sim, i);
	if (!rsim_is_over(sim))
		rsim_settle(sim);
	if (!rsim_is_over(sim))
		rsim_shoot(sim);
}

static void
rsim_finish(struct rsim *sim, struct sim_result *to)
{
	to->n_points += sim->n_points;
	to->n_released += sim->n_released;
	memcpy(to->wrong, sim->wrong, sizeof(to->wrong));
	sim->is_held = true;
	world_close(sim->w);
	loop_free(&sim->loop);
	loop_free(&sim->other);
	mem_free(sim);
}

/* So many points with one seed after the other, the half of them with calls that fail. */
static void
rsim_any_call(struct sim_result *to, uint64_t points)
{
	points += to->n_points;
	while (to->n_points < points && to->wrong[0] == '\0') {
		struct rsim *sim = rsim_new(++to->seed, points - to->n_points);

		sim->has_faults = to->seed % 2 == 1;
		rsim_run(sim, RSIM_STEPS);
		rsim_finish(sim, to);
	}
}

/* So many points with the same work over and over, the n-th call of one of the disks failing. */
static void
rsim_nth_call(struct sim_result *to, uint64_t points)
{
	points += to->n_points;
	for (uint64_t i = to->nth++; to->n_points < points && to->wrong[0] == '\0'; i = to->nth++) {
		struct rsim *sim = rsim_new(RSIM_NTH_SEED + i % 3, UINT64_MAX);
		uint64_t nth = 1 + i / (2 * SIM_FAILURES) * 97 % RSIM_NTH_CALLS;
		int set = (int)(i / 2 % SIM_FAILURES);

		sim->is_quiet = true;
		rsim_settle(sim); /* the start's count of letters is not what is to fail */
		if (i % 2 == 0) {
			sim->w->spool_fs->fail_at = sim->w->spool_fs->calls + nth;
			sim->w->spool_fs->fails = sim_failures[set].fails;
			sim->w->spool_fs->fail_with = sim_failures[set].with;
		} else {
			sim->w->shelf_fs->fail_at = sim->w->shelf_fs->calls + nth;
			sim->w->shelf_fs->fails = (uint64_t)sim_failures[set].fails;
			sim->w->shelf_fs->fail_with = sim_failures[set].with;
		}
		rsim_run(sim, RSIM_NTH_STEPS);
		rsim_finish(sim, to);
	}
}

static inline void
rsim_both(struct sim_result *to, uint64_t points)
{
	campaign_both(to, points, RSIM_ROUND, rsim_any_call, rsim_nth_call);
}

#endif

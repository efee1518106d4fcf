/*
 * spool_sim.h - the power-loss simulator: a spool on memfs does made-up work; at file calls an image
 * of what kill -9 or a power loss would leave is recovered, and held against the ledger of what had
 * been promised at that moment.  Now and then the world itself dies and goes on from an image.
 *
 * One thread and one seed: the committer does its jobs when the simulator says so, and the loop
 * goes on with its work between the file calls of a job.  A point is one image recovered.
 */
#ifndef TESTS_SPOOL_SIM_H
#define TESTS_SPOOL_SIM_H
#include "relay/base/clock.h"
#include "relay/spool/fsck.h"
#include "relay/spool/store.h"
#include "tests/lib/campaign.h"
#include "tests/lib/sim_commit.h"
#include "tests/lib/spool_ledger.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SIM_IS_SLOW = 1 };
#else
enum { SIM_IS_SLOW = 0 };
#endif

enum {
	SIM_SEGMENT = 16384,
	SIM_SHOT_EVERY = 7,   /* calls, about */
	SIM_SHOT_NEAR = 8,    /* calls after a failure: all */
	SIM_SETTLE_EVERY = 9, /* steps */
	SIM_FSCK_EVERY = 6,   /* images */
	SIM_DAMAGES = 3,      /* images with a bad sector, after each settling */
	SIM_BACK = 40,        /* messages among which the next to be settled is chosen */
	SIM_KEEP = 50,        /* of those before, most go */
	SIM_MESSAGES = 1400,  /* then a run ends */
	SIM_STEPS = 120,      /* of a run */
	SIM_ROUND = 1000,     /* points of a campaign, before the other */
	SIM_NTH_SEED = 7000,
	SIM_NTH_STEPS = 36,
	SIM_NTH_CALLS = 1009 /* a prime, about the calls of such a run */
};

/* What a run does most. */
enum sim_mood { SIM_MIXED, SIM_MARKS, SIM_COPIES, SIM_LARGE, SIM_MOODS };

struct sim {
	struct memfs *fs;
	struct loop *loop, *other; /* of the images */
	struct ledger *l, *found;
	struct spool *s;
	uint64_t seed, noise;
	enum sim_mood mood;
	bool has_faults;
	bool is_quiet;    /* shots after failures only */
	bool is_in_job;   /* a file call of the committer's: the loop may go on meanwhile */
	bool is_held;     /* no shots, no work inside of calls */
	bool was_exact;   /* while there is no spool to ask */
	bool is_troubled; /* a call failed since the last settling */
	uint64_t failed_before, syncs_before; /* calls, syncs of them, that had failed by then */
	int64_t now_ms;
	uint64_t nonces[LEDGER_NONCES]; /* of all lives so far */
	size_t n_nonces;
	uint64_t n_points, n_points_max;
	char wrong[800]; /* the first thing that was wrong; "": nothing */
};

static uint64_t
sim_below(struct sim *sim, uint64_t bound)
{
	sim->noise = sim->noise * 6364136223846793005ull + 1442695040888963407ull;
	return (sim->noise >> 33) % bound;
}

static bool
sim_is_over(const struct sim *sim)
{
	return sim->wrong[0] != '\0' || sim->n_points >= sim->n_points_max;
}

static void
sim_wrong(struct sim *sim, const char *when, const char *what)
{
	if (sim->wrong[0] == '\0')
		(void)snprintf(sim->wrong, sizeof(sim->wrong), "seed %llu mood %d: %s: %s",
		    (unsigned long long)sim->seed, (int)sim->mood, when, what);
}

/* --- images ------------------------------------------------------------------------------------- */

/* Opens, checks against sim->found; the spool is left open. NULL: it could not be opened. */
static struct spool *
sim_recover(struct sim *sim, struct memfs *image, const char *when)
{
	struct spool_options options = {.dir = "x", .segment_bytes = SIM_SEGMENT, .io = &image->io};
	struct err err = {0};
	struct spool *s = spool_open(&options, sim->other, &ledger_events, sim->found, &err);

	if (s == NULL) {
		if (image->n_failed == 0)
			sim_wrong(sim, when, err.text);
		return NULL;
	}
	image->fail_at = 0;
	sim->found->is_blind = image->n_failed > 0;
	ledger_check(sim->found, s);
	if (sim->found->n_wrong > 0)
		sim_wrong(sim, when, sim->found->wrong);
	sim->n_points++;
	return s;
}

static void
sim_on_finding(void *arg, const struct fsck_finding *finding)
{
	struct sim *sim = arg;
	/* A write that failed in the middle of a header leaves a file nobody knows. */
	bool is_stump = finding->kind == FSCK_FILE_UNKNOWN && (sim->has_faults || sim->is_quiet);

	if (finding->is_damage && !is_stump)
		sim_wrong(sim, "fsck", finding->text);
}

/* What a crash leaves is no damage, and the check of a folder counts what a start recovers. */
static void
sim_fsck(struct sim *sim, struct memfs *image, uint64_t *n_messages)
{
	struct fsck_summary sum;
	struct err err = {0};

	if (fsck_run(&image->io, "x", false, sim_on_finding, sim, &sum, &err) != 0)
		sim_wrong(sim, "fsck", err.text);
	*n_messages = sum.messages;
}

/* Recovers; then the power fails again, at once or after a call of the recovery failed, and the
 * second recovery must find what the first one said. */
static void
sim_check(struct sim *sim, struct memfs *image, const char *when)
{
	bool is_counted = sim_below(sim, SIM_FSCK_EVERY) == 0;
	uint64_t n_messages = 0;
	struct memfs *again;
	struct spool *s;

	if (is_counted) {
		sim_fsck(sim, image, &n_messages);
	} else if (sim_below(sim, 4) == 0) {
		image->fail_at = 1 + sim_below(sim, 60);
		image->fails = 1 + (int)sim_below(sim, 3);
	}
	s = sim_recover(sim, image, when);
	if (is_counted && sim->found->n_found != n_messages)
		sim_wrong(sim, when, "fsck counts otherwise than a start recovers");
	again = memfs_clone(image, sim_below(sim, 1 << 30));
	memfs_lose_power(again, (enum memfs_loss)sim_below(sim, MEMFS_LOSSES));
	if (s != NULL) {
		spool_close(&s);
		/* Bytes that a failing disk did not give may come back with the next start. */
		if (image->n_failed == 0)
			ledger_reborn(sim->found);
		for (size_t i = 0; i < sim->found->n; i++)
			sim->found->entries[i].is_found = false;
	}
	sim->found->is_exact = s != NULL && image->n_failed == 0;
	if (sim_below(sim, 2) == 0 && !sim_is_over(sim)) {
		char text[80];

		(void)snprintf(text, sizeof(text),
		    "%s, recovery (%llu calls failed from %llu), power loss", when,
		    (unsigned long long)image->n_failed, (unsigned long long)image->fail_at);
		s = sim_recover(sim, again, text);
		spool_close(&s);
	}
	memfs_free(&image);
	memfs_free(&again);
}

static bool
sim_marks_wait(const struct spool *s)
{
	const struct list *last = s->marks.prev;

	return last != &s->marks && !LIST_ENTRY(last, struct mark, node)->is_written;
}

/* Whether kill -9 loses no mark.  Between a sync that fails, when the kernel forgets, and the moment
 * at which the loop hears of it and writes its marks again, it may. */
static bool
sim_is_exact(const struct sim *sim)
{
	if (sim->s == NULL)
		return sim->was_exact;
	return !sim_marks_wait(sim->s) && sim->fs->n_failed_syncs == sim->syncs_before;
}

static void
sim_kill_image(struct sim *sim)
{
	ledger_copy(sim->found, sim->l);
	sim->found->is_exact = sim_is_exact(sim);
	sim_check(sim, memfs_clone(sim->fs, sim_below(sim, 1 << 30)), "kill -9");
}

static void
sim_power_image(struct sim *sim, enum memfs_loss loss)
{
	struct memfs *image = memfs_clone(sim->fs, sim_below(sim, 1 << 30));

	memfs_lose_power(image, loss);
	ledger_copy(sim->found, sim->l);
	sim->found->is_firm = true;
	sim_check(sim, image, "power loss");
}

/* A sector of a closed segment goes bad under a message that is kept: the others stay, and somebody
 * is told. */
static void
sim_damage_image(struct sim *sim)
{
	struct memfs *image;
	size_t number = sim_below(sim, sim->l->n);
	struct spool_message *m = sim->l->entries[number].m;
	struct record_message parts;
	struct memfs_file *file;
	struct spool *s;
	unsigned char byte;
	uint64_t at;

	if (m == NULL || m->home->state != SEGMENT_CLOSED || m->home->jobs > 0)
		return;
	image = memfs_clone(sim->fs, sim_below(sim, 1 << 30));
	memfs_lose_power(image, MEMFS_LOSE_ALL);
	file = memfs_find(image, m->home->name);
	must(file != NULL);
	parts = message_parts(m);
	at = message_offset(m) + sim_below(sim, RECORD_HEADER + record_message_length(&parts));
	(void)memfs_get(file, &byte, 1, at);
	byte ^= (unsigned char)(1 + sim_below(sim, 255));
	memfs_damage(file, &byte, 1, at);
	ledger_copy(sim->found, sim->l);
	sim->found->is_firm = true;
	sim->found->entries[number].is_spoilt = true;
	s = sim_recover(sim, image, "a bad sector");
	if (s != NULL && !sim->found->entries[number].is_found && sim->found->n_problems == 0)
		sim_wrong(sim, "a bad sector", "a message is lost, and nobody is told");
	spool_close(&s);
	memfs_free(&image);
}

static void
sim_shoot(struct sim *sim)
{
	bool was_held = sim->is_held;

	sim->is_held = true;
	if (!sim_is_over(sim))
		sim_kill_image(sim);
	if (!sim_is_over(sim))
		sim_power_image(sim, MEMFS_LOSE_ALL);
	for (int i = 0; i < 2 && !sim_is_over(sim); i++)
		sim_power_image(sim, (enum memfs_loss)(1 + sim_below(sim, MEMFS_LOSSES - 1)));
	sim->is_held = was_held;
}

/* --- work --------------------------------------------------------------------------------------- */

/* Nonces of lives that are over may be known: somebody has read a file of the spool. */
static void
sim_learn_nonces(struct sim *sim)
{
	LIST_FOR (it, &sim->s->segments) {
		uint64_t nonce = LIST_ENTRY(it, struct segment, node)->header.nonce;
		bool is_known = false;

		for (size_t i = 0; i < sim->n_nonces; i++)
			is_known = is_known || sim->nonces[i] == nonce;
		if (!is_known)
			sim->nonces[sim->n_nonces++ % LEDGER_NONCES] = nonce;
		if (sim->n_nonces == LEDGER_NONCES)
			sim->n_nonces = 0;
	}
}

static uint64_t
sim_former_nonce(struct sim *sim)
{
	uint64_t nonce = sim->n_nonces > 0 ? sim->nonces[sim_below(sim, sim->n_nonces)] : 0;

	LIST_FOR (it, &sim->s->segments)
		if (LIST_ENTRY(it, struct segment, node)->header.nonce == nonce)
			return sim_below(sim, 1 << 30) +
			       1; /* of this life: nobody knows it; a guess */
	return nonce;
}

static bool
sim_is_kept(const struct sim *sim, size_t number)
{
	return number < sim->l->n && sim->l->entries[number].told == TOLD_KEPT;
}

/* A message, or (its number + 1) what takes the place of a held one. */
static void
sim_put_part(struct sim *sim, uint64_t replaces)
{
	static const uint64_t sizes[SIM_MOODS] = {1500, 300, 700, 3200};
	uint64_t size = sim_below(sim, sizes[sim->mood]);

	if (sim->l->n >= SIM_MESSAGES)
		return;
	if (sim_below(sim, sim->mood == SIM_LARGE ? 6 : 40) == 0)
		size = 2900 + sim_below(sim, 12000);
	sim->l->nonce = sim_below(sim, 2) == 0 ? sim_former_nonce(sim) : 0;
	(void)ledger_put_part(sim->l, sim->s, size, sim_below(sim, 4) == 0, replaces);
}

static void
sim_put(struct sim *sim)
{
	sim_put_part(sim, 0);
}

/* Once: front has been asked, and what it said is being stored. */
static void
sim_replace(struct sim *sim, size_t number)
{
	for (size_t i = number + 1; i < sim->l->n; i++)
		if (sim->l->entries[i].replaces == number + 1 &&
		    sim->l->entries[i].told == TOLD_NOTHING)
			return;
	if (sim_is_kept(sim, number))
		sim_put_part(sim, number + 1);
}

/* Something the loop does: a message, an attempt that failed, one that succeeded. */
static void
sim_act(struct sim *sim)
{
	static const unsigned puts[SIM_MOODS] = {4, 2, 6, 4}, notes[SIM_MOODS] = {6, 8, 7, 6};
	unsigned what = (unsigned)sim_below(sim, 10);
	size_t n = sim->l->n, back = n > 0 ? sim_below(sim, n < SIM_BACK ? n : SIM_BACK) : 0;

	if (what < puts[sim->mood] || n == 0) {
		for (uint64_t i = sim_below(sim, 4); i < 4; i++)
			sim_put(sim);
	} else if (sim_below(sim, 10) == 0) {
		sim_replace(sim, n - 1 - back);
	} else if (what < notes[sim->mood]) {
		if (sim_is_kept(sim, n - 1 - back))
			ledger_note(sim->l, sim->s, n - 1 - back);
	} else if (sim_is_kept(sim, n - 1 - back) && (n - 1 - back) % 8 != 0) {
		ledger_forget(sim->l, sim->s, n - 1 - back);
	}
}

/* What is older goes, but a few, so that files are recycled and copied. */
static void
sim_settle_old(struct sim *sim)
{
	for (size_t i = 0; i + SIM_KEEP < sim->l->n; i++)
		if (sim_is_kept(sim, i) && (i % 16 != 0 || i + 6 * SIM_KEEP < sim->l->n))
			ledger_forget(sim->l, sim->s, i);
}

static void
sim_turn(struct sim *sim)
{
	sim->now_ms += 100;
	clock_fake(sim->now_ms, sim->now_ms);
	loop_turn(sim->loop, 0);
	sim_learn_nonces(sim);
}

static bool
sim_work(struct sim *sim)
{
	bool is_done;

	sim->is_in_job = true;
	is_done = sim_commit_step(sim->s->committer);
	sim->is_in_job = false;
	return is_done;
}

static void
sim_on_call(void *arg, enum memfs_call call)
{
	struct sim *sim = arg;
	struct memfs *fs = sim->fs;
	bool is_near =
	    fs->fail_at != 0 && fs->calls >= fs->fail_at && fs->calls - fs->fail_at < SIM_SHOT_NEAR;

	if (sim->is_held || sim_is_over(sim))
		return;
	sim->is_troubled = sim->is_troubled || fs->n_failed != sim->failed_before;
	if (call != MEMFS_LOOK &&
	    (is_near || (!sim->is_quiet && sim_below(sim, SIM_SHOT_EVERY) == 0)))
		sim_shoot(sim);
	if (sim->is_in_job && sim_below(sim, 4) == 0) {
		sim->is_in_job = false;
		sim_act(sim);
		if (sim_below(sim, 2) == 0)
			sim_turn(sim);
		sim->is_in_job = true;
	}
}

/* As the courier does: what is kept may be settled before the callback returns.  What it takes the
 * place of is, before anything else. */
static void
sim_committed(void *arg, uint64_t cookie, struct spool_message *m, const struct err *err)
{
	struct sim *sim = arg;
	uint64_t replaces = sim->l->entries[cookie].replaces;

	ledger_committed(sim->l, cookie, m, err);
	if (m != NULL && !sim->l->is_deaf && replaces > 0 && sim_is_kept(sim, replaces - 1))
		ledger_forget(sim->l, sim->s, replaces - 1);
	if (m != NULL && !sim->l->is_deaf && sim_below(sim, 3) == 0)
		ledger_note(sim->l, sim->s, cookie);
	if (m != NULL && !sim->l->is_deaf && cookie % 8 != 0 && sim_below(sim, 3) == 0)
		ledger_forget(sim->l, sim->s, cookie);
}

static void
sim_recovered(
    void *arg, struct spool_message *m, struct span id, struct span envelope, struct span note)
{
	struct sim *sim = arg;

	ledger_recovered(sim->l, m, id, envelope, note);
}

static void
sim_problem(void *arg, const char *name, const char *what, const char *do_this)
{
	struct sim *sim = arg;

	ledger_problem(sim->l, name, what, do_this);
}

static const struct spool_events sim_events = {
    .on_committed = sim_committed, .on_recovered = sim_recovered, .on_problem = sim_problem};

/* --- lives -------------------------------------------------------------------------------------- */

/* The disk works from now on: after a second all is answered, and all marks are durable. */
static void
sim_settle(struct sim *sim)
{
	sim->fs->fail_at = 0;
	for (int ticks = sim->is_troubled ? 8 : 2; ticks > 0 && !sim_is_over(sim); ticks--) {
		sim->now_ms += SPOOL_TICK_MS;
		sim_turn(sim);
		for (int i = 0; i < 3; i++) {
			while (sim_work(sim))
				sim_turn(sim);
			sim_turn(sim);
		}
	}
	/* The loop has gone on during these jobs: what came last is a tick away. */
	sim->is_held = true;
	sim->now_ms += SPOOL_TICK_MS;
	for (int i = 0; i < 4; i++) {
		sim_turn(sim);
		while (sim_work(sim))
			sim_turn(sim);
	}
	sim->is_held = false;
	sim->is_troubled = false;
	sim->failed_before = sim->fs->n_failed;
	sim->syncs_before = sim->fs->n_failed_syncs;
	if (sim_is_over(sim))
		return;
	if (sim_marks_wait(sim->s))
		sim_wrong(sim, "settled", "marks still wait");
	for (size_t i = 0; i < sim->l->n; i++)
		if (sim->l->entries[i].told == TOLD_NOTHING)
			sim_wrong(sim, "settled", "a message has no answer");
	ledger_make_firm(sim->l);
	for (int i = 0; i < SIM_DAMAGES && sim->l->n > 0 && !sim_is_over(sim); i++)
		sim_damage_image(sim);
}

static bool
sim_open(struct sim *sim)
{
	struct spool_options options = {
	    .dir = "x", .segment_bytes = SIM_SEGMENT, .io = &sim->fs->io};
	struct err err = {0};

	for (size_t i = 0; i < sim->l->n; i++)
		sim->l->entries[i].is_found = false;
	sim->s = spool_open(&options, sim->loop, &sim_events, sim, &err);
	if (sim->s == NULL && sim->fs->n_failed == sim->failed_before)
		sim_wrong(sim, "open", err.text);
	if (sim->fs->n_failed != sim->failed_before) {
		/* A disk that fails at the start: the next start is on a sound one. */
		sim->l->is_deaf = true;
		spool_close(&sim->s);
		sim->l->is_deaf = sim->l->is_exact = false;
		sim->fs->fail_at = 0;
		sim->failed_before = sim->fs->n_failed;
		return false;
	}
	sim->l->is_exact = sim->l->is_firm = false;
	ledger_check(sim->l, sim->s);
	if (sim->l->n_wrong > 0)
		sim_wrong(sim, "the world's own recovery", sim->l->wrong);
	ledger_reborn(sim->l);
	return true;
}

/* The process is killed, or the power fails, and it starts again. */
static void
sim_die(struct sim *sim)
{
	struct memfs *before = sim->fs, *after;
	bool is_kill = sim_below(sim, 2) == 0;

	sim->is_held = true;
	sim->was_exact = is_kill && sim_is_exact(sim);
	after = memfs_clone(before, sim_below(sim, 1 << 30));
	if (!is_kill)
		memfs_lose_power(after, (enum memfs_loss)sim_below(sim, MEMFS_LOSSES));
	sim->l->is_deaf = true;
	spool_close(&sim->s);
	sim->l->is_deaf = false;
	memfs_free(&before);
	sim->fs = after;
	sim->failed_before = sim->syncs_before = 0;
	after->on_call = sim_on_call;
	after->on_call_arg = sim;
	sim->l->is_exact = sim->was_exact;
	sim->l->is_firm = !is_kill;
	sim->is_held = false;
	while (!sim_open(sim) && sim->wrong[0] == '\0')
		continue;
}

static void
sim_step(struct sim *sim, int step)
{
	if (sim->has_faults && sim_below(sim, 6) == 0) {
		static const int fails[] = {1, 1, 2, 3, 20};

		sim->fs->fail_at = sim->fs->calls + 1 + sim_below(sim, 12);
		sim->fs->fails = fails[sim_below(sim, 5)];
		sim->fs->fail_with = sim_below(sim, 4) == 0 ? ENOSPC : EIO;
	}
	sim_act(sim);
	sim_settle_old(sim);
	for (uint64_t i = sim_below(sim, 4); i > 0; i--) {
		sim_turn(sim);
		for (uint64_t j = sim_below(sim, 4); j > 0; j--)
			(void)sim_work(sim);
	}
	if (step % SIM_SETTLE_EVERY == SIM_SETTLE_EVERY - 1)
		sim_settle(sim);
	if (sim_below(sim, 40) == 0 && !sim_is_over(sim))
		sim_die(sim);
}

static struct sim *
sim_new(uint64_t seed, enum sim_mood mood, uint64_t points_max)
{
	struct sim *sim = mem_alloc(sizeof(*sim));

	rng_seed(seed);
	sim->seed = seed;
	sim->noise = seed * 0x9e3779b97f4a7c15ull + (uint64_t)mood;
	sim->mood = mood;
	sim->n_points_max = points_max;
	sim->fs = memfs_new(seed);
	sim->fs->on_call = sim_on_call;
	sim->fs->on_call_arg = sim;
	sim->loop = loop_new();
	sim->other = loop_new();
	sim->l = mem_alloc(sizeof(*sim->l));
	sim->found = mem_alloc(sizeof(*sim->found));
	sim->now_ms = 1000;
	clock_fake(sim->now_ms, sim->now_ms);
	return sim;
}

/* So many steps, or until something is wrong or there are enough points. */
static void
sim_run(struct sim *sim, int steps)
{
	while (!sim_open(sim) && sim->wrong[0] == '\0')
		continue;
	for (int i = 0; i < steps && !sim_is_over(sim) && sim->l->n < SIM_MESSAGES; i++)
		sim_step(sim, i);
	if (!sim_is_over(sim))
		sim_settle(sim);
	if (!sim_is_over(sim))
		sim_shoot(sim);
}

static void
sim_free(struct sim **sim)
{
	(*sim)->is_held = true;
	(*sim)->fs->fail_at = 0;
	(*sim)->l->is_deaf = true;
	spool_close(&(*sim)->s);
	memfs_free(&(*sim)->fs);
	loop_free(&(*sim)->loop);
	loop_free(&(*sim)->other);
	mem_free((*sim)->l);
	mem_free((*sim)->found);
	mem_free(*sim);
	*sim = NULL;
}

/* --- campaigns ---------------------------------------------------------------------------------- */

static void
sim_finish(struct sim *sim, struct sim_result *to)
{
	to->n_points += sim->n_points;
	memcpy(to->wrong, sim->wrong, sizeof(to->wrong));
	sim_free(&sim);
}

/* So many points with one seed after the other, each in another mood, the half of them with calls
 * that fail now and then. */
static void
sim_any_call(struct sim_result *to, uint64_t points)
{
	points += to->n_points;
	for (uint64_t seed = ++to->seed; to->n_points < points && to->wrong[0] == '\0';
	     seed = ++to->seed) {
		struct sim *sim =
		    sim_new(seed, (enum sim_mood)(seed % SIM_MOODS), points - to->n_points);

		sim->has_faults = ((seed ^ seed / SIM_MOODS) & 1) != 0;
		sim_run(sim, SIM_STEPS);
		sim_finish(sim, to);
	}
}

/* So many points with the same work over and over, its n-th call failing; n in an order that spreads
 * the first few over the run. */
static void
sim_nth_call(struct sim_result *to, uint64_t points)
{
	points += to->n_points;
	for (uint64_t i = to->nth++; to->n_points < points && to->wrong[0] == '\0'; i = to->nth++) {
		enum sim_mood mood = (enum sim_mood)(i % SIM_MOODS);
		struct sim *sim = sim_new(SIM_NTH_SEED + mood, mood, UINT64_MAX);

		sim->is_quiet = true;
		sim->fs->fail_at = 1 + i / (SIM_FAILURES * SIM_MOODS) * 97 % SIM_NTH_CALLS;
		sim->fs->fails = sim_failures[i / SIM_MOODS % SIM_FAILURES].fails;
		sim->fs->fail_with = sim_failures[i / SIM_MOODS % SIM_FAILURES].with;
		sim_run(sim, SIM_NTH_STEPS);
		sim_finish(sim, to);
	}
}

static inline void
sim_both(struct sim_result *to, uint64_t points)
{
	campaign_both(to, points, SIM_ROUND, sim_any_call, sim_nth_call);
}

#endif

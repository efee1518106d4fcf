/*
 * release_world.h - two disks with a spool role upon them, for the simulator in release_sim.h: the
 * spool on memfs, letters on shelf_fs, steps 7 and 8 of the walk between them; and the images that
 * kill -9 or a power loss would leave, held against the ledger of release_ledger.h.
 */
#ifndef TESTS_RELEASE_WORLD_H
#define TESTS_RELEASE_WORLD_H
#include "relay/base/clock.h"
#include "relay/spool/store.h"
#include "relay/walk/delivery.h"
#include "tests/lib/memfs.h"
#include "tests/lib/release_ledger.h"
#include "tests/lib/shelf_fs.h"
#include "tests/lib/sim_commit.h"
#include "tests/lib/sim_helper.h"
#include "tests/unit/fake_courier.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { RSIM_IS_SLOW = 1 };
#else
enum { RSIM_IS_SLOW = 0 };
#endif

enum {
	RSIM_SEGMENT = 16384,
	RSIM_SHOT_EVERY = 12, /* calls that change something, about */
	RSIM_SHOT_NEAR = 6,   /* calls after a failure: all */
	RSIM_SETTLE_EVERY = 12,
	RSIM_STEPS = 90,
	RSIM_NTH_STEPS = 24,
	RSIM_LETTERS = 24, /* on the shelf; then no mail comes until some have gone */
	RSIM_ORDERS = 4,
	RSIM_ROUND = 400, /* points of a campaign, before the other */
	RSIM_NTH_SEED = 9000,
	RSIM_NTH_CALLS = 499, /* a prime, about the calls of such a run */
	RSIM_KEEP_MS = 60 * 60 * 1000,
	RSIM_MINUTE_MS = 60 * 1000
};
#define RSIM_WALL_MS 1700000000000LL

struct rsim;

/* The two disks, and a spool role upon them. */
struct world {
	struct rsim *sim;
	struct memfs *spool_fs;
	struct shelf_fs *shelf_fs;
	struct loop *loop;
	struct delivery d;
	bool is_image; /* looked at only */
	bool is_dead;  /* what it says now nobody hears */
};

struct order {
	struct rsim *sim;
	bool is_used;
	char id[LETTER_ID_MAX + 1];
	char base[FS_NAME];             /* what its message's id begins with */
	char spooled[SPOOL_ID_MAX + 1]; /* as which it is durable; empty: not yet */
	struct way *rcpts[4];
	size_t n;
};

struct rsim {
	struct world *w;
	struct loop *loop, *other; /* of the images */
	struct ways ways;
	struct order orders[RSIM_ORDERS];
	struct config config;
	uint64_t seed, noise;
	bool has_faults;
	bool is_quiet; /* shots after failures only */
	bool
	    is_in_job; /* a call of the committer's or the helper's: the loop may go on meanwhile */
	bool is_held;  /* no shots, no work inside of calls */
	uint64_t failed_before, syncs_before; /* calls, syncs of the spool, that had failed */
	int64_t now_ms;
	uint64_t n_points, n_points_max, n_released, n_loose;
	char wrong[800]; /* the first thing that was wrong; "": nothing */
};

static uint64_t
rsim_below(struct rsim *sim, uint64_t bound)
{
	sim->noise = sim->noise * 6364136223846793005ull + 1442695040888963407ull;
	return (sim->noise >> 33) % bound;
}

static bool
rsim_is_over(const struct rsim *sim)
{
	return sim->wrong[0] != '\0' || sim->n_points >= sim->n_points_max;
}

static void
rsim_wrong(struct rsim *sim, const char *when, const char *what, const struct way *w)
{
	char about[300] = "";
	int n = 0;

	if (sim->wrong[0] != '\0')
		return;
	if (w != NULL)
		n = snprintf(about, sizeof(about), " r%zu told %zu:", (size_t)(w - sim->ways.rcpts),
		    w->told);
	for (size_t i = 0; w != NULL && i < w->n && n < 200; i++)
		n += snprintf(about + n, sizeof(about) - (size_t)n, " %d/%s%.*s",
		    (int)w->places[i].kind, w->places[i].id, (int)w->places[i].left, "--");
	for (size_t i = 0; w != NULL && i < w->n_found && n < 200; i++)
		n += snprintf(about + n, sizeof(about) - (size_t)n, " found %d/%s",
		    (int)w->found[i].kind, w->found[i].id);
	(void)snprintf(sim->wrong, sizeof(sim->wrong), "seed %llu: %s: %s%s",
	    (unsigned long long)sim->seed, when, what, about);
}

static void
rsim_body(size_t mail, char *to, size_t n)
{
	memcpy(to, "\r\n", 2);
	for (size_t i = 2; i < n; i++)
		to[i] = (char)('a' + (mail * 7 + i * (i % 13 + mail % 5)) % 26);
}

/* --- a world ------------------------------------------------------------------------------------ */

static bool
on_carry(struct courier *k, struct carry *c)
{
	(void)k;
	(void)c;
	return false; /* the simulator says when it ends */
}

static void
on_cut(const struct carry *c)
{
	(void)c;
}

static void
world_problem(void *arg, const char *name, const char *what, const char *do_this)
{
	(void)arg;
	(void)name;
	(void)what;
	(void)do_this;
}

static void
world_committed(void *arg, uint64_t cookie, struct spool_message *m, const struct err *err)
{
	struct world *w = arg;

	if (w->d.intake != NULL)
		intake_committed(w->d.intake, cookie, m, err);
}

static void
world_recovered(
    void *arg, struct spool_message *m, struct span id, struct span envelope, struct span note)
{
	struct world *w = arg;

	deliver_recover(&w->d, m, id, envelope, note);
}

static const struct spool_events world_spool_events = {
    .on_committed = world_committed, .on_recovered = world_recovered, .on_problem = world_problem};

static void
rsim_note_release(struct rsim *sim, const struct way *way, struct span id)
{
	for (size_t i = 0; i < RSIM_ORDERS; i++)
		for (size_t k = 0; sim->orders[i].is_used && k < sim->orders[i].n; k++)
			if (sim->orders[i].rcpts[k] == way && sim->orders[i].spooled[0] == '\0')
				(void)span_copy(id, sim->orders[i].spooled, SPOOL_ID_MAX + 1);
}

/* It is durable, or never will be. */
static void
world_arrival(void *arg, struct arrival *a, const struct err *err)
{
	struct world *w = arg;
	struct rsim *sim = w->sim;
	const struct queue_entry *e = a->entry;

	for (size_t i = 0; !w->is_dead && err == NULL && i < e->n_rcpts; i++) {
		struct way *way = way_of_address(&sim->ways, e->rcpts[i].address);

		if (way->n == 0)
			way_add(way, IN_SPOOL, span_str(e->id), true);
		way_arrived(way, IN_SPOOL, span_str(e->id));
		way->is_acked = true;
		if (a->is_release)
			rsim_note_release(sim, way, span_str(e->id));
	}
	for (size_t i = 0; !w->is_dead && err != NULL && !a->is_release && i < sim->ways.n; i++)
		if (sim->ways.rcpts[i].mail == a->front_id)
			sim->ways.rcpts[i].is_refused = true;
	if (a->is_release)
		release_arrived(&w->d, a, err);
	else if (err == NULL)
		deliver_start(&w->d, a->entry);
}

/* A letter is about to be written. */
static int
world_read(void *arg, const struct quarantine_source *from, uint64_t offset, void *to, size_t n)
{
	struct world *w = ((struct delivery *)arg)->arg;
	const struct queue_entry *e =
	    offset == 0 ? queue_find(w->d.queue, span_str(from->about)) : NULL;

	for (size_t i = 0; !w->is_dead && e != NULL && i < e->n_rcpts; i++) {
		struct way *way = way_of_address(&w->sim->ways, e->rcpts[i].address);

		if (!e->rcpts[i].is_in_letter)
			continue;
		way_add(way, IN_LETTER, span_str(e->id), false);
		way_newest(way)->is_exact = false;
		must(span_copy(span_str(e->id), way_newest(way)->id, SPOOL_ID_MAX + 1));
		way->expires_ms = clock_wall_ms() + RSIM_KEEP_MS;
	}
	return aside_events.on_read(arg, from, offset, to, n);
}

static void
world_stored(void *arg, const struct quarantine_source *from, struct span id, const struct err *err)
{
	struct world *w = ((struct delivery *)arg)->arg;
	const struct queue_entry *e = queue_find(w->d.queue, span_str(from->about));
	struct way *moved[8];
	size_t n = 0;

	for (size_t i = 0; !w->is_dead && err == NULL && e != NULL && i < e->n_rcpts; i++)
		if (e->rcpts[i].is_in_letter)
			moved[n++] = way_of_address(&w->sim->ways, e->rcpts[i].address);
	aside_events.on_stored(arg, from, id, err);
	for (size_t i = 0; i < n; i++) {
		way_arrived(moved[i], IN_LETTER, id);
		way_left(moved[i], IN_SPOOL, span_str(from->about), LEFT_TOLD);
	}
}

static void
rsim_age(struct rsim *sim)
{
	for (size_t i = 0; i < sim->ways.n; i++) {
		struct way *way = &sim->ways.rcpts[i];

		/* Which of several letters it was does not matter any more. */
		if (way->is_loose && clock_wall_ms() >= way->expires_ms)
			way->has_ended = true;
		if (way->n > 0 && way_newest(way)->kind == IN_LETTER && way->told == way->n - 1 &&
		    clock_wall_ms() >= way->expires_ms)
			way_add(way, AT_END, SPAN(""), true);
	}
}

static void
world_expired(void *arg, struct span id, bool is_early)
{
	struct world *w = ((struct delivery *)arg)->arg;

	must(!is_early);
	for (size_t i = 0; !w->is_dead && i < w->sim->ways.n; i++) {
		struct way *way = &w->sim->ways.rcpts[i];

		way_left(way, IN_LETTER, id, LEFT_TOLD);
	}
	aside_events.on_expired(arg, id, is_early);
}

static bool
world_in_use(void *arg, struct span id)
{
	return aside_events.is_in_use(arg, id);
}

static const struct quarantine_events world_quarantine_events = {.on_read = world_read,
    .on_stored = world_stored,
    .is_in_use = world_in_use,
    .on_expired = world_expired,
    .on_problem = world_problem};

static void
world_close(struct world *w)
{
	w->is_dead = true;
	w->d.is_stopping = true;
	w->spool_fs->fail_at = w->shelf_fs->fail_at = 0;
	w->spool_fs->on_call = NULL;
	w->shelf_fs->on_call = NULL;
	/* As the role ends: what is on its way into the spool is waited for. */
	for (int i = 1; w->d.spool != NULL && intake_count(w->d.intake) > 0; i++) {
		must(i < 60);
		clock_fake(w->sim->now_ms + i * 1000, RSIM_WALL_MS + w->sim->now_ms + i * 1000);
		commit_wait(w->d.spool->committer);
		loop_turn(w->loop, 0);
	}
	quarantine_close(&w->d.quarantine);
	delivery_free(&w->d);
	spool_close(&w->d.spool);
	clock_fake(w->sim->now_ms, RSIM_WALL_MS + w->sim->now_ms);
	memfs_free(&w->spool_fs);
	mem_free(w->shelf_fs);
	mem_free(w);
}

/* NULL: a disk fails at the start.  The disks are the world's. */
static struct world *
world_open(struct rsim *sim, struct memfs *spool_fs, struct shelf_fs *shelf_fs, bool is_image)
{
	struct world *w = mem_alloc(sizeof(*w));
	struct spool_options spool = {
	    .dir = "x", .segment_bytes = RSIM_SEGMENT, .io = &spool_fs->io};
	struct quarantine_options letters = {.share_min = 2,
	    .dir = "q",
	    .keep_ms = RSIM_KEEP_MS,
	    .max = 1 << 30,
	    .io = &shelf_fs->io};
	struct err err = {0};

	w->sim = sim;
	w->spool_fs = spool_fs;
	w->shelf_fs = shelf_fs;
	w->loop = is_image ? sim->other : sim->loop;
	w->is_dead = is_image;
	w->d = (struct delivery){.on_problem = world_problem, .arg = w};
	delivery_init(&w->d, w->loop, &sim->config);
	w->d.intake = intake_new(world_arrival, w);
	w->d.spool = spool_open(&spool, w->loop, &world_spool_events, w, &err);
	if (w->d.spool != NULL)
		w->d.quarantine =
		    quarantine_open(&letters, w->loop, &world_quarantine_events, &w->d, &err);
	w->d.courier = courier_new(w->loop, w->d.spool, "mx.example.org", &deliver_events, &w->d);
	if (w->d.quarantine != NULL)
		return w;
	if (spool_fs->n_failed == 0 && shelf_fs->n_failed == 0)
		rsim_wrong(sim, "a start", err.text, NULL);
	world_close(w);
	return NULL;
}

/* --- images ------------------------------------------------------------------------------------- */

static void
found_bytes(struct rsim *sim, const struct way *way, const char *bytes, size_t n, const char *where)
{
	char wanted[FS_BYTES];
	size_t size = sim->ways.sizes[way->mail];
	int section = snprintf(wanted, sizeof(wanted), "Subject: mail %zu\r\n", way->mail);

	rsim_body(way->mail, wanted + section, size);
	if (n != (size_t)section + size || memcmp(bytes, wanted, n) != 0)
		rsim_wrong(sim, where, "other bytes than were accepted", way);
}

static void
find_in_entry(struct rsim *sim, struct world *w, const struct queue_entry *e, const char *when)
{
	char bytes[FS_BYTES];
	size_t size = (size_t)leg_size(&e->legs[0]);

	must(size <= sizeof(bytes));
	if (spool_verify(w->d.spool, e->msg) != 0)
		rsim_wrong(sim, when, "a message of the spool is damaged", NULL);
	for (size_t at = 0; at < size;) {
		size_t n = size - at;
		uint64_t place = leg_place(&e->legs[0], at, &n);

		must(spool_read(w->d.spool, e->msg, place, bytes + at, n) == 0);
		at += n;
	}
	for (size_t i = 0; i < e->n_rcpts; i++) {
		struct way *way = way_of_address(&sim->ways, e->rcpts[i].address);

		if (!rcpt_is_open(&e->rcpts[i]))
			continue;
		way_found(way, IN_SPOOL, span_str(e->id), !e->is_renamed);
		found_bytes(sim, way, bytes, size, when);
	}
}

static void
find_in_letter(struct rsim *sim, struct world *w, struct span id, const char *when)
{
	const struct shelf *s = quarantine_shelf(w->d.quarantine);
	char bytes[FS_BYTES];
	struct taken t;
	int r = shelf_take(s, id, &t);

	if (r != 0) {
		rsim_wrong(sim, when, "a letter is not whole", NULL);
		return;
	}
	must(shelf_read_at(s, &t, 0, bytes, (size_t)t.letter.size) == (ssize_t)t.letter.size);
	for (size_t i = 0; i < t.letter.n_rcpts; i++) {
		struct way *way = way_of_address(&sim->ways, t.letter.rcpts[i].address);

		way_found(way, IN_LETTER, id, true);
		way->expires_ms = t.letter.stored_ms + RSIM_KEEP_MS;
		found_bytes(sim, way, bytes, (size_t)t.letter.size, when);
	}
	shelf_taken_free(s, &t);
}

/* All that the world has, each recipient's into what was found of it. */
static void
rsim_find(struct rsim *sim, struct world *w, const char *when)
{
	struct queue_cursor cursor;
	struct queue_entry *e;

	for (size_t i = 0; i < sim->ways.n; i++)
		sim->ways.rcpts[i].n_found = 0;
	queue_cursor_start(w->d.queue, &cursor);
	while ((e = queue_cursor_next(w->d.queue, &cursor)) != NULL) {
		find_in_entry(sim, w, e, when);
		deliver_rest(&w->d, e);
	}
	queue_cursor_end(&cursor);
	for (int i = 0; i < FS_NAMES; i++) {
		struct span name = span_str(w->shelf_fs->now.items[i].name);

		if (name.n > 4 && span_eq(span_skip(name, name.n - 4), SPAN(".eml")))
			find_in_letter(sim, w, span_take(name, name.n - 4), when);
	}
}

static void
rsim_check(struct rsim *sim, bool is_exact, const char *when)
{
	for (size_t i = 0; i < sim->ways.n; i++) {
		const char *what = way_check(&sim->ways.rcpts[i], is_exact);

		if (what != NULL)
			rsim_wrong(sim, when, what, &sim->ways.rcpts[i]);
	}
	sim->n_points++;
}

static bool
rsim_marks_wait(const struct spool *s)
{
	const struct list *last = s->marks.prev;

	return last != &s->marks && !LIST_ENTRY(last, struct mark, node)->is_written;
}

/* Whether kill -9 loses no mark: not between a sync of the spool that fails and its repetition. */
static bool
rsim_is_exact(const struct rsim *sim)
{
	return !rsim_marks_wait(sim->w->d.spool) &&
	       sim->w->spool_fs->n_failed_syncs == sim->syncs_before;
}

static void
rsim_image(struct rsim *sim, bool is_power, enum memfs_loss loss)
{
	struct memfs *spool_fs = memfs_clone(sim->w->spool_fs, rsim_below(sim, 1 << 30));
	struct shelf_fs *shelf_fs = shelf_fs_copy(sim->w->shelf_fs);
	bool is_exact = !is_power && rsim_is_exact(sim);
	const char *when = is_power ? "power loss" : "kill -9";
	struct world *w;

	if (is_power) {
		memfs_lose_power(spool_fs, loss);
		shelf_fs_lose_power(shelf_fs);
	}
	rsim_age(sim);
	w = world_open(sim, spool_fs, shelf_fs, true);
	if (w == NULL)
		return;
	rsim_find(sim, w, when);
	rsim_check(sim, is_exact, when);
	world_close(w);
}

static void
rsim_shoot(struct rsim *sim)
{
	bool was_held = sim->is_held;

	sim->is_held = true;
	if (!rsim_is_over(sim))
		rsim_image(sim, false, MEMFS_LOSE_ALL);
	if (!rsim_is_over(sim))
		rsim_image(sim, true, MEMFS_LOSE_ALL);
	if (!rsim_is_over(sim))
		rsim_image(sim, true, (enum memfs_loss)(1 + rsim_below(sim, MEMFS_LOSSES - 1)));
	sim->is_held = was_held;
}

#endif

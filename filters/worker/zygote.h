/*
 * zygote.h - keeps a number of workers alive for the front on the other end of its channel: forks
 * them, ends those over their filter's deadline, says what the dead were doing, replaces them.
 *
 * It never reads a message.  Each front has workers of its own; a new one gets new workers.
 */
#ifndef WORKER_ZYGOTE_H
#define WORKER_ZYGOTE_H
#include "filters/worker/worker.h"
#include "relay/ipc/channel.h"

enum {
	ZYGOTE_WORKERS_MAX = 64,    /* of all fronts */
	ZYGOTE_TICK_MS = 100,       /* deadlines are looked at this often */
	ZYGOTE_PARSE_MS = 30000,    /* for what is no filter's: MIME, predicates */
	ZYGOTE_YOUNG_MS = 1000,     /* who dies younger makes the next wait */
	ZYGOTE_FIRST_DELAY_MS = 50, /* doubled each time */
	ZYGOTE_LAST_DELAY_MS = 10000
};

struct zygote_settings {
	unsigned n_workers; /* for each front */
	unsigned n_fronts;  /* 1 when 0 */
	const char *folder; /* each worker's own folder is made below */
	unsigned
	    first_folder; /* number of the first of them: another zygote may be at work there */
	worker_sandbox *sandbox;
	unsigned messages_max; /* of one worker; WORKER_MESSAGES when 0 */
	int64_t age_max_ms;    /* of one worker, since its first message; WORKER_AGE_MS when 0 */
	int memory_fd; /* of limits_memory_open, the caller's; below 0: no limit on memory */
	/* Workers that cannot start, or (is_over) do again.  May be NULL. */
	void (*problem)(void *arg, bool is_over, const char *what);
	void *arg;
};

struct zygote;

/* Blocks SIGCHLD in this process, for a signalfd.  `chain` outlives the zygote. */
struct zygote *zygote_new(
    struct loop *loop, struct chain *chain, const struct zygote_settings *settings);
/* Kills and reaps all workers. */
void zygote_free(struct zygote **z);
/* Before any front: has one worker start and go again.  `tried` is called once, at once where there can be none:
 * is_fine when the worker was ready for mail; what it lacked is in the log. */
void zygote_try(struct zygote *z, void (*tried)(void *arg, bool is_fine), void *arg);
/* Takes the fd of the front of this number; the workers of the one that had it are killed. */
void zygote_serve(struct zygote *z, unsigned front, int fd);
/* No more workers; those there are end when front has closed their channels.  `drained` is called once,
 * when the last has ended: at once where there is none. */
void zygote_drain(struct zygote *z, void (*drained)(void *arg), void *arg);
/* After chain_load: workers that know the old state are replaced, the busy ones too; front sends
 * their message to a fresh one. */
void zygote_refresh(struct zygote *z);

#endif

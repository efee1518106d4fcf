/*
 * loop.h - the event loop: level-triggered epoll, timers, and a hook at the end of each turn.
 *
 * One loop a process, one thread.  Callbacks never block; a role logs a turn over LOOP_SLOW_MS.
 * A watch or timer may be removed inside any callback, its own included.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H
#include <stdbool.h>
#include <stdint.h>

enum { LOOP_SLOW_MS = 50 };
/*
 * An error or hang-up arrives as whatever is waited for, and as LOOP_GONE beside it.  LOOP_GONE is
 * never asked for and always told, also where nothing is waited for: epoll reports it for ever, so
 * that whoever waits for nothing must let go of the descriptor then.
 */
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_GONE = 4 };

struct loop;
struct watch;
struct timer;

struct loop *loop_new(void);
void loop_free(struct loop **loop);
/* For a role that others wait for, not for the tools and tests that may be busy as long as they like. */
void loop_tell_slow_turns(struct loop *loop);
void loop_run(struct loop *loop); /* until loop_stop */
void loop_stop(struct loop *loop);
/* One turn, waiting at most `wait_ms` (-1: for ever); for tests. */
void loop_turn(struct loop *loop, int wait_ms);

/* The fd stays the caller's; remove the watch before closing it. */
struct watch *loop_watch(struct loop *loop, int fd, unsigned events,
    void (*on_ready)(void *arg, unsigned events), void *arg);
void watch_change(struct watch *w, unsigned events);
void watch_remove(struct watch **w); /* NULL is fine */

/* Fires once, `delay_ms` from now; owned by the caller until it fires or is cancelled.
 * `*slot` is set to the timer and to NULL when it fires, so a slot is never stale. */
void loop_timer(struct loop *loop, struct timer **slot, int64_t delay_ms,
    void (*on_time)(void *arg), void *arg);
void timer_cancel(struct timer **slot); /* NULL is fine */

/* Called at the end of every turn, after all ready fds and timers: the place to flush. */
void loop_at_turn_end(struct loop *loop, void (*on_end)(void *arg), void *arg);
void loop_forget_turn_end(struct loop *loop, void (*on_end)(void *arg), void *arg);

#endif

/*
 * spool_recovery fill DIR COUNT    a spool of COUNT messages of 1 to 4 KiB, every fourth with a note
 * spool_recovery open DIR          the time from spool_open until every message has been told
 *
 * `make bench-recovery` runs both, with a cold and a warm page cache.
 */
#include "relay/base/err.h"
#include "relay/base/log.h"
#include "relay/base/rng.h"
#include "relay/spool/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { SIZE_MIN = 1024, SIZE_MAX_ = 4096, IN_FLIGHT = 512, NOTE = 160, ENVELOPE = 200 };

struct bench {
	struct spool *s;
	uint64_t n_answered, n_recovered, n_notes, bytes;
};

static double
seconds(void)
{
	struct timespec now;

	must(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
on_committed(void *arg, uint64_t cookie, struct spool_message *m, const struct err *err)
{
	static const char note[NOTE] = "451 4.2.1 the mailbox is full";
	struct bench *b = arg;

	if (err != NULL)
		die("%s", err->text);
	b->n_answered++;
	if (cookie % 4 == 0)
		spool_note(b->s, m, span_of(note, sizeof(note)));
}

static void
on_recovered(
    void *arg, struct spool_message *m, struct span id, struct span envelope, struct span note)
{
	struct bench *b = arg;

	must(id.n > 0 && envelope.n == ENVELOPE);
	b->n_recovered++;
	b->n_notes += note.n > 0;
	b->bytes += spool_message_size(m);
}

static const struct spool_events events = {
    .on_committed = on_committed, .on_recovered = on_recovered};

static struct spool *
open_spool(struct bench *b, struct loop *loop, const char *dir)
{
	struct spool_options options = {.dir = dir};
	struct err err = {0};

	b->s = spool_open(&options, loop, &events, b, &err);
	if (b->s == NULL)
		die("%s", err.text);
	return b->s;
}

static void
fill(const char *dir, uint64_t count)
{
	static char body[SIZE_MAX_], envelope[ENVELOPE];
	struct loop *loop = loop_new();
	struct bench b = {0};
	char id[SPOOL_ID_MAX];

	rng_seed(1);
	rng_bytes(body, sizeof(body));
	(void)open_spool(&b, loop, dir);
	for (uint64_t i = 0; i < count; i++) {
		size_t size = SIZE_MIN + rng_below(SIZE_MAX_ - SIZE_MIN);
		int n = snprintf(id, sizeof(id), "%026llu", (unsigned long long)i);

		spool_put(b.s, i, span_of(id, (size_t)n), span_of(envelope, ENVELOPE),
		    SPAN("Received: by bench\r\n"), span_of(body, size), -1, 0, 0);
		while (i + 1 - b.n_answered >= IN_FLIGHT)
			loop_turn(loop, 100);
	}
	while (b.n_answered < count)
		loop_turn(loop, 100);
	spool_close(&b.s);
	loop_free(&loop);
}

static void
recover(const char *dir)
{
	struct loop *loop = loop_new();
	struct bench b = {0};
	struct rusage use;
	double began = seconds(), took;

	(void)open_spool(&b, loop, dir);
	took = seconds() - began;
	must(getrusage(RUSAGE_SELF, &use) == 0);
	(void)printf("%llu messages, %.2f GB, %llu notes: %.2f s; %zu bytes each in the index, "
		     "%ld MB in the process\n",
	    (unsigned long long)b.n_recovered, (double)b.bytes / 1e9, (unsigned long long)b.n_notes,
	    took, sizeof(struct spool_message), use.ru_maxrss / 1024);
	spool_close(&b.s);
	loop_free(&loop);
}

int
main(int argc, char **argv)
{
	uint64_t count;

	log_setup("spool_recovery", false, LOG_WARN);
	if (argc == 4 && span_eq(span_str(argv[1]), SPAN("fill")) &&
	    span_to_u64(span_str(argv[3]), &count))
		fill(argv[2], count);
	else if (argc == 3 && span_eq(span_str(argv[1]), SPAN("open")))
		recover(argv[2]);
	else
		die("usage: spool_recovery fill DIR COUNT | open DIR");
	return 0;
}

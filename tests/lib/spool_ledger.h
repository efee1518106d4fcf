/*
 * spool_ledger.h - what a test asked of a spool and what it was told, to be held against what a
 * recovery finds.  Bodies follow from the message's number, so nothing is stored twice.
 */
#ifndef TESTS_SPOOL_LEDGER_H
#define TESTS_SPOOL_LEDGER_H
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/spool/spool.h"
#include "tests/lib/memfs.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LEDGER_MAX = 2048, LEDGER_PREFIX = 10 };

enum told { TOLD_NOTHING, TOLD_KEPT, TOLD_REFUSED, TOLD_SETTLING, TOLD_SETTLED };

struct entry {
	enum told told;
	uint64_t size; /* of the body */
	struct spool_message *m;
	unsigned note, note_before; /* newest version told, and the one before the call */
	bool is_found;
};

struct ledger {
	struct entry entries[LEDGER_MAX];
	size_t n;
	struct memfs *fs; /* its lock guards the entries against snapshots; NULL: none */
	unsigned n_wrong, n_problems, n_found;
	char wrong[200];
	struct spool *spool; /* of the recovery */
	bool is_exact;       /* kill -9: marks must be exact */
};

static inline void
ledger_lock(struct ledger *l)
{
	if (l->fs != NULL)
		(void)pthread_mutex_lock(&l->fs->lock);
}

static inline void
ledger_unlock(struct ledger *l)
{
	if (l->fs != NULL)
		(void)pthread_mutex_unlock(&l->fs->lock);
}

static inline void
ledger_body(uint64_t number, uint64_t offset, unsigned char *to, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t at = offset + i;

		uint64_t word = (number << 40 | at >> 3) * 0x9e3779b97f4a7c15ull;

		word ^= word >> 29;
		to[i] = (unsigned char)(word * 0xbf58476d1ce4e5b9ull >> (8 * (at & 7)));
	}
}

static inline void
ledger_wrong(struct ledger *l, const char *what, size_t number)
{
	if (l->n_wrong++ == 0)
		(void)snprintf(l->wrong, sizeof(l->wrong), "message %zu: %s", number, what);
}

static inline void
ledger_committed(void *arg, uint64_t cookie, struct spool_message *m, const struct err *err)
{
	struct ledger *l = arg;

	ledger_lock(l);
	if (l->entries[cookie].told != TOLD_NOTHING)
		ledger_wrong(l, "answered twice", cookie);
	l->entries[cookie].told = err == NULL ? TOLD_KEPT : TOLD_REFUSED;
	l->entries[cookie].m = m;
	if ((err == NULL) != (m != NULL))
		ledger_wrong(l, "kept without a message, or refused with one", cookie);
	ledger_unlock(l);
}

static inline void
ledger_problem(void *arg, const char *name, const char *what, const char *do_this)
{
	struct ledger *l = arg;

	(void)name;
	(void)what;
	ledger_lock(l);
	l->n_problems += do_this != NULL;
	ledger_unlock(l);
}

static inline struct span
ledger_text(char to[32], const char *what, uint64_t number, unsigned version)
{
	int n = snprintf(to, 32, "%s-%llu-%u", what, (unsigned long long)number, version);

	return span_of(to, (size_t)n);
}

/* Puts message number l->n; `as_file`: by memfd, with bytes before it to skip. */
static inline size_t
ledger_put(struct ledger *l, struct spool *s, uint64_t size, bool as_file)
{
	enum { SKIP = 37 };
	size_t number = l->n;
	char id[32], envelope[32];
	unsigned char *body = mem_alloc(size + SKIP);
	int fd = -1;

	must(number < LEDGER_MAX);
	ledger_lock(l);
	l->entries[number] = (struct entry){.size = size};
	l->n++;
	ledger_unlock(l);
	ledger_body(number, 0, body + SKIP, size);
	if (as_file) {
		fd = memfd_create("body", MFD_CLOEXEC);
		must(fd >= 0 && write(fd, body, size + SKIP) == (ssize_t)(size + SKIP));
	}
	spool_put(s, number, ledger_text(id, "id", number, 0),
	    ledger_text(envelope, "env", number, 0), SPAN("A: prefix\n"),
	    span_of(body + SKIP, as_file ? 0 : size), fd, SKIP, size + SKIP);
	mem_free(body);
	return number;
}

static inline void
ledger_note(struct ledger *l, struct spool *s, size_t number)
{
	struct entry *e = &l->entries[number];
	char text[32];

	ledger_lock(l);
	e->note_before = e->note++;
	ledger_unlock(l);
	spool_note(s, e->m, ledger_text(text, "note", number, e->note));
	ledger_lock(l);
	e->note_before = e->note;
	ledger_unlock(l);
}

static inline void
ledger_forget(struct ledger *l, struct spool *s, size_t number)
{
	struct entry *e = &l->entries[number];
	struct spool_message *m = e->m;

	ledger_lock(l);
	e->told = TOLD_SETTLING;
	e->m = NULL;
	ledger_unlock(l);
	spool_forget(s, &m);
	ledger_lock(l);
	e->told = TOLD_SETTLED;
	ledger_unlock(l);
}

static inline void
ledger_check_body(struct ledger *l, struct spool *s, const struct spool_message *m, size_t number)
{
	uint64_t size = spool_message_size(m) - LEDGER_PREFIX, done = 0;
	unsigned char want[512], got[512];
	bool is_same = spool_message_prefix(m) == LEDGER_PREFIX;

	if (size != l->entries[number].size)
		ledger_wrong(l, "size", number);
	if (spool_verify(s, m) != 0)
		ledger_wrong(l, "verify", number);
	if (spool_read(s, m, 0, got, LEDGER_PREFIX) != 0 ||
	    memcmp(got, "A: prefix\n", LEDGER_PREFIX) != 0)
		ledger_wrong(l, "prefix", number);
	while (done < size && is_same) {
		size_t n = size - done < sizeof(got) ? (size_t)(size - done) : sizeof(got);

		ledger_body(number, done, want, n);
		is_same = spool_read(s, m, LEDGER_PREFIX + done, got, n) == 0 &&
			  memcmp(want, got, n) == 0;
		done += n;
	}
	if (!is_same)
		ledger_wrong(l, "body", number);
}

static inline bool
ledger_number(struct span text, const char *what, uint64_t *number, uint64_t *version)
{
	struct span rest = text, word = span_cut(&rest, '-');

	return span_eq(word, span_str(what)) && span_to_u64(span_cut(&rest, '-'), number) &&
	       span_to_u64(rest, version);
}

static inline void
ledger_recovered(void *arg, struct spool_message *m, struct span envelope, struct span note)
{
	struct ledger *l = arg;
	uint64_t number, other = 0, version, note_version = 0;
	struct entry *e;

	if (!ledger_number(spool_message_id(m), "id", &number, &version) || number >= l->n) {
		ledger_wrong(l, "unknown id", 0);
		return;
	}
	e = &l->entries[number];
	l->n_found++;
	if (e->is_found)
		ledger_wrong(l, "recovered twice", number);
	e->is_found = true;
	e->m = m;
	if (!ledger_number(envelope, "env", &other, &version) || other != number)
		ledger_wrong(l, "envelope", number);
	if (e->told == TOLD_REFUSED)
		ledger_wrong(l, "was refused and came back", number);
	if (e->told == TOLD_SETTLED && l->is_exact)
		ledger_wrong(l, "was settled and came back", number);
	if (!span_is_empty(note) &&
	    (!ledger_number(note, "note", &other, &note_version) || other != number))
		ledger_wrong(l, "note of another", number);
	if (note_version > e->note || (l->is_exact && note_version < e->note_before))
		ledger_wrong(l, "note too old", number);
}

static const struct spool_events ledger_events = {
    .on_committed = ledger_committed,
    .on_recovered = ledger_recovered,
    .on_problem = ledger_problem,
};

/* After a recovery: everything kept is there, whole. */
static inline void
ledger_check(struct ledger *l, struct spool *s)
{
	for (size_t i = 0; i < l->n; i++) {
		struct entry *e = &l->entries[i];

		if (e->told == TOLD_KEPT && !e->is_found)
			ledger_wrong(l, "was kept and is lost", i);
		if (e->is_found)
			ledger_check_body(l, s, e->m, i);
	}
}

/* Turns until message `number` has been answered. */
static inline void
ledger_wait(struct ledger *l, struct loop *loop, size_t number)
{
	while (l->entries[number].told == TOLD_NOTHING)
		loop_turn(loop, 20);
}

#endif

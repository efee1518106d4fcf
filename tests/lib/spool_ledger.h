/*
 * spool_ledger.h - what a test asked of a spool and what it was told, to be held against what a
 * recovery finds.  Bodies follow from the message's number, so nothing is stored twice.
 */
#ifndef TESTS_SPOOL_LEDGER_H
#define TESTS_SPOOL_LEDGER_H
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/record.h"
#include "relay/spool/spool.h"
#include "tests/lib/memfs.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LEDGER_MAX = 2048, LEDGER_PREFIX = 10, LEDGER_NONCES = 256, LEDGER_NOTE = 1200 };

enum told {
	TOLD_NOTHING,
	TOLD_KEPT,
	TOLD_REFUSED,
	TOLD_SETTLING,
	TOLD_SETTLED,
	TOLD_GONE /* never answered, and not found by the recovery after it */
};

struct entry {
	enum told told;
	uint64_t size; /* of the body */
	struct spool_message *m;
	uint64_t
	    nonce; /* of an earlier life: the body and notes hold forged records with it; 0: none */
	unsigned note, note_before; /* newest version told, and the one before the call */
	unsigned note_firm;         /* power loss leaves this one or a newer one */
	bool is_settled_firm;       /* power loss does not bring it back */
	bool is_spoilt; /* its bytes on disk were made bad: it may be lost, and must be shown */
	bool is_found;
	unsigned note_found;
	uint64_t serial;   /* 0: it was never told */
	uint64_t replaces; /* number + 1 of a held message that it takes the place of; 0: none */
	uint64_t named;    /* that one's serial, which its envelope says */
};

struct ledger {
	struct memfs *fs; /* its lock guards the entries against other threads; NULL: none */
	unsigned n_wrong, n_problems, n_found;
	char wrong[200];
	bool is_exact;  /* kill -9: marks must be exact */
	bool is_firm;   /* power loss: marks older than a second must be there */
	bool is_blind;  /* reads failed: a message may be left for the next start */
	bool is_deaf;   /* answers of a spool whose process is dead */
	uint64_t nonce; /* for the messages from now on */
	size_t n;
	struct entry entries[LEDGER_MAX];
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

/* Bytes that follow from the message's number, from `offset` on. */
static inline void
ledger_body(uint64_t number, uint64_t offset, unsigned char *to, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint64_t at = offset + i, word = (number << 40 | at >> 3) * 0x9e3779b97f4a7c15ull;
		size_t skip = at & 7, take = 8 - skip < n - i ? 8 - skip : n - i;

		word ^= word >> 29;
		word *= 0xbf58476d1ce4e5b9ull;
		memcpy(to + i, (unsigned char *)&word + skip, take);
		i += take;
	}
}

/* A whole record with its CRC: of a message nobody sent, or the end of one that is there. */
static inline size_t
ledger_forge(unsigned char to[128], enum record_type type, uint64_t nonce, uint64_t serial)
{
	static const struct record_message parts = {.id_n = 6, .envelope_n = 6};
	struct record_homes homes = {.home = 1};
	struct record r = {.nonce = nonce, .serial = serial, .type = type, .length = RECORD_HOMES};
	unsigned char *payload = to + RECORD_HEADER;
	uint64_t covered = RECORD_HOMES;
	uint32_t crc;

	memset(to, 0, 128);
	if (type == RECORD_MSG) {
		covered = r.length = record_message_length(&parts); /* no prefix, no body */
		record_encode_message(&parts, payload);
		memcpy(payload + RECORD_LENGTHS, "forgedforged", 12);
	} else {
		record_encode_homes(&homes, payload);
	}
	record_encode(&r, to);
	crc = record_crc_of_header(to);
	record_set_crc(to, crc32c(crc, payload, (size_t)covered));
	return (size_t)record_size(r.length);
}

/* Forged records all over it, so that one begins at a multiple of 8 of the segment. */
static inline void
ledger_add_forged(
    unsigned char *to, size_t n, enum record_type type, uint64_t nonce, uint64_t serial)
{
	unsigned char forged[128];
	size_t size = ledger_forge(forged, type, nonce, serial);

	for (size_t at = 0; at + size <= n; at += size + 1)
		memcpy(to + at, forged, size);
}

static inline void
ledger_fill_body(const struct entry *e, uint64_t number, unsigned char *to)
{
	ledger_body(number, 0, to, e->size);
	if (e->nonce != 0)
		ledger_add_forged(to, e->size, RECORD_MSG, e->nonce, number % 7 == 0 ? 1 : number);
}

static inline void
ledger_wrong(struct ledger *l, const char *what, size_t number)
{
	if (l->n_wrong++ == 0)
		(void)snprintf(l->wrong, sizeof(l->wrong), "message %zu: %s", number, what);
}

/* A serial stays, and is given to nobody else while somebody may speak of it. */
static inline void
ledger_meet(struct ledger *l, uint64_t number, const struct spool_message *m)
{
	struct entry *e = &l->entries[number];

	if (m == NULL)
		return;
	if (e->serial != 0 && e->serial != spool_message_serial(m))
		ledger_wrong(l, "its serial is another", number);
	for (size_t i = 0; e->serial == 0 && i < l->n; i++)
		if (l->entries[i].told == TOLD_KEPT &&
		    l->entries[i].named >= spool_message_serial(m))
			ledger_wrong(l, "its serial is one that was replaced", number);
	e->serial = spool_message_serial(m);
}

static inline void
ledger_committed(void *arg, uint64_t cookie, struct spool_message *m, const struct err *err)
{
	struct ledger *l = arg;

	ledger_lock(l);
	if (l->is_deaf) {
		ledger_unlock(l);
		return;
	}
	if (l->entries[cookie].told != TOLD_NOTHING)
		ledger_wrong(l, "answered twice", cookie);
	l->entries[cookie].told = err == NULL ? TOLD_KEPT : TOLD_REFUSED;
	l->entries[cookie].m = m;
	ledger_meet(l, cookie, m);
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

/* Puts message number l->n, which takes the place of another (its number + 1; 0: none); `as_file`: by
 * memfd, with bytes before it to skip. */
static inline size_t
ledger_put_part(struct ledger *l, struct spool *s, uint64_t size, bool as_file, uint64_t replaces)
{
	enum { SKIP = 37 };
	size_t number = l->n;
	char id[32], envelope[32];
	unsigned char *body = mem_alloc(size + SKIP);
	int fd = -1;

	must(number < LEDGER_MAX);
	ledger_lock(l);
	l->entries[number] = (struct entry){.size = size, .nonce = l->nonce, .replaces = replaces};
	if (replaces > 0)
		l->entries[number].named = l->entries[replaces - 1].serial;
	l->n++;
	ledger_unlock(l);
	ledger_fill_body(&l->entries[number], number, body + SKIP);
	if (as_file) {
		fd = memfd_create("body", MFD_CLOEXEC);
		must(fd >= 0 && write(fd, body, size + SKIP) == (ssize_t)(size + SKIP));
	}
	spool_put(s, number, ledger_text(id, "id", number, 0),
	    ledger_text(envelope, "env", number, (unsigned)l->entries[number].named),
	    SPAN("A: prefix\n"), span_of(body + SKIP, as_file ? 0 : size), fd, SKIP, size + SKIP);
	mem_free(body);
	return number;
}

static inline size_t
ledger_put(struct ledger *l, struct spool *s, uint64_t size, bool as_file)
{
	return ledger_put_part(l, s, size, as_file, 0);
}

/* A remote server may have said anything: what follows the text is forged ends of messages. */
static inline struct span
ledger_note_text(const struct ledger *l, size_t number, unsigned version, char to[LEDGER_NOTE])
{
	struct span text = ledger_text(to, "note", number, version);
	size_t size = (number * 131 + version * 17) % 8 == 0 ? LEDGER_NOTE : text.n;

	if (l->entries[number].nonce == 0 || size <= text.n)
		return text;
	memset(to + text.n, '-', size - text.n);
	ledger_add_forged((unsigned char *)to + text.n + 1, size - text.n - 1, RECORD_DONE,
	    l->entries[number].nonce, number + version % 3);
	return span_of(to, size);
}

static inline void
ledger_note(struct ledger *l, struct spool *s, size_t number)
{
	struct entry *e = &l->entries[number];
	char text[LEDGER_NOTE];

	ledger_lock(l);
	e->note_before = e->note++;
	ledger_unlock(l);
	spool_note(s, e->m, ledger_note_text(l, number, e->note, text));
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
	const struct entry *e = &l->entries[number];
	uint64_t size = spool_message_size(m);
	unsigned char *bytes = mem_alloc(2 * size + 1), *want = bytes + size;
	int verified;

	do
		verified = spool_verify(s, m);
	while (verified == -E_AGAIN);
	if (verified != 0 && !e->is_spoilt)
		ledger_wrong(l, "verify", number);
	if (size != e->size + LEDGER_PREFIX || spool_message_prefix(m) != LEDGER_PREFIX) {
		ledger_wrong(l, "size", number);
	} else if (verified == 0) {
		memcpy(want, "A: prefix\n", LEDGER_PREFIX);
		ledger_fill_body(e, number, want + LEDGER_PREFIX);
		if (spool_read(s, m, 0, bytes, size) != 0 || memcmp(bytes, want, size) != 0)
			ledger_wrong(l, "prefix or body", number);
	}
	mem_free(bytes);
}

static inline bool
ledger_number(struct span text, const char *what, uint64_t *number, uint64_t *version)
{
	struct span rest = text, word = span_cut(&rest, '-');

	return span_eq(word, span_str(what)) && span_to_u64(span_cut(&rest, '-'), number) &&
	       span_to_u64(span_cut(&rest, '-'), version);
}

static inline void
ledger_check_note(struct ledger *l, struct span note, uint64_t number)
{
	struct entry *e = &l->entries[number];
	uint64_t other = 0, version = 0;
	char want[LEDGER_NOTE];

	if (!span_is_empty(note) &&
	    (!ledger_number(note, "note", &other, &version) || other != number ||
		!span_eq(note, ledger_note_text(l, number, (unsigned)version, want))))
		ledger_wrong(l, "note is another's", number);
	e->note_found = (unsigned)version;
	if (version > e->note)
		ledger_wrong(l, "note from nowhere", number);
	if (l->is_exact && version < e->note_before)
		ledger_wrong(l, "note too old after kill -9", number);
	if (l->is_firm && version < e->note_firm)
		ledger_wrong(l, "note too old after power loss", number);
}

static inline void
ledger_recovered(
    void *arg, struct spool_message *m, struct span id, struct span envelope, struct span note)
{
	struct ledger *l = arg;
	uint64_t number, other = 0, version;
	struct entry *e;

	if (!ledger_number(id, "id", &number, &version) || number >= l->n) {
		ledger_wrong(l, "unknown id", 0);
		return;
	}
	e = &l->entries[number];
	l->n_found++;
	if (e->is_found)
		ledger_wrong(l, "recovered twice", number);
	e->is_found = true;
	e->m = m;
	ledger_meet(l, number, m);
	if (!ledger_number(envelope, "env", &other, &version) || other != number ||
	    version != e->named)
		ledger_wrong(l, "envelope", number);
	if (e->told == TOLD_REFUSED)
		ledger_wrong(l, "was refused and came back", number);
	if (e->told == TOLD_GONE)
		ledger_wrong(l, "was not found once, and came back", number);
	if (e->told == TOLD_SETTLED && l->is_exact)
		ledger_wrong(l, "was settled and came back after kill -9", number);
	if (e->is_settled_firm && l->is_firm)
		ledger_wrong(l, "was settled and came back after power loss", number);
	ledger_check_note(l, note, number);
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

		if (e->told == TOLD_KEPT && !e->is_found && !e->is_spoilt && !l->is_blind)
			ledger_wrong(l, "was kept and is lost", i);
		if (e->is_found)
			ledger_check_body(l, s, e->m, i);
	}
}

/* A second has passed and the disk works: marks of until now are durable. */
static inline void
ledger_make_firm(struct ledger *l)
{
	ledger_lock(l);
	for (size_t i = 0; i < l->n; i++) {
		struct entry *e = &l->entries[i];

		e->note_firm = e->note;
		e->is_settled_firm = e->is_settled_firm || e->told == TOLD_SETTLED;
	}
	ledger_unlock(l);
}

/* For what a recovery is asked about: as told, nothing found yet. */
static inline void
ledger_copy(struct ledger *to, const struct ledger *from)
{
	memcpy(to, from, offsetof(struct ledger, entries) + from->n * sizeof(from->entries[0]));
	to->fs = NULL;
	to->n_wrong = to->n_found = to->n_problems = 0;
	to->is_deaf = to->is_blind = to->is_exact = to->is_firm = false;
	for (size_t i = 0; i < to->n; i++)
		to->entries[i].is_found = false;
}

/* What the recovery found is what is so from now on, and all of it is durable. */
static inline void
ledger_reborn(struct ledger *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct entry *e = &l->entries[i];

		if (e->is_found) {
			e->told = TOLD_KEPT;
			e->note = e->note_before = e->note_firm = e->note_found;
			e->is_settled_firm = false;
		} else if (e->told == TOLD_NOTHING) {
			e->told = TOLD_GONE;
		} else if (e->told != TOLD_GONE && e->told != TOLD_REFUSED) {
			e->told = TOLD_SETTLED;
			e->is_settled_firm = true;
		}
		if (!e->is_found)
			e->m = NULL;
		e->is_found = false;
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

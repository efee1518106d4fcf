/* fake_lookup.h - a lookup role with answers by the name and type of the question. */
#ifndef TEST_FAKE_LOOKUP_H
#define TEST_FAKE_LOOKUP_H
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/front/dns_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include <unistd.h>

enum { FAKE_QUESTIONS_MAX = 2048 };

/* "A name" -> "192.0.2.1 192.0.2.2", "MX name" -> "mx1. mx2", "-": NXDOMAIN, "": no such record, "!": SERVFAIL,
 * "?": silence; a '~' in front: without the SOA.  What is not there is NXDOMAIN. */
struct fake_record {
	const char *question, *answer;
	enum dns_proof proof;
};

struct fake_lookup {
	struct loop *loop;
	struct dns_client *dns;
	int fd;
	struct buf buf;
	const struct fake_record *records; /* up to a NULL question */
	char asked[FAKE_QUESTIONS_MAX][LOOKUP_NAME_MAX + 8];
	bool was_fresh[FAKE_QUESTIONS_MAX];
	size_t n_asked;
	int64_t now_ms;
};

static inline void
fake_open(struct fake_lookup *f)
{
	int ends[2];

	f->now_ms = 1000;
	clock_fake(f->now_ms, 1);
	f->loop = loop_new();
	f->dns = dns_client_new(f->loop);
	channel_pair(ends);
	dns_client_connect(f->dns, ends[0]);
	f->fd = ends[1];
}

static inline void
fake_close(struct fake_lookup *f)
{
	(void)close(f->fd);
	for (int i = 0; i < 4; i++)
		loop_turn(f->loop, 0);
	loop_free(&f->loop);
	buf_free(&f->buf);
	clock_fake(0, -1);
}

static inline void
fake_fill(struct dns_answer *a, const struct dns_question *q, const struct fake_record *r)
{
	struct span rest = span_str(r != NULL ? r->answer : "-"), word;

	a->has_soa = !span_starts(rest, SPAN("~"));
	rest = span_skip(rest, a->has_soa ? 0 : 1);
	a->proof = r != NULL ? r->proof : DNS_PROOF_NONE;
	a->is_nxdomain = span_eq(rest, SPAN("-"));
	a->status = rest.n == 0 || a->is_nxdomain ? DNS_NONE
		    : span_eq(rest, SPAN("!"))    ? DNS_FAILED
						  : DNS_FOUND;
	while (a->status == DNS_FOUND && (word = span_word(&rest)).n > 0) {
		if (q->type == DNS_A || q->type == DNS_AAAA)
			assert_true(ip_parse(word, &a->addresses[a->n_addresses++]));
		else
			assert_true(span_copy(word, a->names[a->n_names++], LOOKUP_NAME_MAX + 1));
	}
}

static inline void
fake_answer(struct fake_lookup *f, uint64_t id, const struct dns_question *q)
{
	static const char *const types[] = {"A", "AAAA", "PTR", "MX"};
	struct dns_answer *a = mem_alloc(sizeof(*a));
	const struct fake_record *r = f->records;
	struct buf b = BUF_INIT(16384);
	char *asked = f->asked[f->n_asked];

	assert_true(f->n_asked < FAKE_QUESTIONS_MAX);
	f->was_fresh[f->n_asked++] = q->is_fresh;
	(void)snprintf(asked, sizeof(f->asked[0]), "%s %.*s", types[q->type], SPAN_ARG(q->name));
	while (r->question != NULL && strcmp(r->question, asked) != 0)
		r++;
	if (r->question == NULL || strcmp(r->answer, "?") != 0) {
		fake_fill(a, q, r->question != NULL ? r : NULL);
		dns_answer_put(&b, a);
		assert_int_equal(channel_send_now(f->fd, LOOKUP_ANSWER, id, buf_span(&b), NULL), 0);
	}
	buf_free(&b);
	mem_free(a);
}

/* Answers until nothing more is asked. */
static inline void
fake_serve(struct fake_lookup *f)
{
	struct message m;
	int quiet = 0;

	while (quiet < 4) {
		struct dns_question q;

		loop_turn(f->loop, 0);
		if (channel_receive(f->fd, &m, &f->buf, 0) < 0) {
			quiet++;
			continue;
		}
		quiet = 0;
		assert_int_equal(dns_question_get(m.payload, &q), 0);
		fake_answer(f, m.id, &q);
	}
}

static inline void
fake_pass(struct fake_lookup *f, int64_t ms)
{
	f->now_ms += ms;
	clock_fake(f->now_ms, 1);
	for (int i = 0; i < 4; i++)
		loop_turn(f->loop, 0);
}

static inline bool
fake_was_asked(const struct fake_lookup *f, const char *question)
{
	for (size_t i = 0; i < f->n_asked; i++)
		if (strcmp(f->asked[i], question) == 0)
			return true;
	return false;
}

/* The same as a test's setup and teardown: *state is the lookup. */
static inline int
fake_setup(void **state)
{
	/* What lives as long as its process: kept, so that a leak checker still sees it. */
	static struct dns_client *kept[64];
	static size_t n_kept;
	struct fake_lookup *f = mem_alloc(sizeof(*f));

	fake_open(f);
	must(n_kept < sizeof(kept) / sizeof(kept[0]));
	kept[n_kept++] = f->dns;
	*state = f;
	return 0;
}

static inline int
fake_teardown(void **state)
{
	struct fake_lookup *f = *state;

	fake_close(f);
	mem_free(f);
	return 0;
}

static inline void
fake_on_done(void *arg)
{
	++*(int *)arg;
}

#endif

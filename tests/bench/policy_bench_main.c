/*
 * policy_bench [ENTRIES]...    by default 10, 10000 and 1000000
 *
 * For each number of entries and each way to hold them (a list file of addresses, one of domains, a
 * rule for each address): how long a snapshot takes to build and to free, what memory it holds, how
 * long a look-up takes, and how many decisions of a whole session (connect to data) there are in a
 * second.  Half of what is asked is there.  `make bench-policy` runs it; docs/benchmarks.md has the
 * figures.
 */
#include "policy/decide/decide.h"
#include "relay/base/rng.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LOOKUPS = 400000, SESSIONS = 100000, FACT_MAX = 64, FACTS = 1 << 17, SHORT = 200 };

/* Of processor: what else runs on the machine does not count. */
static double
seconds(void)
{
	struct timespec now;

	must(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double
megabytes_held(void)
{
	struct mallinfo2 info = mallinfo2();

	return (double)(info.uordblks + info.hblkhd) / 1e6;
}

/* Spread over the whole of IPv4: 2654435761 is odd, so no two are alike. */
static uint32_t
address_of(uint32_t i)
{
	return i * 2654435761U;
}

static void
add_address(struct buf *to, uint32_t i)
{
	uint32_t a = address_of(i);

	(void)buf_addf(to, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}

struct ways {
	const char *name, *policy; /* NULL: a rule for each */
	enum facet facet;
};

static void
add_entry(struct buf *to, const struct ways *way, uint32_t i)
{
	if (way->policy == NULL)
		(void)buf_add_str(to, "reject client ");
	if (way->facet == FACET_CLIENT)
		add_address(to, i);
	else
		(void)buf_addf(to, "%shost%u.spam%u.example", i % 2 == 0 ? "." : "@", i, i % 977);
	(void)buf_add_char(to, '\n');
}

static int
read_entries(void *arg, struct span name, struct buf *text, struct err *err)
{
	(void)name;
	(void)err;
	return buf_add_span(text, buf_span(arg));
}

/* Facts are made before the clock starts. */
struct asked {
	struct ip client;
	char from[FACT_MAX];
};

static void
make_facts(struct asked *facts, uint32_t n, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t k = rng_below(n * 2), a = address_of(k); /* half of them are beyond */

		memset(&facts[i].client, 0, sizeof(facts[i].client));
		memset(facts[i].client.bytes + 10, 0xff, 2);
		for (int b = 0; b < 4; b++)
			facts[i].client.bytes[12 + b] = (uint8_t)(a >> (24 - 8 * b));
		(void)snprintf(facts[i].from, FACT_MAX, "someone@%shost%u.spam%u.example",
		    k % 2 == 0 ? "mx." : "", k, k % 977);
	}
}

static void
decide(
    const struct snapshot *s, const struct asked *asked, struct verdict *v, decide_tracer *tracer)
{
	struct facts facts = {.client = asked->client,
	    .has_helo = true,
	    .helo = SPAN("client.example"),
	    .from = span_str(asked->from),
	    .to = SPAN("bob@example.org"),
	    .hostname = "mx"};

	*v = (struct verdict){0};
	for (int at = STAGE_CONNECT; at <= STAGE_DATA; at++)
		decide_stage(s, (enum stage)at, &facts, v, tracer, NULL);
}

static void
forget(void *arg, const struct step *step)
{
	(void)arg;
	(void)step;
}

static double
lookup_us(const struct snapshot *s, const struct asked *facts, size_t *hits)
{
	struct verdict v = {0};
	double start = seconds();

	for (size_t i = 0; i < LOOKUPS; i++) {
		struct facts f = {.client = facts[i % FACTS].client,
		    .from = span_str(facts[i % FACTS].from),
		    .hostname = "mx"};

		v.action = ACTION_PASS;
		v.n_tags = 0;
		decide_stage(s, STAGE_CONNECT, &f, &v, NULL, NULL);
		decide_stage(s, STAGE_MAIL, &f, &v, NULL, NULL);
		*hits += v.action > ACTION_TAG;
	}
	return (seconds() - start) / LOOKUPS * 1e6;
}

static void
run(const struct ways *way, uint32_t n)
{
	struct buf entries = BUF_INIT(POLICY_TEXT_MAX), text = BUF_INIT(POLICY_TEXT_MAX);
	struct asked *facts = calloc(FACTS, sizeof(*facts));
	double start, built, freed, us, walked, before;
	struct policy_errors errors;
	struct snapshot *s;
	struct verdict v;
	size_t hits = 0, sessions = 0;

	must(facts != NULL);
	for (uint32_t i = 0; i < n; i++)
		add_entry(&entries, way, i);
	make_facts(facts, n, FACTS);
	(void)buf_add_str(&text, way->policy != NULL ? way->policy : "");
	must(!entries.failed && !text.failed);
	before = megabytes_held();
	start = seconds();
	s = snapshot_parse(buf_span(way->policy != NULL ? &text : &entries), "bench", read_entries,
	    &entries, &errors);
	built = seconds() - start;
	if (s == NULL)
		die("%.*s", (int)errors.lines.n, errors.lines.p);
	printf("%-22s %8u  built in %8.1f ms  holds %7.1f MB", way->name, n, built * 1e3,
	    megabytes_held() - before);
	us = lookup_us(s, facts, &hits);
	start = seconds();
	for (size_t i = 0; i < SESSIONS; i++)
		decide(s, &facts[i % FACTS], &v, NULL);
	printf("  look-up %6.3f us (%zu%% there)  %8.0f decisions/s", us, hits * 100 / LOOKUPS,
	    SESSIONS / (seconds() - start));
	start = seconds();
	for (; sessions < SHORT && seconds() - start < 1; sessions++)
		decide(s, &facts[sessions], &v, forget);
	walked = (seconds() - start) / (double)sessions * 1e6;
	start = seconds();
	snapshot_release(&s);
	freed = seconds() - start;
	printf("  walked %10.1f us  freed in %6.1f ms\n", walked, freed * 1e3);
	buf_free(&errors.lines);
	buf_free(&entries);
	buf_free(&text);
	free(facts);
}

int
main(int argc, char **argv)
{
	static const struct ways ways[] = {
	    {"list of addresses", "reject client list:x\n", FACET_CLIENT},
	    {"list of domains", "reject from list:x\n", FACET_FROM},
	    {"a rule each", NULL, FACET_CLIENT},
	};
	static const char *const usual[] = {"10", "10000", "1000000"};
	size_t n = argc > 1 ? (size_t)argc - 1 : sizeof(usual) / sizeof(usual[0]);

	rng_seed(1);
	for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++)
		for (size_t i = 0; i < n; i++) {
			const char *number = argc > 1 ? argv[i + 1] : usual[i];
			uint64_t entries;

			if (!span_to_u64(span_str(number), &entries) || entries == 0 ||
			    entries > POLICY_RULES_MAX)
				die("%s: 1 to %d entries", number, POLICY_RULES_MAX);
			run(&ways[w], (uint32_t)entries);
		}
	return 0;
}

#include "relay/deliver/health.h"

enum {
	US = 1000, /* in a millisecond */
	PACE_SHARE = 8,
	SLOW_SHARE = 2,    /* a slow one is seldom asked: each answer weighs more */
	USUAL_SHARE = 256, /* what is usual follows a rise this slowly */
	SLOW_TIMES = 4,    /* … as the fastest peer */
	SLOW_MS = 500,
	SLOW_STAY_TIMES = 2,
	SLOW_STAY_MS = 250,
	PERCENT = 100,
	PERCENTILE = 95
};

const int64_t health_bounds_ms[HEALTH_BUCKETS - 1] = {
    5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000};

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static unsigned
greatest(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

void
health_init(struct health *h, unsigned most)
{
	*h = (struct health){.most = most, .threshold = most, .limit = least(HEALTH_START, most)};
}

void
health_return(struct health *h)
{
	h->threshold = greatest(h->limit / 2, 2);
	h->limit = HEALTH_RETURN;
	h->n_grown = 0;
	h->hold_ms = 0;
	h->was_halved = false;
	h->final = h->greeting = (struct pace){0}; /* of the time before it went down */
	h->usual_us = 0;
}

/* --- how fast ---------------------------------------------------------------------------------- */

static void
pace_add(struct pace *p, int64_t ms, int share, int64_t now_ms)
{
	int64_t us = ms > 0 ? ms * US : 0;

	p->us = p->n == 0 ? us : p->us + (us - p->us) / share;
	if (p->n < HEALTH_SAMPLES_MIN)
		p->n++;
	p->sampled_ms = now_ms;
}

bool
pace_is_known(const struct pace *p)
{
	return p->n >= HEALTH_SAMPLES_MIN;
}

bool
pace_is_slow(const struct pace *p, const struct pace *best, bool was_slow)
{
	int64_t times = was_slow ? SLOW_STAY_TIMES : SLOW_TIMES;
	int64_t floor_us = (was_slow ? SLOW_STAY_MS : SLOW_MS) * (int64_t)US;

	return pace_is_known(p) && pace_is_known(best) && p->us > floor_us &&
	       p->us > times * best->us;
}

static void
count_latency(struct health *h, int64_t ms)
{
	size_t i = 0;
	uint64_t sum = 0;

	while (i < HEALTH_BUCKETS - 1 && ms > health_bounds_ms[i])
		i++;
	h->latency[i]++;
	h->latency_sum_ms += ms > 0 ? (uint64_t)ms : 0;
	h->recent[i]++;
	for (i = 0; i < HEALTH_BUCKETS; i++)
		sum += h->recent[i];
	for (i = 0; sum >= HEALTH_RECENT_MAX && i < HEALTH_BUCKETS; i++)
		h->recent[i] /= 2;
}

int64_t
health_p95_ms(const struct health *h)
{
	uint64_t sum = 0, wanted, before = 0;
	size_t i = 0;
	int64_t low, high;

	for (size_t k = 0; k < HEALTH_BUCKETS; k++)
		sum += h->recent[k];
	if (sum == 0)
		return -1;
	wanted = (sum * PERCENTILE + PERCENT - 1) / PERCENT;
	while (before + h->recent[i] < wanted)
		before += h->recent[i++];
	low = i > 0 ? health_bounds_ms[i - 1] : 0;
	high = i < HEALTH_BUCKETS - 1 ? health_bounds_ms[i] : low;
	return low + (high - low) * (int64_t)(wanted - before) / (int64_t)h->recent[i];
}

int64_t
health_average_ms(const struct health *h)
{
	return h->final.n > 0 ? (h->final.us + US / 2) / US : -1;
}

void
health_greeted(struct health *h, int64_t wait_ms, bool is_slow, int64_t now_ms)
{
	pace_add(&h->greeting, wait_ms, is_slow ? SLOW_SHARE : PACE_SHARE, now_ms);
}

/* --- how many ---------------------------------------------------------------------------------- */

static void
halve(struct health *h, unsigned floor, int64_t now_ms)
{
	h->hold_ms = now_ms + HEALTH_HOLD_MS;
	if (h->was_halved && now_ms < h->halved_ms + HEALTH_HALVE_MS)
		return;
	if (h->limit > floor)
		h->limit = greatest(h->limit / 2, floor);
	h->threshold = h->limit;
	h->n_grown = 0;
	h->was_halved = true;
	h->halved_ms = now_ms;
}

static void
grow(struct health *h, int64_t now_ms)
{
	if (now_ms < h->hold_ms || h->limit >= h->most)
		return;
	if (h->limit >= h->threshold && ++h->n_grown < h->limit)
		return;
	h->n_grown = 0;
	h->limit++;
}

static bool
has_risen(const struct health *h)
{
	int64_t usual_us = h->usual_us > US ? h->usual_us : US;

	return pace_is_known(&h->final) && h->final.us > HEALTH_RISE_MS * (int64_t)US &&
	       h->final.us > HEALTH_RISE_TIMES * usual_us;
}

void
health_took(struct health *h, int64_t wait_ms, unsigned n_busy, bool is_slow, int64_t now_ms)
{
	bool is_first = h->final.n == 0;

	pace_add(&h->final, wait_ms, is_slow ? SLOW_SHARE : PACE_SHARE, now_ms);
	count_latency(h, wait_ms);
	if (is_first || h->final.us < h->usual_us)
		h->usual_us = h->final.us;
	else
		h->usual_us += (h->final.us - h->usual_us) / USUAL_SHARE;
	if (n_busy > 1 && has_risen(h))
		halve(h, least(HEALTH_LATENCY_LEAST, h->limit), now_ms);
	else if (n_busy >= h->limit)
		grow(h, now_ms); /* a limit that nobody reaches is no experience */
}

void
health_refused(struct health *h, unsigned n_open, int64_t now_ms)
{
	halve(h, 1, now_ms);
	/* Always, or the next connection would be tried, and refused, at once. */
	h->limit = least(h->limit, greatest(n_open, 1));
	h->threshold = h->limit;
}

static bool
contains_nocase(struct span text, struct span word)
{
	for (; text.n >= word.n; text = span_skip(text, 1))
		if (span_starts_nocase(text, word))
			return true;
	return false;
}

bool
health_is_overload(int code, struct span reply)
{
	struct span rest = reply;

	if (code == 421)
		return true;
	if (code / 100 != 4)
		return false;
	(void)span_word(&rest); /* the code itself */
	rest = span_word(&rest);
	return span_eq(rest, SPAN("4.3.2")) || span_eq(rest, SPAN("4.4.5")) ||
	       contains_nocase(reply, SPAN("too many connections")) ||
	       contains_nocase(reply, SPAN("too many concurrent"));
}

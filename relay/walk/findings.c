#include "relay/walk/findings.h"

void
findings_list_name(const struct snapshot *s, size_t i, const struct ip *client, struct buf *to)
{
	/* Sticky: the caller tests to->failed. */
	(void)ip_add_reversed(to, client);
	(void)buf_add_char(to, '.');
	(void)buf_add_span(to, snapshot_list(s, i)->zone);
}

struct list_answer
findings_type_list(const struct snapshot *s, size_t i, const struct dns_answer *answer)
{
	uint32_t addresses[LOOKUP_RECORDS_MAX];
	size_t n = answer->status == DNS_FOUND ? answer->n_addresses : 0;

	if (answer->status != DNS_FOUND && answer->status != DNS_NONE)
		return (struct list_answer){.state = LIST_UNKNOWN};
	for (size_t k = 0; k < n; k++) {
		const uint8_t *b = answer->addresses[k].bytes + 12;

		addresses[k] =
		    (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	}
	return list_type_answer(s, i, addresses, n);
}

void
findings_add_failures(struct scan_result *result, const struct conf_flow *flow, uint32_t failed)
{
	size_t n = 0;

	for (size_t i = 0; i < flow->n_filters; i++)
		n += failed >> i & 1;
	/* In a full table they take the last places: without them a failed filter had no say. */
	if (result->n_outcomes > SCAN_OUTCOMES_MAX - n)
		result->n_outcomes = SCAN_OUTCOMES_MAX - n;
	for (size_t i = 0; i < flow->n_filters; i++)
		if (failed >> i & 1)
			result->outcomes[result->n_outcomes++] = (struct scan_outcome){(uint8_t)i,
			    -1, SPAN("crashed, took too long or was not available"),
			    (struct span){0}};
}

_Static_assert((int)SCAN_OUTCOMES_MAX == (int)VERDICT_OUTCOMES_MAX,
    "a verdict has a bit for each outcome of a result");

void
findings_gather(struct findings *f, const struct conf_flow *flow, const struct scan_result *result)
{
	f->n_outcomes = result->n_outcomes;
	f->n_tags = result->n_tags;
	f->truths = result->truths;
	for (size_t i = 0; i < result->n_outcomes; i++)
		f->outcomes[i] = (struct filter_outcome){&flow->filters[result->outcomes[i].filter],
		    result->outcomes[i].outcome, result->outcomes[i].why,
		    result->outcomes[i].uncut};
	for (size_t i = 0; i < result->n_tags; i++)
		f->tags[i] = (struct filter_tag){flow->filters[result->tags[i].filter].filter,
		    result->tags[i].name, result->tags[i].why, result->tags[i].score_milli};
}

void
findings_set(const struct findings *f, struct facts *facts)
{
	facts->truths = (const uint8_t *)f->truths.p;
	facts->n_truths = f->truths.n;
	facts->outcomes = f->outcomes;
	facts->n_outcomes = f->n_outcomes;
	facts->filter_tags = f->tags;
	facts->n_filter_tags = f->n_tags;
}

void
findings_spare_postmaster(struct verdict *v)
{
	if (v->action >= ACTION_TEMPFAIL)
		v->action = v->n_tags > 0 ? ACTION_TAG : ACTION_PASS;
}

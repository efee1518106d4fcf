#include "relay/walk/findings.h"
#include "policy/dnsbl/domain.h"
#include "relay/front/scan_why.h"

struct dns_question
findings_list_question(const struct snapshot *s, size_t i, const struct ip *client,
    const struct conf_dns *conf, struct buf *name)
{
	struct dns_question q = {.type = DNS_A, .timeout_ms = (uint32_t)conf->timeout_ms};

	(void)ip_add_reversed(name, client);
	(void)buf_add_char(name, '.');
	(void)buf_add_span(name, snapshot_list(s, i)->zone); /* sticky: tested here */
	if (name->failed)
		return q; /* no name: lookup fails it */
	q.name = buf_span(name);
	q.list = ip_is_v4(client) ? DNS_LIST_IPV4 : DNS_LIST_IPV6;
	q.zone = snapshot_list(s, i)->zone;
	return q;
}

struct dns_question
findings_domain_question(const struct snapshot *s, size_t i, struct span host,
    const struct conf_dns *conf, struct span *asked, struct buf *name)
{
	const struct dns_list *list = snapshot_list(s, i);
	struct dns_question q = {.type = DNS_A, .timeout_ms = (uint32_t)conf->timeout_ms};
	struct ip ip;

	q.list = DNS_LIST_DOMAIN;
	if (ip_parse(host, &ip)) {
		*asked = list->has_addresses ? host : (struct span){0};
		q.list = ip_is_v4(&ip) ? DNS_LIST_IPV4 : DNS_LIST_IPV6;
		(void)ip_add_reversed(name, &ip); /* sticky, as all below */
	} else {
		*asked = list->is_whole ? domain_host(host) : domain_registrable(host);
		(void)buf_add_span(name, *asked);
	}
	(void)buf_add_char(name, '.');
	(void)buf_add_span(name, list->zone);
	if (name->failed)
		*asked = (struct span){0}; /* longer than a name may be: nobody could list it */
	q.name = buf_span(name);
	q.zone = list->zone;
	return q;
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

/* The marks of outcomes that have gone: they would be those of what takes their place. */
static void
drop_marks(struct scan_result *result)
{
	size_t kept = 0;

	for (size_t i = 0; i < result->n_marks; i++)
		if (result->marks[i].outcome < result->n_outcomes)
			result->marks[kept++] = result->marks[i];
	result->n_marks = kept;
}

/* The worker has said of those it was told not to run that they failed, but cannot know why.  Their bits. */
static uint32_t
explain_failures(struct scan_result *result, const struct span *whys, uint32_t failed)
{
	uint32_t explained = 0;

	for (size_t i = 0; i < result->n_outcomes; i++) {
		struct scan_outcome *o = &result->outcomes[i];

		if (o->outcome >= 0 || !(failed >> o->filter & 1))
			continue;
		o->why = whys[o->filter];
		explained |= 1U << o->filter;
	}
	return explained;
}

void
findings_add_failures(struct scan_result *result, const struct scan *scan, uint32_t failed)
{
	static char texts[CONFIG_FILTERS_MAX][SCAN_WHY_MAX];
	struct span whys[CONFIG_FILTERS_MAX];
	size_t n_filters = scan->flow->n_filters, n = 0;

	for (size_t i = 0; i < n_filters; i++)
		if (failed >> i & 1)
			whys[i] = scan_why(scan, i, texts[i]);
	if (n_filters < CONFIG_FILTERS_MAX)
		failed &= (1U << n_filters) - 1;
	failed &= ~explain_failures(result, whys, failed);
	for (size_t i = 0; i < n_filters; i++)
		n += failed >> i & 1;
	/* In a full table they take the last places: without them a failed filter had no say. */
	if (result->n_outcomes > SCAN_OUTCOMES_MAX - n) {
		result->n_outcomes = SCAN_OUTCOMES_MAX - n;
		drop_marks(result);
	}
	for (size_t i = 0; i < n_filters; i++)
		if (failed >> i & 1)
			result->outcomes[result->n_outcomes++] =
			    (struct scan_outcome){(uint8_t)i, -1, whys[i], (struct span){0}};
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

int
findings_banner_code(const struct verdict *v)
{
	return v->action == ACTION_TEMPFAIL ? 421 : 554;
}

#include "relay/ipc/lookup.h"

void
dns_question_put(struct buf *to, const struct dns_question *q)
{
	put_u8(to, (uint8_t)q->type);
	put_span(to, q->name);
	put_u32(to, q->timeout_ms);
	put_u8(to, (uint8_t)q->list);
	put_span(to, q->zone);
	put_u8(to, q->is_fresh);
}

/* A zone stands behind a dot at the end of the name, and only a list has one. */
static bool
is_zone_of(const struct dns_question *q)
{
	size_t n = q->zone.n;

	if (q->list == DNS_LIST_NONE)
		return n == 0;
	return n > 0 && q->name.n > n + 1 && q->name.p[q->name.n - n - 1] == '.' &&
	       span_eq_nocase(span_skip(q->name, q->name.n - n), q->zone);
}

int
dns_question_get(struct span payload, struct dns_question *q)
{
	struct wire w = wire_over(payload);

	q->type = (enum dns_type)get_enum(&w, DNS_MX);
	q->name = get_span(&w, LOOKUP_NAME_MAX);
	q->timeout_ms = get_u32(&w);
	q->list = (enum dns_list_kind)get_enum(&w, DNS_LIST_DOMAIN);
	q->zone = get_span(&w, LOOKUP_NAME_MAX);
	q->is_fresh = get_enum(&w, 1);
	if (!w.failed && !is_zone_of(q))
		w.failed = true;
	return wire_end(&w);
}

void
dns_answer_put(struct buf *to, const struct dns_answer *a)
{
	put_u8(to, (uint8_t)a->status);
	put_u8(to, a->is_nxdomain);
	put_u8(to, a->has_soa);
	put_u32(to, a->ttl_s);
	put_u8(to, (uint8_t)a->proof);
	put_u32(to, (uint32_t)a->n_addresses);
	for (size_t i = 0; i < a->n_addresses; i++)
		put_span(to, span_of(a->addresses[i].bytes, sizeof(a->addresses[i].bytes)));
	put_u32(to, (uint32_t)a->n_names);
	for (size_t i = 0; i < a->n_names; i++)
		put_span(to, span_str(a->names[i]));
}

static void
get_address(struct wire *w, struct ip *to)
{
	struct span bytes = get_span(w, sizeof(to->bytes));

	if (bytes.n != sizeof(to->bytes))
		w->failed = true;
	else
		memcpy(to->bytes, bytes.p, bytes.n);
}

static void
get_name(struct wire *w, char to[LOOKUP_NAME_MAX + 1])
{
	struct span name = get_span(w, LOOKUP_NAME_MAX);

	/* The peer is not trusted: a NUL inside would make two readers see two names. */
	if (span_find(name, '\0') != name.n)
		w->failed = true;
	(void)span_copy(name, to, LOOKUP_NAME_MAX + 1); /* get_span has bounded it */
}

int
dns_answer_get(struct span payload, struct dns_answer *a)
{
	struct wire w = wire_over(payload);

	a->status = (enum dns_status)get_enum(&w, DNS_TIMEOUT);
	a->is_nxdomain = get_bool(&w);
	a->has_soa = get_bool(&w);
	a->ttl_s = get_u32(&w);
	a->proof = (enum dns_proof)get_enum(&w, DNS_PROOF_MISSING);
	a->n_addresses = get_count(&w, LOOKUP_RECORDS_MAX);
	for (size_t i = 0; i < a->n_addresses && !w.failed; i++)
		get_address(&w, &a->addresses[i]);
	a->n_names = get_count(&w, LOOKUP_NAMES_MAX);
	for (size_t i = 0; i < a->n_names && !w.failed; i++)
		get_name(&w, a->names[i]);
	if (w.failed)
		a->n_addresses = a->n_names = 0;
	return wire_end(&w);
}

/* --- recipients --------------------------------------------------------------------------------- */

static bool
is_line(struct span s, unsigned char least)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < least || s.p[i] == 0x7f)
			return false;
	return true;
}

void
recipient_question_put(struct buf *to, const struct recipient_question *q)
{
	put_u32(to, q->domain);
	put_span(to, q->address);
}

int
recipient_question_get(struct span payload, struct recipient_question *q)
{
	struct wire w = wire_over(payload);

	q->domain = get_u32(&w);
	q->address = get_span(&w, LOOKUP_ADDRESS_MAX);
	/* A quoted local part may hold blanks; what could begin another command may not pass. */
	if (q->address.n == 0 || !is_line(q->address, ' '))
		w.failed = true;
	return wire_end(&w);
}

void
recipient_answer_put(struct buf *to, const struct recipient_answer *a)
{
	put_u8(to, (uint8_t)a->state);
	put_u8(to, a->is_cached);
	put_u8(to, a->is_stale);
	put_span(to, span_str(a->why));
}

int
recipient_answer_get(struct span payload, struct recipient_answer *a)
{
	struct wire w = wire_over(payload);
	struct span why;

	a->state = (enum recipient_state)get_enum(&w, RECIPIENT_NONE);
	a->is_cached = get_enum(&w, 1);
	a->is_stale = get_enum(&w, 1);
	why = get_span(&w, LOOKUP_WHY_MAX);
	if (!is_line(why, ' '))
		w.failed = true;
	(void)span_copy(why, a->why, sizeof(a->why)); /* get_span has bounded it */
	return wire_end(&w);
}

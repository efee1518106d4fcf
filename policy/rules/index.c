#include "policy/rules/index.h"
#include "relay/base/map.h"

enum {
	FACET_COUNT = FACET_ATTACHMENT_TYPE + 1,
	FORM_COUNT = VALUE_BELOW + 1,
	IP_BITS = 128,
	SLOTS_FIRST = 16
};

/* `tag` 0: free.  `first` is the place in `positions` where the value's rules begin. */
struct index_slot {
	uint32_t tag, first;
};

static uint64_t
key_hash(enum facet facet, enum value_form form, struct span text)
{
	char key[VALUE_TEXT_MAX + 1];

	must(text.n <= VALUE_TEXT_MAX);
	key[0] = (char)(facet * FORM_COUNT + form);
	for (size_t i = 0; i < text.n; i++)
		key[i + 1] = char_lower(text.p[i]);
	return map_hash(span_of(key, text.n + 1));
}

static uint64_t
net_hash(const struct ip *ip, unsigned bits)
{
	struct ip base = *ip;
	char key[sizeof(base.bytes) + 2] = {
	    (char)(FACET_CLIENT * FORM_COUNT + VALUE_CIDR), (char)bits};

	if (bits % 8 != 0)
		base.bytes[bits / 8] &= (uint8_t)(0xff00u >> (bits % 8));
	memcpy(key + 2, base.bytes, (bits + 7) / 8);
	return map_hash(span_of(key, sizeof(key)));
}

static bool
is_key(const struct rule_facet *f)
{
	switch (f->facet) {
	case FACET_CLIENT:
	case FACET_HOST:
	case FACET_HELO:
	case FACET_FROM:
	case FACET_TO:
	case FACET_COUNTRY:
	case FACET_ASN:
	case FACET_TLS:
	case FACET_AUTH:
		return !f->is_negated && f->matcher.form == MATCH_VALUE;
	case FACET_TAG: /* looks at many facts */
	case FACET_SUBJECT:
	case FACET_HEADER:
	case FACET_BODY:
	case FACET_URL:
	case FACET_ATTACHMENT:
	case FACET_ATTACHMENT_TYPE:
		return false;
	}
	return false;
}

static uint64_t
facet_hash(const struct rule_facet *f)
{
	const struct value *v = &f->matcher.value;

	if (v->form == VALUE_CIDR)
		return net_hash(&v->net.base, v->net.bits);
	return key_hash(f->facet, v->form, v->text);
}

static uint32_t
tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32) | 1;
}

/* The slot that holds the hash, or the free one where it would stand. */
static struct index_slot *
slot_for(const struct rule_index *x, uint64_t hash)
{
	for (size_t i = hash & (x->size - 1);; i = (i + 1) & (x->size - 1))
		if (x->slots[i].tag == 0 || x->slots[i].tag == tag_of(hash))
			return &x->slots[i];
}

/* Which kinds of values there are, so that others are not looked for. */
static void
note_kind(struct rule_index *x, const struct rule_facet *f)
{
	const struct value *v = &f->matcher.value;

	x->forms[f->facet] |= (uint8_t)(1u << v->form);
	if (v->form == VALUE_CIDR)
		x->bits[v->net.bits / 64] |= 1ULL << (v->net.bits % 64);
	else if (v->form == VALUE_BELOW && v->text.n > x->below_max[f->facet])
		x->below_max[f->facet] = (uint16_t)v->text.n;
}

/* How often each value is there, by its hash: a crowd counts as large as its largest member. */
struct tally {
	uint32_t *counts;
	size_t size;
};

static void
tally_row(struct tally *t, const struct rule *rules, const uint32_t *row, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct rule *r = &rules[row[i]];

		for (size_t k = 0; r->n_facets > 1 && k < r->n_facets; k++)
			if (is_key(r->facets[k]))
				t->counts[facet_hash(r->facets[k]) & (t->size - 1)]++;
	}
}

/* The facet whose value is the rarest; NULL: the rule belongs to the rest. */
static const struct rule_facet *
choose(const struct tally *t, const struct rule *r)
{
	const struct rule_facet *best = NULL;
	uint32_t best_count = 0;

	for (size_t k = 0; k < r->n_facets; k++) {
		const struct rule_facet *f = r->facets[k];
		uint32_t count;

		if (!is_key(f))
			continue;
		count = r->n_facets > 1 ? t->counts[facet_hash(f) & (t->size - 1)] : 0;
		if (best == NULL || count < best_count) {
			best = f;
			best_count = count;
		}
	}
	return best;
}

/* Slots become the ends of their rules' places, one slot behind the other. */
static void
lay_out(struct rule_index *x)
{
	uint32_t end = 0;

	for (size_t i = 0; i < x->size; i++)
		if (x->slots[i].tag != 0) {
			end += x->slots[i].first;
			x->slots[i].first = end;
		}
}

static void
mark_ends(struct rule_index *x, size_t n_filed)
{
	for (size_t i = 0; i < x->size; i++)
		if (x->slots[i].tag != 0 && x->slots[i].first > 0)
			x->positions[x->slots[i].first - 1] |= INDEX_LAST;
	if (n_filed > 0)
		x->positions[n_filed - 1] |= INDEX_LAST;
	if (x->n_rest > 0)
		x->rest[x->n_rest - 1] |= INDEX_LAST;
}

void
index_build(struct rule_index *x, const struct rule *rules, const uint32_t *row, size_t n)
{
	struct tally t = {.size = SLOTS_FIRST};
	const struct rule_facet **chosen;
	size_t n_filed = 0;

	if (n < INDEX_RULES_MIN)
		return;
	for (x->size = SLOTS_FIRST; x->size * 2 < n * 3;)
		x->size *= 2;
	t.size = x->size;
	t.counts = mem_array(t.size, sizeof(*t.counts));
	tally_row(&t, rules, row, n);
	chosen = mem_array(n, sizeof(*chosen));
	x->slots = mem_array(x->size, sizeof(*x->slots));
	for (size_t i = 0; i < n; i++) {
		chosen[i] = choose(&t, &rules[row[i]]);
		if (chosen[i] != NULL) {
			uint64_t hash = facet_hash(chosen[i]);
			struct index_slot *slot = slot_for(x, hash);

			slot->tag = tag_of(hash);
			slot->first++;
			note_kind(x, chosen[i]);
			n_filed++;
		}
	}
	mem_free(t.counts);
	x->n_rest = n - n_filed;
	x->positions = mem_array(n_filed + 1, sizeof(*x->positions));
	x->rest = mem_array(x->n_rest + 1, sizeof(*x->rest));
	lay_out(x);
	/* From the last rule to the first, each before those of its value that are placed already. */
	for (size_t i = n, rest = x->n_rest; i > 0; i--) {
		if (chosen[i - 1] == NULL)
			x->rest[--rest] = row[i - 1];
		else
			x->positions[--slot_for(x, facet_hash(chosen[i - 1]))->first] = row[i - 1];
	}
	mark_ends(x, n_filed);
	mem_free(chosen);
}

void
index_free(struct rule_index *x)
{
	mem_free(x->slots);
	mem_free(x->positions);
	mem_free(x->rest);
	*x = (struct rule_index){0};
}

void
index_hits_start(struct index_hits *h, const struct rule_index *x)
{
	h->n = h->at = 0;
	h->until = 0;
	h->last = UINT32_MAX;
	h->is_over = false;
	if (x->n_rest > 0)
		h->runs[h->n++] = x->rest;
}

static void
add_hits(struct index_hits *h, const struct rule_index *x, uint64_t hash)
{
	const struct index_slot *slot = slot_for(x, hash);

	if (slot->tag == 0)
		return;
	if (h->n == INDEX_RUNS_MAX)
		h->is_over = true;
	else
		h->runs[h->n++] = &x->positions[slot->first];
}

void
index_find_ip(struct index_hits *h, const struct rule_index *x, const struct ip *ip)
{
	for (unsigned bits = 0; bits <= IP_BITS; bits++) {
		uint64_t left = x->bits[bits / 64] >> (bits % 64);

		if (left == 0) {
			bits |= 63; /* none longer in this word */
			continue;
		}
		bits += (unsigned)__builtin_ctzll(left);
		add_hits(h, x, net_hash(ip, bits));
	}
}

/* The name itself, then what is left behind each of its dots. */
static void
find_below(struct index_hits *h, const struct rule_index *x, enum facet facet, struct span name)
{
	for (; name.n > 0 && !h->is_over; (void)span_cut(&name, '.')) /* what follows is wanted */
		if (name.n <= x->below_max[facet])
			add_hits(h, x, key_hash(facet, VALUE_BELOW, name));
}

void
index_find(struct index_hits *h, const struct rule_index *x, enum facet facet, struct span fact)
{
	unsigned forms = x->forms[facet];
	enum value_kind kind = value_kind_of(facet);

	fact = value_fact(fact, kind);
	if (forms == 0 || fact.n > VALUE_TEXT_MAX) /* longer than any value of a rule */
		return;
	if (forms & 1u << VALUE_EXACT)
		add_hits(h, x, key_hash(facet, VALUE_EXACT, fact));
	if (kind == VALUE_ADDRESS) {
		if (span_find(fact, '@') == fact.n)
			return;
		fact = value_domain(fact);
	}
	if (forms & 1u << VALUE_DOMAIN)
		add_hits(h, x, key_hash(facet, VALUE_DOMAIN, fact));
	if (forms & 1u << VALUE_BELOW)
		find_below(h, x, facet, fact);
}

static uint32_t
head(const struct index_hits *h, size_t run)
{
	return *h->runs[run] & ~INDEX_LAST;
}

/* The run whose next rule stands first becomes the one that is read. */
static void
choose_run(struct index_hits *h)
{
	h->at = 0;
	h->until = UINT32_MAX;
	for (size_t i = 1; i < h->n; i++) {
		uint32_t rule = head(h, i);

		if (rule < head(h, h->at)) {
			h->until = head(h, h->at);
			h->at = i;
		} else if (rule < h->until) {
			h->until = rule;
		}
	}
}

static uint32_t
take_next(struct index_hits *h)
{
	const uint32_t *run;

	if (h->until == 0 || head(h, h->at) >= h->until)
		choose_run(h);
	run = h->runs[h->at];
	if (*run & INDEX_LAST) {
		h->runs[h->at] = h->runs[--h->n];
		h->until = 0; /* choose again */
	} else {
		h->runs[h->at]++;
	}
	return *run & ~INDEX_LAST;
}

bool
index_next(struct index_hits *h, uint32_t *rule)
{
	while (h->n > 0) {
		*rule = take_next(h);
		if (*rule != h->last) {
			h->last = *rule;
			return true;
		}
	}
	return false;
}

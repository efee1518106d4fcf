#include "policy/rate/greylist.h"
#include "policy/rate/recent.h"
#include "relay/base/map.h"

enum {
	NETWORK_V4_BITS = 24,
	NETWORK_V6_BITS = 64,
	SENDER_MAX = 512,
	/* A known entry that is used again is written down when it lasts this part longer. */
	RENEW_PART = 32,
	DAY_MS = 24 * 60 * 60 * 1000
};

struct greylist {
	struct recent *waiting, *known; /* of struct greylist_entry */
	greylist_on_entry *on_change;
	void *arg;
};

struct greylist *
greylist_new(greylist_on_entry *on_change, void *arg)
{
	struct greylist *g = mem_alloc(sizeof(*g));

	g->waiting = recent_new(sizeof(struct greylist_entry), GREYLIST_WAITING_MAX);
	g->known = recent_new(sizeof(struct greylist_entry), GREYLIST_KNOWN_MAX);
	g->on_change = on_change;
	g->arg = arg;
	return g;
}

void
greylist_free(struct greylist **g)
{
	if (*g == NULL)
		return;
	recent_free(&(*g)->waiting);
	recent_free(&(*g)->known);
	mem_free(*g);
	*g = NULL;
}

/* --- keys ------------------------------------------------------------------------------------------ */

struct key {
	uint8_t bytes[GREYLIST_KEY];
};

static struct span
key_span(const struct key *k)
{
	return span_of(k->bytes, sizeof(k->bytes));
}

/* No secrets: what they make is on disk and must mean the same after a restart. */
static struct key
hash(const struct buf *text)
{
	static const uint64_t secrets[2][2] = {{0x243f6a8885a308d3ULL, 0x13198a2e03707344ULL},
	    {0xa4093822299f31d0ULL, 0x082efa98ec4e6c89ULL}};
	struct key k;

	for (size_t i = 0; i < 2; i++) {
		uint64_t h = map_hash_keyed(secrets[i], buf_span(text));

		for (size_t b = 0; b < 8; b++)
			k.bytes[8 * i + b] = (uint8_t)(h >> (8 * b));
	}
	return k;
}

static void
add_lower(struct buf *to, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		/* The caller's room is as large as two addresses may be. */
		(void)buf_add_char(to, (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c));
	}
}

/* prvs=TAG=user (BATV): the user. */
static struct span
without_prvs(struct span local)
{
	struct span rest;
	size_t end;

	if (!span_starts_nocase(local, SPAN("prvs=")))
		return local;
	rest = span_skip(local, 5);
	end = span_find(rest, '=');
	return end < rest.n ? span_skip(rest, end + 1) : local;
}

/* What stays the same from mail to mail: without a +tag, each run of digits as one sign. */
static void
add_sender(struct buf *to, struct span from)
{
	size_t at = span_rfind(from, '@');
	struct span local = without_prvs(span_take(from, at));
	size_t plus = span_find(local, '+');
	bool was_digit = false;

	if (plus > 0)
		local = span_take(local, plus);
	for (size_t i = 0; i < local.n; i++) {
		bool is_digit = local.p[i] >= '0' && local.p[i] <= '9';

		if (is_digit && !was_digit)
			(void)buf_add_char(to, '#'); /* as add_lower */
		else if (!is_digit)
			add_lower(to, span_of(local.p + i, 1));
		was_digit = is_digit;
	}
	add_lower(to, span_skip(from, at));
}

static void
add_network(struct buf *to, const struct ip *client)
{
	struct ip network = ip_network(client, NETWORK_V4_BITS, NETWORK_V6_BITS);

	(void)buf_add(to, network.bytes, sizeof(network.bytes)); /* as add_lower */
}

/* The kind stands first, so that one kind's key is never another's. */
static struct key
triplet_key(const struct greylist_mail *mail)
{
	char room[2 * SENDER_MAX + 64];
	struct buf b = {.p = room, .cap = sizeof(room), .max = sizeof(room)};

	(void)buf_add_char(&b, 't'); /* as add_lower */
	add_network(&b, &mail->client);
	add_sender(&b, span_take(mail->from, SENDER_MAX));
	(void)buf_add_char(&b, '\0');
	add_lower(&b, span_take(mail->to, SENDER_MAX));
	return hash(&b);
}

static struct key
network_key(const struct ip *client)
{
	char room[64];
	struct buf b = {.p = room, .cap = sizeof(room), .max = sizeof(room)};

	(void)buf_add_char(&b, 'n'); /* as add_lower */
	add_network(&b, client);
	return hash(&b);
}

static struct key
address_key(struct span address)
{
	char room[SENDER_MAX + 64];
	struct buf b = {.p = room, .cap = sizeof(room), .max = sizeof(room)};

	(void)buf_add_char(&b, 'a'); /* as add_lower */
	add_lower(&b, span_take(address, SENDER_MAX));
	return hash(&b);
}

/* --- entries --------------------------------------------------------------------------------------- */

static void
tell(struct greylist *g, const struct greylist_entry *e)
{
	if (g->on_change != NULL)
		g->on_change(g->arg, e);
}

/* NULL: none that is still good. */
static struct greylist_entry *
find(struct recent *table, const struct key *k, int64_t now_ms)
{
	struct greylist_entry *e = recent_get(table, key_span(k));

	return e != NULL && e->until_ms > now_ms ? e : NULL;
}

static struct greylist_entry *
make(struct recent *table, const struct key *k, int64_t now_ms)
{
	struct greylist_entry *e = recent_add(table, key_span(k));

	*e = (struct greylist_entry){.first_ms = now_ms};
	memcpy(e->key, k->bytes, sizeof(e->key));
	return e;
}

/* Used again: it lasts longer. */
static void
renew(struct greylist *g, struct greylist_entry *e, int64_t keep_ms, int64_t now_ms)
{
	int64_t until_ms = now_ms + keep_ms;

	if (until_ms - e->until_ms <= keep_ms / RENEW_PART)
		return;
	e->until_ms = until_ms;
	tell(g, e);
}

static void
count_pass(struct greylist *g, const struct key *k, int64_t keep_ms, int64_t now_ms)
{
	struct greylist_entry *e = find(g->known, k, now_ms);

	if (e == NULL)
		e = make(g->known, k, now_ms);
	if (e->passes < UINT32_MAX)
		e->passes++;
	e->until_ms = now_ms + keep_ms;
	tell(g, e);
}

static void
pass(struct greylist *g, const struct conf_greylist *conf, const struct greylist_mail *mail,
    const struct key *triplet, int64_t now_ms)
{
	struct key network = network_key(&mail->client);

	recent_remove(g->waiting, key_span(triplet));
	count_pass(g, triplet, conf->keep_ms, now_ms);
	if (conf->clients > 0)
		count_pass(g, &network, conf->keep_ms, now_ms);
}

static enum greylist_fact
wait(struct greylist *g, const struct conf_greylist *conf, const struct greylist_mail *mail,
    const struct key *triplet, int64_t now_ms, int64_t *left_ms)
{
	struct greylist_entry *e = find(g->waiting, triplet, now_ms);

	if (e != NULL && e->first_ms > now_ms)
		e = NULL; /* the clock was set back: it begins anew */
	if (e != NULL && now_ms - e->first_ms >= conf->delay_ms) {
		pass(g, conf, mail, triplet, now_ms);
		return GREYLIST_PASSED;
	}
	if (e == NULL) {
		e = make(g->waiting, triplet, now_ms);
		e->until_ms = now_ms + conf->window_ms;
		tell(g, e);
	}
	*left_ms = conf->delay_ms - (now_ms - e->first_ms);
	return GREYLIST_WAIT;
}

enum greylist_fact
greylist_see(struct greylist *g, const struct conf_greylist *conf, const struct greylist_mail *mail,
    int64_t now_ms, int64_t *left_ms)
{
	struct key triplet = triplet_key(mail), network = network_key(&mail->client);
	struct key sender = address_key(mail->from);
	struct greylist_entry *e;

	*left_ms = 0;
	e = mail->from.n > 0 ? find(g->known, &sender, now_ms) : NULL;
	if (e != NULL)
		return GREYLIST_CORRESPONDENT; /* kept by what we write, not by what comes */
	e = conf->clients > 0 ? find(g->known, &network, now_ms) : NULL;
	if (e != NULL && e->passes >= conf->clients) {
		renew(g, e, conf->keep_ms, now_ms);
		return GREYLIST_CLIENT;
	}
	e = find(g->known, &triplet, now_ms);
	if (e != NULL) {
		renew(g, e, conf->keep_ms, now_ms);
		return GREYLIST_PASSED;
	}
	return wait(g, conf, mail, &triplet, now_ms, left_ms);
}

enum greylist_fact
greylist_look(const struct greylist *g, const struct conf_greylist *conf,
    const struct greylist_mail *mail, int64_t now_ms, int64_t *left_ms)
{
	struct key triplet = triplet_key(mail), network = network_key(&mail->client);
	struct key sender = address_key(mail->from);
	const struct greylist_entry *e;

	*left_ms = 0;
	if (mail->from.n > 0 && find(g->known, &sender, now_ms) != NULL)
		return GREYLIST_CORRESPONDENT;
	e = conf->clients > 0 ? find(g->known, &network, now_ms) : NULL;
	if (e != NULL && e->passes >= conf->clients)
		return GREYLIST_CLIENT;
	if (find(g->known, &triplet, now_ms) != NULL)
		return GREYLIST_PASSED;
	e = find(g->waiting, &triplet, now_ms);
	*left_ms = conf->delay_ms;
	if (e != NULL && e->first_ms <= now_ms)
		*left_ms -= now_ms - e->first_ms;
	if (*left_ms > 0)
		return GREYLIST_WAIT;
	*left_ms = 0;
	return e != NULL ? GREYLIST_PASSED : GREYLIST_WAIT;
}

void
greylist_know(struct greylist *g, struct span address, int64_t keep_ms, int64_t now_ms)
{
	struct key k = address_key(address);
	struct greylist_entry *e = find(g->known, &k, now_ms);

	if (address.n == 0)
		return; /* the null sender is nobody's */
	if (e == NULL) {
		e = make(g->known, &k, now_ms);
		e->passes = 1;
	}
	renew(g, e, keep_ms, now_ms);
}

void
greylist_put(struct greylist *g, const struct greylist_entry *e, int64_t now_ms)
{
	struct recent *table = e->passes > 0 ? g->known : g->waiting;
	struct span key = span_of(e->key, sizeof(e->key));
	struct greylist_entry *mine;

	if (e->until_ms <= now_ms || e->first_ms > e->until_ms ||
	    e->until_ms - now_ms > (int64_t)GREYLIST_KEEP_MAX_DAYS * DAY_MS)
		return;
	mine = recent_add(table, key);
	if (e->until_ms >= mine->until_ms)
		*mine = *e;
	if (e->passes > 0)
		recent_remove(g->waiting, key);
}

struct visit {
	int64_t now_ms;
	greylist_on_entry *on_entry;
	void *arg;
};

static void
on_record(void *arg, struct span key, const void *record)
{
	const struct visit *v = arg;
	const struct greylist_entry *e = record;

	(void)key; /* the entry has it */
	if (e->until_ms > v->now_ms)
		v->on_entry(v->arg, e);
}

void
greylist_each(const struct greylist *g, int64_t now_ms, greylist_on_entry *on_entry, void *arg)
{
	struct visit v = {now_ms, on_entry, arg};

	recent_each(g->waiting, on_record, &v);
	recent_each(g->known, on_record, &v);
}

size_t
greylist_count(const struct greylist *g)
{
	return recent_count(g->waiting) + recent_count(g->known);
}

void
greylist_entry_put(struct buf *to, const struct greylist_entry *e)
{
	(void)buf_add(
	    to, e->key, sizeof(e->key)); /* the buf's own failure is the caller's to test */
	put_i64(to, e->first_ms);
	put_i64(to, e->until_ms);
	put_u32(to, e->passes);
}

void
greylist_entry_get(struct wire *w, struct greylist_entry *e)
{
	for (size_t i = 0; i < sizeof(e->key); i++)
		e->key[i] = get_u8(w);
	e->first_ms = get_i64(w);
	e->until_ms = get_i64(w);
	e->passes = get_u32(w);
}

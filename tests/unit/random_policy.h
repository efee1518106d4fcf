/* random_policy.h - policies and sessions in which values meet often, for property tests. */
#ifndef TEST_RANDOM_POLICY_H
#define TEST_RANDOM_POLICY_H
#include "relay/base/rng.h"
#include "tests/unit/decide_world.h"

static inline const char *
pick_of(const char *const *items, size_t n)
{
	return items[rng_below((uint32_t)n)];
}
#define PICK(items) pick_of(items, COUNT(items))

static inline void
random_facet(struct buf *text)
{
	static const char *const others[] = {"host .a.example", "host m.a.example", "host @x",
	    "host *.a.example", "host m.a.example.", "helo h1", "helo /^h[0-4]/", "helo .a.example",
	    "helo [192.0.2.1]", "from <>", "from @a.example", "from @.a.example", "from .example",
	    "from u@a.example", "from U@A.example", "from /^u/i", "from *@b.example",
	    "to b@example.org", "to @example.org", "to .org", "to /c/", "country DE", "country de",
	    "country XX", "asn 64512", "asn AS64513", "tls TLSv1.3", "tls *", "auth joe", "auth *",
	    "tag one", "tag *", "tag /t/", "subject x", "body /y/", "header X-A *", "client *",
	    "client /2$/", "client ::/0", "client 2001:db8::/32"};
	struct span other = span_str(PICK(others)), word;
	const char *negation = rng_below(6) == 0 ? "!" : "";

	if (rng_below(3) == 0) {
		uint32_t bits = rng_below(9) + 24, last = rng_below(16);

		last &= ~((1U << (32 - bits)) - 1);
		(void)buf_addf(text, " client %s192.0.2.%u/%u", negation, last, bits);
		return;
	}
	word = span_word(&other);
	(void)buf_addf(text, " %.*s ", SPAN_ARG(word));
	if (span_eq(word, SPAN("header"))) {
		word = span_word(&other);
		(void)buf_addf(text, "%.*s ", SPAN_ARG(word));
	}
	(void)buf_addf(text, "%s%.*s", negation, SPAN_ARG(span_trim(other)));
}

static inline void
random_policy(struct buf *text, uint32_t rules)
{
	static const char *const verbs[] = {"accept", "reject", "reject", "tempfail", "quarantine",
	    "discard", "hold", "keep", "tag one", "tag two", "score 1", "score -2 three",
	    "observe reject", "observe tag one"};
	static const char *const list_lines[] = {"dnsbl a.example reject\n",
	    "dnsbl b.example tag listed\n", "dnsbl c.example score 2\n", "dnswl w.example accept\n",
	    "dnsbl h.example of helo reject\n", "dnsbl f.example of from whole tag two\n",
	    "dnsbl u.example of url addresses answers 127.0.0.&6 quarantine\n",
	    "dnswl v.example of host accept\n", "observe dnsbl d.example tempfail\n",
	    "observe dnswl o.example accept\n", "# nothing\n", "\n", "  # indented\t\n"};
	static const char *const ends[] = {
	    "", "", "", " text t", " until 2026-11-21", " note \"n \\\" # c\"", "  # why"};

	buf_clear(text);
	for (uint32_t i = rules, n_lists = 0; i > 0; i--) {
		if (rng_below(12) == 0 && n_lists++ < 8) {
			(void)buf_add_str(text, PICK(list_lines));
			continue;
		}
		(void)buf_add_str(text, PICK(verbs));
		for (uint32_t k = rng_below(3) + 1; k > 0; k--)
			random_facet(text);
		(void)buf_addf(text, "%s\n", PICK(ends));
	}
	assert_false(text->failed);
}

static inline void
random_facts(struct world *w)
{
	static const char *const hosts[] = {"a.example", "m.a.example", "M.A.example.", "x", ""};
	static const char *const helos[] = {"h1", "h9", "[192.0.2.1]", "q.a.example", ""};
	static const char *const froms[] = {
	    "", "u@a.example", "c@b.example", "u@s.A.example", "no-at"};
	static const char *const tos[] = {"b@example.org", "c@example.org", "c@x.example.org"};
	static const char *const countries[] = {"", "DE", "XX", "FR"};
	static const char *const versions[] = {"", "TLSv1.3", "TLSv1.2"};
	static const char *const users[] = {"", "joe", "eve"};

	w->facts.client = ip_of(rng_below(8) == 0 ? "2001:db8::1" : "192.0.2.1");
	w->facts.client.bytes[15] = (uint8_t)rng_below(20);
	w->facts.has_host = rng_below(3) != 0;
	w->facts.has_helo = rng_below(8) != 0;
	w->facts.host = span_str(PICK(hosts));
	w->facts.helo = span_str(PICK(helos));
	w->facts.from = span_str(PICK(froms));
	w->facts.to = span_str(PICK(tos));
	w->facts.country = span_str(PICK(countries));
	w->facts.asn = rng_below(4) == 0 ? 0 : 64511 + rng_below(3);
	w->facts.tls = span_str(PICK(versions));
	w->facts.user = span_str(PICK(users));
	for (size_t i = 0; i < COUNT(w->truths); i++)
		w->truths[i] = (uint8_t)rng_below(4);
	for (size_t i = 0; i < COUNT(w->answers); i++)
		w->answers[i] = (struct list_answer){.state = (enum list_state)rng_below(4),
		    .name = rng_below(2) == 0 ? SPAN("listed.example") : (struct span){0}};
	w->facts.sender = (enum sender_fact)rng_below(SENDER_PRIVATE + 1);
	w->facts.n_outcomes = rng_below(3);
	for (size_t i = 0; i < w->facts.n_outcomes; i++)
		w->outcomes[i] = (struct filter_outcome){.filter = &w->flow.filters[i],
		    .outcome = (int)rng_below(3) - 1,
		    .why = SPAN("w")};
	w->facts.n_filter_tags = rng_below(2);
	w->tags[0] = (struct filter_tag){.filter = &spf, .name = SPAN("two"), .why = SPAN("w")};
}

/* Both verdicts are of one snapshot: what they point to is the same too. */
static inline void
assert_same_verdict(const struct verdict *a, const struct verdict *b)
{
	assert_int_equal(a->action, b->action);
	assert_int_equal(a->stage, b->stage);
	assert_int_equal(a->rule, b->rule);
	assert_true(span_eq(a->by, b->by));
	assert_int_equal(a->is_accepted, b->is_accepted);
	assert_int_equal(a->spares_lists, b->spares_lists);
	assert_int_equal(a->code, b->code);
	assert_string_equal(a->enhanced, b->enhanced);
	assert_string_equal(a->text, b->text);
	assert_string_equal(a->why, b->why);
	assert_int_equal(a->n_tags, b->n_tags);
	for (size_t i = 0; i < a->n_tags; i++) {
		assert_true(span_eq(a->tags[i].name, b->tags[i].name));
		assert_true(span_eq(a->tags[i].by, b->tags[i].by));
		assert_true(span_eq(a->tags[i].why, b->tags[i].why));
		assert_int_equal(a->tags[i].score_milli, b->tags[i].score_milli);
	}
	assert_int_equal(a->score_milli, b->score_milli);
	assert_int_equal(a->is_spam, b->is_spam);
	assert_int_equal(a->limited, b->limited);
}

#endif

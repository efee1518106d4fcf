/* The rule language: what is taken, and what every error says. */
#include "policy/rules/until.h"
#include "relay/base/clock.h"
#include "tests/unit/policy_text.h"

/* --- the contract's own example, as far as it is in this version -------------------------------- */

static const char contract_text[] =
    "accept      client 198.51.100.7                      note \"partner, ticket 4711\"\n"
    "reject      client 192.0.2.0/24                      text \"Listed locally, see "
    "https://example.org/bl\"\n"
    "reject      client list:drop                         # state_dir/lists/drop.txt\n"
    "reject      host .dynamic.isp.example                # verified reverse name\n"
    "tempfail    helo /^\\d+\\.\\d+\\.\\d+\\.\\d+$/\n"
    "\n"
    "tag bulk    from @news.example  to sales@example.org  until 2027-01-31\n"
    "score 3 pills  subject /\\bcheap pills\\b/i\n"
    "score 2.5 late header X-Mailer /bulkmaster/i\n"
    "tag invoice    body \"/overdue invoice/i\"\n"
    "observe reject  client 203.0.113.0/24                # recorded and counted, never acted on\n"
    "dnsbl zen.example.net   answers 127.0.0.2-127.0.0.11  reject\n"
    "dnsbl slow.example.net  answers 127.0.0.2  tag listed-slow\n"
    "dnsbl score.example.net answers 127.0.0.2  score 3\n"
    "dnswl white.example.net answers 127.0.*.2-3           accept\n";

static void
test_contract(void **state)
{
	struct snapshot *s = parse(contract_text);
	const struct rule *r;

	(void)state;
	assert_int_equal(snapshot_rule_count(s), 14);
	assert_true(span_eq(snapshot_text(s), span_str(contract_text)));
	assert_true(span_eq(snapshot_rule_text(s, 8), SPAN("score 2.5 late header X-Mailer "
							   "/bulkmaster/i")));
	assert_true(span_is_empty(snapshot_rule_text(s, 0)));
	assert_true(span_is_empty(snapshot_rule_text(s, 15)));
	assert_int_equal(snapshot_rule(s, 1)->verb, RULE_ACCEPT);
	assert_true(span_eq(snapshot_rule(s, 2)->text, SPAN("Listed locally, see "
							    "https://example.org/bl")));
	assert_int_equal(snapshot_rule(s, 4)->stage, RULE_AT_CONNECT);
	assert_int_equal(snapshot_rule(s, 5)->stage, RULE_AT_HELO);
	r = snapshot_rule(s, 6);
	assert_int_equal(r->stage, RULE_AT_RCPT);
	assert_true(span_eq(r->name, SPAN("bulk")));
	assert_true(span_eq(r->condition, SPAN("from @news.example  to sales@example.org")));
	r = snapshot_rule(s, 8);
	assert_int_equal(r->score_milli, 2500);
	assert_int_equal(r->stage, RULE_AT_DATA);
	assert_true(snapshot_rule(s, 10)->is_observed);
	assert_int_equal(snapshot_list_count(s), 4);
	assert_true(span_eq(snapshot_list(s, 0)->zone, SPAN("zen.example.net")));
	assert_int_equal(snapshot_list(s, 0)->rule, 11);
	assert_true(snapshot_list(s, 3)->is_white);
	assert_int_equal(snapshot_predicate_count(s), 3);
	assert_int_equal(snapshot_predicate(s, 1)->facet, FACET_HEADER);
	assert_true(span_eq(snapshot_predicate(s, 1)->header_name, SPAN("X-Mailer")));
	assert_int_equal(
	    matcher_match(snapshot_predicate(s, 2)->matcher, SPAN("an Overdue Invoice!")),
	    TRUTH_TRUE);
	snapshot_release(&s);
}

/* --- rules ---------------------------------------------------------------------------------------- */

static void
test_negation(void **state)
{
	struct snapshot *s =
	    parse("tag x client !10.0.0.0/8 subject !/a b/i from !list:people body "
		  "!\"x y\"  header X-A !*z\n");
	const struct rule *r = snapshot_rule(s, 1);

	(void)state;
	assert_int_equal(r->n_facets, 5);
	for (uint16_t i = 0; i < r->n_facets; i++)
		assert_true(r->facets[i]->is_negated);
	for (size_t i = 0; i < 3; i++)
		assert_true(snapshot_predicate(s, i)->is_negated);
	/* applied by the decision, not by whoever evaluates */
	assert_int_equal(matcher_match(snapshot_predicate(s, 0)->matcher, SPAN("A B")), TRUTH_TRUE);
	snapshot_release(&s);
}

static void
test_scores(void **state)
{
	static const struct {
		const char *text;
		int32_t milli;
		const char *name;
	} rows[] = {
	    {"score 3 subject x", 3000, ""},
	    {"score 3 pills subject x", 3000, "pills"},
	    {"score 2.5 late subject x", 2500, "late"},
	    {"score -1.125 subject x", -1125, ""},
	    {"score 0.001 A-b_9 subject x", 1, "A-b_9"},
	    {"score 1000000 subject x", 1000000000, ""},
	    {"score -1000000 subject x", -1000000000, ""},
	    {"score 0 subject x", 0, ""},
	    {"dnsbl a.example score 3", 3000, ""},
	    {"dnsbl a.example score 3 slow text \"x\"", 3000, "slow"},
	    {"dnsbl a.example score 3 text \"x\"", 3000, ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct snapshot *s = parse(rows[i].text);
		const struct rule *r = snapshot_rule(s, 1);

		assert_int_equal(r->score_milli, rows[i].milli);
		assert_true(span_eq(r->name, span_str(rows[i].name)));
		snapshot_release(&s);
	}
}

static void
test_dates(void **state)
{
	static const struct {
		const char *text, *expires; /* NULL: wrong */
	} rows[] = {
	    {"2027-01-31", "2027-02-01T00:00:00.000Z"},
	    {"2028-02-29", "2028-03-01T00:00:00.000Z"},
	    {"2026-12-31", "2027-01-01T00:00:00.000Z"},
	    {"1970-01-01", "1970-01-02T00:00:00.000Z"},
	    {"2027-01-31T12:30Z", "2027-01-31T12:30:00.000Z"},
	    {"2000-02-29T00:00Z", "2000-02-29T00:00:00.000Z"},
	    {"2027-02-29", NULL},
	    {"2100-02-29", NULL},
	    {"2027-13-01", NULL},
	    {"2027-00-01", NULL},
	    {"2027-01-00", NULL},
	    {"2027-01-32", NULL},
	    {"1969-12-31", NULL},
	    {"2027-1-31", NULL},
	    {"2027-01-31T24:00Z", NULL},
	    {"2027-01-31T12:60Z", NULL},
	    {"2027-01-31T12:30", NULL},
	    {"2027-01-31 12:30Z", NULL},
	    {"2027/01/31", NULL},
	    {"tomorrow", NULL},
	    {"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf text = BUF_INIT(64);
		int64_t ms = 0;
		int rc = until_parse(span_str(rows[i].text), &ms, NULL);

		assert_int_equal(rc, rows[i].expires != NULL ? 0 : -E_SYNTAX);
		if (rc == 0) {
			assert_int_equal(clock_add_rfc3339(&text, ms), 0);
			assert_true(span_eq(buf_span(&text), span_str(rows[i].expires)));
		}
		buf_free(&text);
	}
}

/* Lines that are right. */
static void
test_taken(void **state)
{
	static const char *const rows[] = {
	    "",
	    "\n\n",
	    "# only a comment",
	    "   # indented",
	    "reject client 192.0.2.1",
	    "\treject\tclient\t192.0.2.1\t",
	    "reject client 192.0.2.1\r\nreject client 192.0.2.2\r\n",
	    "reject client 192.0.2.1 # why",
	    "reject client 192.0.2.1 text \"no # comment\" # one",
	    "reject client 192.0.2.1 until 2027-01-31 note \"\" text x",
	    "reject client 192.0.2.1 note \"zwölf\"",
	    "reject client 10.0.0.0/8 client !10.1.0.0/16",
	    "tempfail host *",
	    "observe tag x client *",
	    "observe score 3 client *",
	    "observe accept client *",
	    "observe dnsbl a.example reject",
	    "dnsbl a.example observe reject",
	    "observe dnswl a.example accept",
	    "dnsbl A.Example. reject",
	    "dnsbl a.example answers 127.0.0.2,127.0.0.4-127.0.0.9 tempfail",
	    "dnsbl a.example answers 127.0.0.2, 127.0.0.4 tempfail",
	    "dnsbl a.example of client reject",
	    "dnsbl a.example of host tag x",
	    "dnsbl a.example of helo whole answers 127.0.1.* tempfail",
	    "dnsbl a.example of from answers 127.0.1.2-127.0.1.99 reject",
	    "dnsbl a.example of url answers 127.0.0.&8 score 3",
	    "dnsbl a.example of url addresses quarantine",
	    "dnsbl a.example of url whole addresses keep until 2027-01-31",
	    "observe dnsbl a.example of url reject",
	    "dnswl a.example of host accept",
	    "dnsbl a.example reject text \"See https://a.example\" note \"n\" until 2027-01-31",
	    "dnswl a.example accept",
	    "score 3 header Subject x",
	    "tag reject from a@b.example",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct policy_errors errors;
		struct snapshot *s =
		    snapshot_parse(span_str(rows[i]), "p", read_list, NULL, &errors);

		if (s == NULL)
			fail_msg("%s: %.*s", rows[i], SPAN_ARG(buf_span(&errors.lines)));
		assert_true(span_eq(snapshot_text(s), span_str(rows[i])));
		snapshot_release(&s);
		buf_free(&errors.lines);
	}
}

/* Lines that are wrong, and words of what must be said. */
static void
test_errors(void **state)
{
	static const char *const rows[][2] = {
	    {"rejekt client 192.0.2.1", "`rejekt` is no verb; did you mean `reject`?"},
	    {"Reject client 192.0.2.1", "did you mean `reject`?"},
	    {"xyzzy client 192.0.2.1", "use one of accept reject"},
	    {"hold", "a rule needs a facet"},
	    {"quarantine", "a rule needs a facet"},
	    {"observe", "what to do is missing"},
	    {"observe observe reject client *", "`observe` cannot stand here"},
	    {"dnswl a.example hold", "a dnswl line can only accept"},
	    {"reject country DEU", "country: `DEU` is no country; write the two letters"},
	    {"reject country 1a", "is no country"},
	    {"reject asn x", "asn: `x` is no number of an autonomous system"},
	    {"reject asn 4294967296", "is no number"},
	    {"reject asn 064512", "is no number"},
	    {"reject asn AS", "is no number"},
	    {"reject tag", "tag needs a value"},
	    {"reject tls", "tls needs a value"},
	    {"reject tls 1.4", "tls: `1.4` is no version of TLS; write TLSv1.2"},
	    {"reject tls !tls", "is no version of TLS"},
	    {"reject attachment", "attachment needs a value"},
	    {"reject attachment-type", "attachment-type needs a value"},
	    {"reject klient 192.0.2.1", "`klient` is no facet; did you mean `client`?"},
	    {"reject", "a rule needs a facet"},
	    {"reject text \"x\"", "a rule needs a facet"},
	    {"tag", "a tag needs a name"},
	    {"tag a.b client *", "a tag needs a name"},
	    {"tag \"x\" client *", "a tag needs a name"},
	    {"score client *", "a score needs a number"},
	    {"score", "a score needs a number"},
	    {"score 1. client *", "a score needs a number"},
	    {"score .5 client *", "a score needs a number"},
	    {"score 1.2345 client *", "a score needs a number"},
	    {"score 1000001 client *", "a score needs a number"},
	    {"score 1000000.001 client *", "a score needs a number"},
	    {"score --1 client *", "a score needs a number"},
	    {"score 3 a.b client *", "a tag needs a name"},
	    {"reject client", "client needs a value"},
	    {"reject header X-A", "header needs a value"},
	    {"reject header", "header needs a value"},
	    {"reject header X-A: y", "header needs a field's name"},
	    {"reject header !X-A y", "header needs a field's name"},
	    {"reject client 192.0.2.1 192.0.2.2", "`192.0.2.2` is no facet"},
	    {"reject client 192.0.2.1 \"x\"", "where a facet should be"},
	    {"reject client 192.0.2.1 !x", "where a facet should be"},
	    {"reject client 192.0.2.7/24", "write 192.0.2.0/24"},
	    {"reject client 2001:db8::1/32", "write 2001:db8::/32"},
	    {"reject client 192.0.2.0/33", "is no client"},
	    {"reject client mail.example.org", "is no client"},
	    {"reject host 192.0.2.0/24", "is no host name"},
	    {"reject host a@b", "is no host name"},
	    {"reject host .", "is no host name"},
	    {"reject host \"\"", "is no host name"},
	    {"reject from example.org", "write @example.org for the domain"},
	    {"reject from \"\"", "write <> for the null sender"},
	    {"reject from @", "is no domain"},
	    {"reject from .", "is no domain"},
	    {"reject from a@", "is no address"},
	    {"reject from \"a b\"", "is no address"},
	    {"reject client !", "`!` needs a value"},
	    {"reject client ! 192.0.2.1", "`!` needs a value"},
	    {"reject client !!192.0.2.1", "`!` needs a value"},
	    {"reject subject \"open", "without its closing \""},
	    {"reject subject \"open\\\"", "without its closing \""},
	    {"reject subject \"a\"b", "behind a closing quote"},
	    {"reject subject a\"b\"", "a quote inside a word"},
	    {"reject subject /open", "without its closing /"},
	    {"reject subject /open\\/", "without its closing /"},
	    {"reject subject /a/x", "only the flag i is known"},
	    {"reject subject /a/b/", "only the flag i is known"},
	    {"reject subject \"/a/m\"", "only the flag i is known"},
	    {"reject subject //", "an empty regex"},
	    {"reject subject /(/", "is wrong at its byte"},
	    {"reject subject /\\C/", "is wrong at its byte"},
	    {"reject subject /[z-a]/", "is wrong at its byte"},
	    {"reject client list:none", "list:none: no such file"},
	    {"reject client list:../x", "is no list; a name"},
	    {"reject client list:", "is no list; a name"},
	    {"reject client list:.x", "is no list; a name"},
	    {"reject client list:wrong", "lists/wrong.txt:2: `nonsense` is no client"},
	    {"reject host list:stars", "lists/stars.txt:2: regex /(/ is wrong at its byte"},
	    {"reject host list:many", "lists/many.txt:1001: more than 1000 globs"},
	    {"reject client * text", "`text` needs its value"},
	    {"reject client * text /x/", "`text` needs its value"},
	    {"reject client * text \"\"", "text stands in SMTP replies"},
	    {"reject client * text \"zwölf\"", "text stands in SMTP replies"},
	    {"reject client * note a note b", "`note` given twice"},
	    {"reject client * note a from <>", "behind the options"},
	    {"reject client * until 2027-02-29", "is no date"},
	    {"reject client * until", "`until` needs its value"},
	    {"dnsbl", "needs its zone"},
	    {"dnsbl zone reject", "needs its zone"},
	    {"dnsbl a..example reject", "needs its zone"},
	    {"dnsbl .a.example reject", "needs its zone"},
	    {"dnsbl a.exa/mple reject", "needs its zone"},
	    {"dnsbl a.example", "what to do is missing"},
	    {"dnsbl a.example text \"x\"", "what to do is missing"},
	    {"dnsbl a.example answers reject", "is no range of answers"},
	    {"dnsbl a.example answers 127.0.0.2 , reject", "`,` is no word of a dnsbl line"},
	    {"dnsbl a.example answers 127.0.0.2,", "answers needs a range"},
	    {"dnsbl a.example answers", "answers needs a range"},
	    {"dnsbl a.example answers 127.0.0.2", "what to do is missing"},
	    {"dnsbl a.example answers 10.0.0.1 reject", "answers outside 127.0.0.0/8"},
	    {"dnsbl a.example answers 127.0.0.1 reject", "127.0.0.1 and 127.255.255.0/24"},
	    {"dnsbl a.example accept", "cannot accept; use a dnswl line"},
	    {"dnsbl a.example anwsers 127.0.0.2 reject", "did you mean `answers`?"},
	    {"dnsbl a.example reject client *", "behind the options"},
	    {"dnsbl a.example of", "`of` needs what the list is asked about; write client, host"},
	    {"dnsbl a.example of form reject", "did you mean `from`?"},
	    {"dnsbl a.example of to reject", "use one of client host helo from url"},
	    {"dnsbl a.example of !from reject", "`of` needs what the list is asked about"},
	    {"dnsbl a.example of client whole reject", "leave `whole` out"},
	    {"dnsbl a.example of from addresses reject", "write `of url addresses`"},
	    {"dnsbl a.example of url addresses whole reject", "`whole` is no word of a dnsbl line"},
	    {"dnsbl a.example answers 127.0.0.2 of from reject", "`of` stands behind the zone"},
	    {"dnsbl a.example of from accept", "cannot accept; use a dnswl line"},
	    {"dnswl a.example of from accept", "a dnswl line is of client or host"},
	    {"dnswl a.example of url accept", "a dnswl line is of client or host"},
	    {"dnsbl a.example of from", "what to do is missing"},
	    {"dnswl a.example reject", "can only accept"},
	    {"dnswl a.example tag x", "can only accept"},
	    {"reject subject \xff", "not UTF-8"},
	    {"reject subject a\x01", "a control character"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct policy_errors errors;
		struct snapshot *s =
		    snapshot_parse(span_str(rows[i][0]), "p", read_list, NULL, &errors);
		char *said;

		if (s != NULL)
			fail_msg("taken: %s", rows[i][0]);
		assert_true(errors.n > 0);
		said = mem_dup(buf_span(&errors.lines));
		if (strstr(said, rows[i][1]) == NULL)
			fail_msg("%s: %s", rows[i][0], said);
		if (strncmp(rows[i][1], "lists/", 6) != 0 && strncmp(said, "p:1: ", 5) != 0)
			fail_msg("%s: %s", rows[i][0], said);
		mem_free(said);
		buf_free(&errors.lines);
	}
}

static void
test_all_errors_at_once(void **state)
{
	struct policy_errors errors;
	struct snapshot *s = snapshot_parse(SPAN("# fine\n"
						 "rejekt client *\n"
						 "accept client 192.0.2.1\n"
						 "reject client 192.0.2.7/24 host a/b until never\n"
						 "reject client list:wrong\n"
						 "reject host x country y"),
	    "policy.txt", read_list, NULL, &errors);
	struct span rest = buf_span(&errors.lines);
	static const char *const starts[] = {"policy.txt:2: `rejekt`",
	    "policy.txt:4: client: ", "policy.txt:4: host: ", "policy.txt:4: `never` is no date",
	    "lists/wrong.txt:2: ", "lists/wrong.txt:3: ", "lists/wrong.txt:4: ",
	    "policy.txt:6: country: `y` is no country"};

	(void)state;
	assert_null(s);
	assert_int_equal(errors.n, COUNT(starts));
	for (size_t i = 0; i < COUNT(starts); i++) {
		struct span line = span_cut(&rest, '\n');

		if (!span_starts(line, span_str(starts[i])))
			fail_msg("%.*s", SPAN_ARG(line));
	}
	assert_true(span_is_empty(rest));
	buf_free(&errors.lines);
}

static void
test_without_reader(void **state)
{
	struct policy_errors errors;

	(void)state;
	assert_null(snapshot_parse(SPAN("reject client list:drop"), "p", NULL, NULL, &errors));
	assert_int_equal(errors.n, 1);
	buf_free(&errors.lines);
}

/* --- limits ---------------------------------------------------------------------------------------- */

static size_t
errors_of(const struct buf *text)
{
	struct policy_errors errors;
	struct snapshot *s = snapshot_parse(buf_span(text), "p", read_list, NULL, &errors);
	size_t n = errors.n;

	assert_true((s == NULL) == (n > 0));
	snapshot_release(&s);
	buf_free(&errors.lines);
	return n;
}

static void
test_limits(void **state)
{
	struct buf text = BUF_INIT(1024 * 1024);

	(void)state;
	for (int i = 0; i < POLICY_LISTS_MAX; i++)
		assert_int_equal(buf_addf(&text, "dnsbl l%d.example reject\n", i), 0);
	assert_int_equal(errors_of(&text), 0);
	assert_int_equal(buf_add_str(&text, "dnsbl more.example reject\n"), 0);
	assert_int_equal(errors_of(&text), 1);

	buf_clear(&text);
	for (int i = 0; i < POLICY_PREDICATES_MAX; i++)
		assert_int_equal(buf_add_str(&text, "tag x body a\n"), 0);
	assert_int_equal(errors_of(&text), 0);
	assert_int_equal(buf_add_str(&text, "tag x body a\n"), 0);
	assert_int_equal(errors_of(&text), 1);

	buf_clear(&text);
	assert_int_equal(buf_add_str(&text, "tag x"), 0);
	for (int i = 0; i < RULE_FACETS_MAX; i++)
		assert_int_equal(buf_add_str(&text, " client *"), 0);
	assert_int_equal(errors_of(&text), 0);
	assert_int_equal(buf_add_str(&text, " client *"), 0);
	assert_int_equal(errors_of(&text), 1);

	buf_clear(&text);
	assert_int_equal(buf_add_str(&text, "dnsbl a.example answers 127.0.0.2"), 0);
	for (int i = 1; i < ANSWER_RANGES_MAX; i++)
		assert_int_equal(buf_add_str(&text, ",127.0.0.2"), 0);
	assert_int_equal(buf_add_str(&text, " reject"), 0);
	assert_int_equal(errors_of(&text), 0);
	buf_free(&text);
}

/* Text of `n` bytes a line in the shape "BEFORE aaaa AFTER". */
static size_t
errors_with(const char *before, size_t n, const char *after)
{
	struct buf text = BUF_INIT(1024 * 1024);
	size_t errors;

	assert_int_equal(buf_add_str(&text, before), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_add_char(&text, 'a'), 0);
	assert_int_equal(buf_add_str(&text, after), 0);
	errors = errors_of(&text);
	buf_free(&text);
	return errors;
}

static void
test_length_limits(void **state)
{
	static const struct {
		const char *before, *after;
		size_t max;
	} rows[] = {
	    {"reject client * text \"", "\"", RULE_TEXT_MAX},
	    {"reject client * note \"", "\"", RULE_NOTE_MAX},
	    {"tag ", " client *", RULE_NAME_MAX},
	    {"reject subject ", "", VALUE_TEXT_MAX},
	    {"reject subject *", "", VALUE_TEXT_MAX - 1},
	    {"reject subject /", "/", REGEX_PATTERN_MAX},
	    {"dnsbl ", ".example reject", 63},
	    {"reject client * #", "", RULE_LINE_MAX - 17},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (errors_with(rows[i].before, rows[i].max, rows[i].after) != 0)
			fail_msg("%s at its limit", rows[i].before);
		if (errors_with(rows[i].before, rows[i].max + 1, rows[i].after) == 0)
			fail_msg("%s over its limit", rows[i].before);
	}
}

static void
test_many_errors_are_counted(void **state)
{
	struct buf text = BUF_INIT(1024 * 1024);
	struct policy_errors errors;

	(void)state;
	for (int i = 0; i < 20000; i++)
		assert_int_equal(buf_add_str(&text, "x\n"), 0);
	assert_null(snapshot_parse(buf_span(&text), "p", NULL, NULL, &errors));
	assert_int_equal(errors.n, 20000);
	assert_true(errors.lines.n > 200000);
	assert_false(errors.lines.failed);
	buf_free(&errors.lines);
	buf_free(&text);
}

static void
test_references(void **state)
{
	struct snapshot *s = parse("reject client *\n"), *other = snapshot_hold(s);

	(void)state;
	assert_int_equal(snapshot_version(s), 0);
	snapshot_set_version(s, 7);
	snapshot_release(&s);
	assert_null(s);
	assert_int_equal(snapshot_version(other), 7);
	assert_int_equal(snapshot_rule_count(other), 1);
	snapshot_release(&other);
	snapshot_release(&other); /* NULL is fine */
}

static void
test_list_answers(void **state)
{
	struct snapshot *s =
	    parse("dnsbl a.example answers 127.0.0.2 reject\ndnsbl b.example reject\n");
	uint32_t three[] = {0x7f000003}, canary[] = {0x7f000001};

	(void)state;
	assert_int_equal(list_type_answer(s, 0, NULL, 0).state, LIST_NOT_LISTED);
	assert_int_equal(list_type_answer(s, 0, three, 1).state, LIST_NOT_LISTED);
	assert_int_equal(list_type_answer(s, 1, three, 1).state, LIST_LISTED);
	assert_int_equal(list_type_answer(s, 1, three, 1).address, 0x7f000003);
	assert_int_equal(list_type_answer(s, 1, canary, 1).state, LIST_ERROR);
	snapshot_release(&s);
}

static void
test_subjects(void **state)
{
	static const struct {
		enum list_of of;
		enum rule_stage stage;
		bool is_whole, has_addresses;
	} rows[] = {{LIST_OF_CLIENT, RULE_AT_CONNECT, false, false},
	    {LIST_OF_CLIENT, RULE_AT_CONNECT, false, false},
	    {LIST_OF_HOST, RULE_AT_CONNECT, false, false},
	    {LIST_OF_HELO, RULE_AT_HELO, true, false}, {LIST_OF_FROM, RULE_AT_MAIL, false, false},
	    {LIST_OF_URL, RULE_AT_DATA, true, true}};
	struct snapshot *s = parse("dnsbl z.example reject\ndnsbl z.example of client reject\n"
				   "dnswl z.example of host accept\n"
				   "dnsbl z.example of helo whole reject\n"
				   "dnsbl z.example of from reject\n"
				   "dnsbl z.example of url whole addresses reject\n");

	(void)state;
	assert_int_equal(snapshot_list_count(s), COUNT(rows));
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct dns_list *list = snapshot_list(s, i);

		assert_int_equal(list->of, rows[i].of);
		assert_int_equal(list->is_whole, rows[i].is_whole);
		assert_int_equal(list->has_addresses, rows[i].has_addresses);
		assert_true(span_eq(list->zone, SPAN("z.example")));
		assert_int_equal(snapshot_rule(s, list->rule)->stage, rows[i].stage);
		assert_true(snapshot_has_list(s, rows[i].of));
	}
	assert_true(snapshot_needs(s, FACET_HOST)); /* so that it is looked up */
	snapshot_release(&s);
	s = parse("dnsbl z.example of from reject\n");
	assert_false(snapshot_has_list(s, LIST_OF_CLIENT));
	assert_false(snapshot_needs(s, FACET_HOST));
	snapshot_release(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_contract),
	    cmocka_unit_test(test_negation),
	    cmocka_unit_test(test_scores),
	    cmocka_unit_test(test_dates),
	    cmocka_unit_test(test_taken),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_all_errors_at_once),
	    cmocka_unit_test(test_without_reader),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_length_limits),
	    cmocka_unit_test(test_many_errors_are_counted),
	    cmocka_unit_test(test_references),
	    cmocka_unit_test(test_list_answers),
	    cmocka_unit_test(test_subjects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

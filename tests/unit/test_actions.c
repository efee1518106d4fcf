/* The action matrix: what an outcome leads to by filter, flow and domain; the strongest wins. */
#include "policy/decide/decide.h"
#include "tests/unit/config_fake.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define WORLD                                                                                      \
	"hostname = \"mx1.example.org\"\n"                                                         \
	"listen \"in\" { address = \"127.0.0.1:2525\" flow = a }\n"                                \
	"gateway \"gw\" { server \"127.0.0.1:2600\" { } }\n"                                       \
	"filter \"antivirus\" { unscannable = \"pass\" failure = \"tag\" }\n"                      \
	"flow \"a\" { filters = {\"antivirus\", \"content\"} }\n"                                  \
	"flow \"b\" { filters = {\"antivirus\"}  filter \"antivirus\" { infected = \"tempfail\" "  \
	"malformed = \"reject\" } }\n"                                                             \
	"flow \"c\" { filters = {\"antivirus\"}  filter \"antivirus\" { malformed = "              \
	"\"normalise\" } }\n"                                                                      \
	"domain \"plain.example\" { gateway = \"gw\" }\n"                                          \
	"domain \"lab.example\" { gateway = \"gw\"  filter \"antivirus\" { infected = \"tag\"  "   \
	"failure = \"tempfail\"  malformed = \"normalise\" } }\n"                                  \
	"domain \".Lab.example\" { gateway = \"gw\"  filter \"content\" { matched = \"reject\" } " \
	" "                                                                                        \
	"filter \"antivirus\" { malformed = \"pass\" } }\n"

enum { INFECTED, UNSCANNABLE, MALFORMED, FAILURE = -1, MATCHED = 0 };
enum { ANTIVIRUS, CONTENT };

static void
test_one_outcome(void **state)
{
	static const struct {
		const char *flow, *to;
		int filter, outcome;
		enum action action;
	} rows[] = {
	    /* the plugin's own word, the filter's, the flow's */
	    {"a", "x@plain.example", ANTIVIRUS, INFECTED, ACTION_REJECT},
	    {"a", "x@plain.example", ANTIVIRUS, UNSCANNABLE, ACTION_PASS},
	    {"a", "x@plain.example", ANTIVIRUS, FAILURE, ACTION_TAG},
	    {"a", "x@plain.example", CONTENT, MATCHED, ACTION_TAG},
	    {"b", "x@plain.example", ANTIVIRUS, INFECTED, ACTION_TEMPFAIL},
	    {"b", "x@plain.example", ANTIVIRUS, MALFORMED, ACTION_REJECT},
	    {"b", "x@plain.example", ANTIVIRUS, UNSCANNABLE, ACTION_PASS},
	    {"c", "x@plain.example", ANTIVIRUS, MALFORMED, ACTION_NORMALISE},
	    {"c", "x@deep.lab.example", ANTIVIRUS, MALFORMED, ACTION_PASS},
	    {"a", "x@lab.example", ANTIVIRUS, MALFORMED, ACTION_NORMALISE},
	    /* the domain's goes before all of them, what it does not say stays */
	    {"a", "x@lab.example", ANTIVIRUS, INFECTED, ACTION_TAG},
	    {"b", "x@LAB.example", ANTIVIRUS, INFECTED, ACTION_TAG},
	    {"a", "x@lab.example", ANTIVIRUS, FAILURE, ACTION_TEMPFAIL},
	    {"b", "x@lab.example", ANTIVIRUS, MALFORMED, ACTION_NORMALISE},
	    {"a", "x@lab.example", CONTENT, MATCHED, ACTION_TAG},
	    /* another section, longest wins, nothing is inherited */
	    {"a", "x@deep.lab.example", CONTENT, MATCHED, ACTION_REJECT},
	    {"b", "x@deep.lab.example", ANTIVIRUS, MALFORMED, ACTION_PASS},
	    {"b", "x@deep.lab.example", ANTIVIRUS, INFECTED, ACTION_TEMPFAIL},
	    /* none of ours */
	    {"b", "x@elsewhere.example", ANTIVIRUS, INFECTED, ACTION_TEMPFAIL},
	    {"b", "postmaster", ANTIVIRUS, INFECTED, ACTION_TEMPFAIL},
	};
	struct config *c = config_of(SPAN(WORLD));

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct conf_flow *flow = config_flow(c, span_str(rows[i].flow));
		enum action a = config_action(&flow->filters[rows[i].filter],
		    config_domain_of(c, span_str(rows[i].to)), rows[i].outcome);

		if (a != rows[i].action)
			fail_msg("row %zu: %s", i, action_name(a));
	}
	config_free(&c);
}

/* The same through the decision: several outcomes at once. */
static void
test_strongest(void **state)
{
	static const struct {
		const char *to;
		struct {
			int filter, outcome;
		} found[3];
		size_t n;
		enum action action;
	} rows[] = {
	    {"x@plain.example", {{ANTIVIRUS, UNSCANNABLE}}, 1, ACTION_PASS},
	    {"x@plain.example", {{ANTIVIRUS, MALFORMED}, {CONTENT, MATCHED}}, 2, ACTION_TAG},
	    {"x@plain.example", {{CONTENT, MATCHED}, {ANTIVIRUS, INFECTED}}, 2, ACTION_REJECT},
	    {"x@lab.example", {{CONTENT, MATCHED}, {ANTIVIRUS, INFECTED}}, 2, ACTION_TAG},
	    {"x@lab.example", {{ANTIVIRUS, INFECTED}, {ANTIVIRUS, FAILURE}}, 2, ACTION_TEMPFAIL},
	    {"x@a.lab.example", {{ANTIVIRUS, FAILURE}, {CONTENT, MATCHED}}, 2, ACTION_REJECT},
	    {"x@a.lab.example", {{ANTIVIRUS, MALFORMED}}, 1, ACTION_PASS},
	};
	struct config *c = config_of(SPAN(WORLD));
	struct policy_errors errors;
	struct snapshot *policy = snapshot_parse(SPAN(""), "p", NULL, NULL, &errors);

	(void)state;
	buf_free(&errors.lines);
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct conf_flow *flow = config_flow(c, SPAN("a"));
		struct filter_outcome outcomes[3];
		struct facts facts = {.to = span_str(rows[i].to),
		    .flow = flow,
		    .domain = config_domain_of(c, span_str(rows[i].to)),
		    .outcomes = outcomes,
		    .n_outcomes = rows[i].n,
		    .hostname = "mx1.example.org"};
		struct verdict v = {0};

		for (size_t k = 0; k < rows[i].n; k++)
			outcomes[k] = (struct filter_outcome){
			    .filter = &flow->filters[rows[i].found[k].filter],
			    .outcome = rows[i].found[k].outcome};
		decide_stage(policy, STAGE_DATA, &facts, &v, NULL, NULL);
		if (v.action != rows[i].action)
			fail_msg("row %zu: %s", i, action_name(v.action));
	}
	snapshot_release(&policy);
	config_free(&c);
}

/* What is tagged has a name, whoever said that it is: the filter, its flow or the domain. */
static void
test_tag_names(void **state)
{
	static const struct {
		const char *flow, *to;
		int filter, outcome;
		const char *tag; /* NULL: none */
	} rows[] = {
	    {"a", "x@plain.example", ANTIVIRUS, FAILURE, "unscanned"},
	    {"a", "x@plain.example", ANTIVIRUS, MALFORMED, "malformed"},
	    {"a", "x@plain.example", ANTIVIRUS, INFECTED, NULL},
	    {"a", "x@lab.example", ANTIVIRUS, INFECTED, "infected"},
	    {"a", "x@lab.example", ANTIVIRUS, FAILURE, NULL},
	    {"a", "x@deep.lab.example", ANTIVIRUS, MALFORMED, NULL},
	    {"a", "x@deep.lab.example", CONTENT, MATCHED, NULL},
	    {"b", "x@plain.example", ANTIVIRUS, FAILURE, "unscanned"},
	    {"b", "x@strict.example", ANTIVIRUS, FAILURE, NULL},
	    {"b", "x@lenient.example", ANTIVIRUS, FAILURE, "unscanned"},
	    {"b", "x@lenient.example", ANTIVIRUS, MALFORMED, "malformed"},
	};
	struct config *c = config_of(SPAN(
	    WORLD "domain \"strict.example\" { gateway = \"gw\"  filter \"antivirus\" { failure = "
		  "\"tempfail\" } }\n"
		  "domain \"lenient.example\" { gateway = \"gw\"  filter \"antivirus\" { failure = "
		  "\"tag\"  malformed = \"tag\" } }\n"));
	struct policy_errors errors;
	struct snapshot *policy =
	    snapshot_parse(SPAN("tempfail tag *\n"), "p", NULL, NULL, &errors);

	(void)state;
	buf_free(&errors.lines);
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct conf_flow *flow = config_flow(c, span_str(rows[i].flow));
		struct filter_outcome outcome = {
		    .filter = &flow->filters[rows[i].filter], .outcome = rows[i].outcome};
		struct facts facts = {.to = span_str(rows[i].to),
		    .flow = flow,
		    .domain = config_domain_of(c, span_str(rows[i].to)),
		    .outcomes = &outcome,
		    .n_outcomes = 1,
		    .hostname = "mx1.example.org"};
		struct verdict v = {0};
		struct span tag;

		decide_stage(policy, STAGE_DATA, &facts, &v, NULL, NULL);
		tag = v.n_tags > 0 ? v.tags[0].name : SPAN("");
		if (!span_eq(tag, rows[i].tag != NULL ? span_str(rows[i].tag) : SPAN("")))
			fail_msg("row %zu: tag '%.*s'", i, SPAN_ARG(tag));
		/* The rules see the same: one of them puts off what is tagged. */
		if (rows[i].tag != NULL && v.action != ACTION_TEMPFAIL)
			fail_msg("row %zu: no rule saw the tag", i);
	}
	snapshot_release(&policy);
	config_free(&c);
}

static void
test_errors(void **state)
{
	static const struct {
		const char *text, *errors;
	} rows[] = {
	    {"domain \"b.example\" { gateway = \"gw\" filter \"antivirus\" { infected = \"pass\" } "
	     "}\n",
		"t.conf:6: filter \"antivirus\" is in filters of no flow; add it there or remove "
		"this\n"},
	    {"flow \"b\" { filters = \"antivirus\" }\n"
	     "domain \"b.example\" { gateway = \"gw\" filter \"antivirus\" { deadline = 3s } }\n",
		"t.conf:7: \"deadline\" cannot differ by domain, only actions can; write it into "
		"filter "
		"\"antivirus\" { } outside the domain\n"},
	    {"flow \"b\" { filters = \"antivirus\" }\n"
	     "domain \"b.example\" { gateway = \"gw\" filter \"antivirus\" { max_failures = 3 } "
	     "}\n",
		"t.conf:7: \"max_failures\" cannot differ by domain, only actions can; write it "
		"into "
		"filter \"antivirus\" { } outside the domain\n"},
	    {"flow \"b\" { filters = \"antivirus\" }\n"
	     "domain \"b.example\" { gateway = \"gw\" filter \"antivirus\" { infectd = \"tag\" } "
	     "}\n",
		"t.conf:7: unknown word \"infectd\" in filter \"antivirus\"; did you mean "
		"\"infected\"?\n"},
	    {"filter \"antivirus\" { max_failures = 0 }\n",
		"t.conf:6: max_failures = \"0\" is out of range; it goes from 1 to 1000000\n"},
	    {"filter \"antivirus\" { pause = 2h }\n",
		"t.conf:6: pause = \"2h\" is out of range; it goes from 1ms to 1h\n"},
	    {"filter \"attachment\" { blocked = \"strip\" failure = \"strip\" }\n",
		"t.conf:6: failure = \"strip\" is not what a failure may do; write tempfail, tag, "
		"hold or quarantine\n"},
	    {"filter \"antivirus\" { infected = \"strip\" }\n",
		"t.conf:6: action \"strip\" of \"infected\": plugin clamav does not say which part "
		"it is about; write pass, tag, quarantine, discard, hold, tempfail, reject or "
		"keep\n"},
	    {"flow \"b\" { filters = \"attachment\" score { strip = 3 } }\n", NULL},
	    {"plugins = \"relative\"\n", NULL},
	    {"plugins = {\"/a\", \"/b\"}\n", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf text = BUF_INIT(65536);
		char *found;

		assert_int_equal(buf_addf(&text, BASE "%s", rows[i].text), 0);
		found = errors_of(buf_span(&text));
		if (rows[i].errors != NULL)
			assert_string_equal(found, rows[i].errors);
		else if (strstr(found, "t.conf:6: ") != found)
			fail_msg("%s", found);
		mem_free(found);
		buf_free(&text);
	}
}

static void
test_plugins_folder(void **state)
{
	static const struct {
		const char *text, *folder;
		unsigned line;
	} rows[] = {
	    {BASE, NULL, 0},
	    {BASE "plugins = \"/usr/local/lib/postern\"\n", "/usr/local/lib/postern", 6},
	    {"# plugins = \"/no\"\n{{{\nplugins = /a\n", NULL, 0},
	    {"plugins = \"/a\"\nhostname = {{{ ", "/a", 1},
	    {"plugins = \"a\"\n", NULL, 0},
	    {"flow \"plugins\" { plugins = \"/a\" }\n", NULL, 0},
	    {"plugins { }\n", NULL, 0},
	    {"plugins = {}\n", NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char folder[64] = "";
		unsigned line = 0;
		bool is_there =
		    config_plugins_folder(span_str(rows[i].text), folder, sizeof(folder), &line);

		if (is_there != (rows[i].folder != NULL) ||
		    (is_there && (strcmp(folder, rows[i].folder) != 0 || line != rows[i].line)))
			fail_msg("row %zu: %d \"%s\" in line %u", i, is_there, folder, line);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_outcome),
	    cmocka_unit_test(test_strongest), cmocka_unit_test(test_tag_names),
	    cmocka_unit_test(test_errors), cmocka_unit_test(test_plugins_folder)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

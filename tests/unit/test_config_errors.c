/* Every error of postern.conf once, with its exact line and text. */
#include "tests/unit/config_fake.h"

struct error_case {
	const char *text, *lines;
};

/* Every line says what is wrong and what would be right. */
static void
check_form(struct span lines)
{
	while (lines.n > 0) {
		struct span line = span_cut(&lines, '\n');

		assert_true(span_starts(line, SPAN("t.conf:")));
		assert_true(memmem(line.p, line.n, "; ", 2) != NULL);
	}
}

static void
check_cases(const struct error_case *cases, size_t n, const char *before)
{
	for (size_t i = 0; i < n; i++) {
		struct buf text = BUF_INIT(65536);
		char *lines;

		assert_int_equal(buf_addf(&text, "%s%s", before, cases[i].text), 0);
		lines = errors_of(buf_span(&text));
		if (strcmp(lines, cases[i].lines) != 0)
			print_error("case %zu: %s\n", i, cases[i].text);
		assert_string_equal(lines, cases[i].lines);
		check_form(span_str(lines));
		mem_free(lines);
		buf_free(&text);
	}
}

#define CHECK(cases, before) check_cases(cases, sizeof(cases) / sizeof((cases)[0]), before)

static void
test_grammar(void **state)
{
	static const struct error_case cases[] = {
	    {"state_dir\n", "t.conf:6: \"state_dir\" stands alone; write state_dir = VALUE or "
			    "state_dir { ... }\n"},
	    {"state_dir \"/x\"\n",
		"t.conf:6: no \"=\" behind \"state_dir\"; write state_dir = \"/x\"\n"},
	    {"state_dir = \n", "t.conf:6: \"state_dir\" has no value; write state_dir = VALUE\n"},
	    {"state_dir =\nrun_dir = /run/p\n",
		"t.conf:6: \"state_dir\" has no value; write state_dir = VALUE\n"},
	    {"state_dir = {\"/a\"}\n",
		"t.conf:6: \"state_dir\" takes one value; write state_dir = VALUE\n"},
	    {"state_dir = /a, /b\nrun_dir = relative\n",
		"t.conf:6: \",\" behind the value of \"state_dir\"; several values stand in "
		"braces: state_dir = {A, B}\nt.conf:7: run_dir = \"relative\" is not an absolute "
		"path; write it from / on, without . and ..\n"},
	    {"state_dir = \"/a\nrun_dir = b\n",
		"t.conf:6: a text is not closed on its line; end it with \" (and write \\\" for a "
		"quote inside)\nt.conf:7: run_dir = \"b\" is not an absolute path; write it from / "
		"on, without . and ..\n"},
	    {"queue {\n", "t.conf:6: \"queue\" is not closed; add } at its end\n"},
	    {"}\nrun_dir = b\n",
		"t.conf:6: \"}\" closes nothing; remove it, or add the { it belongs to\nt.conf:7: "
		"run_dir = \"b\" is not an absolute path; write it from / on, without . and ..\n"},
	    {"queue { retry = {1s, 2s\nexpire_after = 3d }\nrun_dir = b\n",
		"t.conf:6: the list of \"retry\" is not closed before \"expire_after\" of line 7; "
		"end it with }\nt.conf:8: run_dir = \"b\" is not an absolute path; write it from / "
		"on, without . and ..\n"},
	    {"queue { retry = {1s, 2s\n",
		"t.conf:6: the list of \"retry\" is not closed; end it with }\nt.conf:6: \"queue\" "
		"is not closed; add } at its end\n"},
	    {"queue { retry = {1s 2s} }\n",
		"t.conf:6: no \",\" before \"2s\"; divide a list's values by commas\n"},
	    {"queue { retry = {,1s,,2s,} }\n",
		"t.conf:6: \",\" without a value before it; remove it\nt.conf:6: \",\" without a "
		"value before it; remove it\n"},
	    {"queue { retry = {1s, 2s\n warn_after x }\n",
		"t.conf:6: \"queue\" is not closed; add } at its end\nt.conf:7: no \",\" before "
		"\"warn_after\"; divide a list's values by commas\nt.conf:7: no \",\" before "
		"\"x\"; divide a list's values by commas\nt.conf:7: retry = \"warn_after\" is not "
		"a time; write one like 300ms, 20s, 5m, 4h or 7d\nt.conf:7: retry = \"x\" is not a "
		"time; write one like 300ms, 20s, 5m, 4h or 7d\n"},
	    {"\"queue\" { }\n", "t.conf:6: \"queue\" stands where a word must; write word = "
				"\"queue\"\nt.conf:6: \"{\" without a word before it; remove it\n"},
	    {"{ run_dir = b }\n", "t.conf:6: \"{\" without a word before it; remove it\n"},
	    {"= 5\nrun_dir = b\n",
		"t.conf:6: \"=\" without a word before it; remove it\nt.conf:7: run_dir = \"b\" is "
		"not an absolute path; write it from / on, without . and ..\n"},
	    {", run_dir = b\n",
		"t.conf:6: \",\" without a word before it; remove it\nt.conf:6: run_dir = \"b\" is "
		"not an absolute path; write it from / on, without . and ..\n"},
	    {"run_dir = b;\n",
		"t.conf:6: \";\" has no meaning here; remove it\nt.conf:6: run_dir = \"b\" is not "
		"an absolute path; write it from / on, without . and ..\n"},
	    {"run_dir = 'b'\n",
		"t.conf:6: \"'\" does not enclose text; use \"...\"\nt.conf:6: \"'\" does not "
		"enclose text; use \"...\"\nt.conf:6: run_dir = \"b\" is not an absolute path; "
		"write it from / on, without . and ..\n"},
	    {"run_dir = \"\\b\"\n", "t.conf:6: \"\\b\" is no escape; only \\\" and \\\\ are, write "
				    "\\\\ for a backslash\nt.conf:6: run_dir = \"b\" is not an "
				    "absolute path; write it from / on, without . and ..\n"},
	    {"# fine\n// fine\n/* fine\n*/ run_dir = b\n",
		"t.conf:9: run_dir = \"b\" is not an absolute path; write it from / on, without . "
		"and ..\n"},
	    {"run_dir = /run/p /* never\nclosed\n",
		"t.conf:6: a comment is not closed; end it with */\n"},
	    {"state_dir = /a\nstate_dir = /b\n",
		"t.conf:7: \"state_dir\" is given twice, first in line 6; keep one\n"},
	    {"gateway \"gw\" { server \"127.0.0.1:2600\" { } }\n",
		"t.conf:6: gateway \"gw\" is given twice, first in line 4; keep one\n"},
	    {"queue { }\nqueue { }\n",
		"t.conf:7: \"queue\" is given twice, first in line 6; keep one\n"},
	    {"dns { timeout = 1s\ntimeout = 2s }\n",
		"t.conf:7: \"timeout\" is given twice, first in line 6; keep one\n"},
	    {"flow \"f\" { score { tag = 1\n\ntag = 2 } }\n",
		"t.conf:8: \"tag\" is given twice, first in line 6; keep one\n"},
	    {"a { b { c { d { e { f { g { h { i { j = 1 } } } } } } } } }\n",
		"t.conf:6: sections stand deeper than 8 in each other; remove this one\nt.conf:6: "
		"unknown word "
		"\"a\"; did you mean \"dns\"?\n"},
	    {"run_dir = \"a\001b\"\n",
		"t.conf:6: a control character; remove it\nt.conf:6: run_dir = \"a?b\" is not an "
		"absolute path; write it from / on, without . and ..\n"},
	    {"run_dir = ${HOME}\n",
		"t.conf:6: \"{\" without a word before it; remove it\nt.conf:6: \"HOME\" stands "
		"alone; write HOME = VALUE or HOME { ... }\nt.conf:6: run_dir = \"$\" is not an "
		"absolute path; write it from / on, without . and ..\n"},
	    {"run_dir = \"${HOME}\"\n", "t.conf:6: run_dir = \"${HOME}\" is not an absolute path; "
					"write it from / on, without . and ..\n"},
	    {"include(\"x\")\n",
		"t.conf:6: nothing is included; put all of the configuration into this file\n"},
	    {"queue retry { }\n",
		"t.conf:6: \"queue\" is a section without a title; write queue { ... }\n"},
	    {"domain \"example.org\" { gateway = \"gw\" }\n",
		"t.conf:6: domain \"example.org\" is given twice, first in line 5; keep one\n"},
	    {"domain \"Example.ORG\" { gateway = \"gw\" }\n",
		"t.conf:6: domain \"Example.ORG\" is given twice, first in line 5; keep one\n"},
	    {"domain { gateway = \"gw\" }\n",
		"t.conf:6: \"domain\" is a section with a title; write domain \"NAME\" { ... }\n"},
	    {"queue = 5\n",
		"t.conf:6: \"queue\" is a section without a title; write queue { ... }\n"},
	    {"hostname { }\n",
		"t.conf:6: \"hostname\" is given twice, first in line 1; keep one\n"},
	    {"state_dir += /x\n",
		"t.conf:6: \"state_dir\" stands alone; write state_dir = VALUE or state_dir { ... "
		"}\nt.conf:6: unknown word \"+\"; did you mean \"dns\"?\n"},
	    {"dns { timeout = 2s }}\nrun_dir = b\n",
		"t.conf:6: \"}\" closes nothing; remove it, or add the { it belongs to\nt.conf:7: "
		"run_dir = \"b\" is not an absolute path; write it from / on, without . and ..\n"},
	};

	(void)state;
	CHECK(cases, BASE);
}

static void
test_top(void **state)
{
	static const struct error_case cases[] = {
	    {"", "t.conf:1: no hostname; add hostname = \"mx1.example.org\"\nt.conf:1: no flow "
		 "section; add flow \"inbound\" { }\nt.conf:1: no listen section; add listen "
		 "\"internet\" { address = {\"0.0.0.0:25\"} flow = NAME }\n"},
	    {"listen \"in\" { address = \"127.0.0.1:2525\" flow = inbound }\nflow inbound { "
	     "}\ngateway gw { server \"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = "
	     "gw }\n",
		"t.conf:1: no hostname; add hostname = \"mx1.example.org\"\n"},
	    {"hostname = \"\"\nlisten \"in\" { address = \"127.0.0.1:2525\" flow = inbound }\nflow "
	     "inbound { }\ngateway gw { server \"127.0.0.1:2600\" { } }\ndomain \"example.org\" { "
	     "gateway = gw }\n",
		"t.conf:1: \"hostname\" is empty; give it a value or remove it\n"},
	    {"hostname = \"mx1..example.org\"\nlisten \"in\" { address = \"127.0.0.1:2525\" flow = "
	     "inbound }\nflow inbound { }\ngateway gw { server \"127.0.0.1:2600\" { } }\ndomain "
	     "\"example.org\" { gateway = gw }\n",
		"t.conf:1: hostname = \"mx1..example.org\" is no host name; write one like "
		"\"mx1.example.org\"\n"},
	    {"hostname = 192.0.2.1\nlisten \"in\" { address = \"127.0.0.1:2525\" flow = inbound "
	     "}\nflow inbound { }\ngateway gw { server \"127.0.0.1:2600\" { } }\ndomain "
	     "\"example.org\" { gateway = gw }\n",
		"t.conf:1: hostname = \"192.0.2.1\" is no host name; write one like "
		"\"mx1.example.org\"\n"},
	    {"hostname = -mx.example.org\nlisten \"in\" { address = \"127.0.0.1:2525\" flow = "
	     "inbound }\nflow inbound { }\ngateway gw { server \"127.0.0.1:2600\" { } }\ndomain "
	     "\"example.org\" { gateway = gw }\n",
		"t.conf:1: hostname = \"-mx.example.org\" is no host name; write one like "
		"\"mx1.example.org\"\n"},
	    {"hostname = mx1.example.org\npostmaster = \"\"\nlisten \"in\" { address = "
	     "\"127.0.0.1:2525\" flow = inbound }\nflow inbound { }\ngateway gw { server "
	     "\"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:2: \"postmaster\" is empty; give it a value or remove it\n"},
	    {"hostname = mx1.example.org\npostmaster = \"nobody\"\nlisten \"in\" { address = "
	     "\"127.0.0.1:2525\" flow = inbound }\nflow inbound { }\ngateway gw { server "
	     "\"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:2: postmaster = \"nobody\" is no mail address; write one like "
		"\"postmaster@example.org\"\n"},
	    {"hostname = mx1.example.org\npostmaster = \"a b@example.org\"\nlisten \"in\" { "
	     "address = \"127.0.0.1:2525\" flow = inbound }\nflow inbound { }\ngateway gw { server "
	     "\"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:2: postmaster = \"a b@example.org\" is no mail address; write one like "
		"\"postmaster@example.org\"\n"},
	    {"hostname = mx1.example.org\npostmaster = \"a@\"\nlisten \"in\" { address = "
	     "\"127.0.0.1:2525\" flow = inbound }\nflow inbound { }\ngateway gw { server "
	     "\"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:2: postmaster = \"a@\" is no mail address; write one like "
		"\"postmaster@example.org\"\n"},
	    {"hostname = mx1.example.org\nstate_dir = \"var/lib\"\nlisten \"in\" { address = "
	     "\"127.0.0.1:2525\" flow = inbound }\nflow inbound { }\ngateway gw { server "
	     "\"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:2: state_dir = \"var/lib\" is not an absolute path; write it from / on, "
		"without . and ..\n"},
	    {"hostname = mx1.example.org\nstate_dir = \"/var/../lib\"\nlisten \"in\" { address = "
	     "\"127.0.0.1:2525\" flow = inbound }\nflow inbound { }\ngateway gw { server "
	     "\"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:2: state_dir = \"/var/../lib\" is not an absolute path; write it from / "
		"on, without . and ..\n"},
	    {"hostname = mx1.example.org\nhostnam = x\nlisten \"in\" { address = "
	     "\"127.0.0.1:2525\" flow = inbound }\nflow inbound { }\ngateway gw { server "
	     "\"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:2: unknown word \"hostnam\"; did you mean \"hostname\"?\n"},
	    {"hostname = mx1.example.org\npostmater = x\nlisten \"in\" { address = "
	     "\"127.0.0.1:2525\" flow = inbound }\nflow inbound { }\ngateway gw { server "
	     "\"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:2: unknown word \"postmater\"; did you mean \"postmaster\"?\n"},
	    {"hostname = mx1.example.org\nlisen \"x\" { }\nlisten \"in\" { address = "
	     "\"127.0.0.1:2525\" flow = inbound }\nflow inbound { }\ngateway gw { server "
	     "\"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:2: unknown word \"lisen\"; did you mean \"listen\"?\n"},
	    {"hostname = mx1.example.org\nquarantin { }\nlisten \"in\" { address = "
	     "\"127.0.0.1:2525\" flow = inbound }\nflow inbound { }\ngateway gw { server "
	     "\"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:2: unknown word \"quarantin\"; did you mean \"quarantine\"?\n"},
	    {"hostname = mx1.example.org\nHOSTNAME = x\nlisten \"in\" { address = "
	     "\"127.0.0.1:2525\" flow = inbound }\nflow inbound { }\ngateway gw { server "
	     "\"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:2: unknown word \"HOSTNAME\"; did you mean \"hostname\"?\n"},
	    {"hostname = mx1.example.org\nflow \"inbound\" { }\ngateway gw { server "
	     "\"127.0.0.1:2600\" { } }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:1: no listen section; add listen \"internet\" { address = {\"0.0.0.0:25\"} "
		"flow = NAME }\n"},
	    {"hostname = mx1.example.org\nlisten \"in\" { address = \"127.0.0.1:2525\" flow = "
	     "inbound }\n",
		"t.conf:1: no flow section; add flow \"inbound\" { }\nt.conf:2: flow \"inbound\" "
		"does not exist; add flow \"inbound\" { ... }\n"},
	    {"hostname = mx1.example.org\nlisten \"in\" { address = \"127.0.0.1:2525\" flow = "
	     "inbound }\nflow inbound { }\n",
		"t.conf:3: flow \"inbound\" relays to the domains, but there is none; add domain "
		"\"example.org\" { gateway = NAME }\n"},
	    {"hostname = mx1.example.org\nlisten \"in\" { address = \"127.0.0.1:2525\" flow = "
	     "inbound }\nflow inbound { }\ndomain \"example.org\" { gateway = gw }\n",
		"t.conf:4: gateway \"gw\" does not exist; add gateway \"gw\" { ... }\n"},
	    {"hostname = mx1.example.org\nlisten \"in\" { address = \"127.0.0.1:2525\" flow = "
	     "inbound\nflow inbound { }\ngateway gw { server \"127.0.0.1:2600\" { } }\ndomain "
	     "\"example.org\" { gateway = gw }\n",
		"t.conf:1: no flow section; add flow \"inbound\" { }\nt.conf:2: \"listen\" is not "
		"closed; add } at its end\nt.conf:2: flow \"inbound\" does not exist; add flow "
		"\"inbound\" { ... }\nt.conf:3: \"flow\" takes one value; write flow = "
		"VALUE\nt.conf:4: \"gateway\" has no meaning in listen \"in\"; if it was not meant "
		"to stand there, add } before it\nt.conf:5: \"domain\" has no meaning in listen "
		"\"in\"; if it was not meant to stand there, add } before it\n"},
	};

	(void)state;
	CHECK(cases, "");
}

static void
test_sections(void **state)
{
	static const struct error_case cases[] = {
	    {"listen \"b\" { }\n",
		"t.conf:6: listen \"b\" has no address; add address = {\"0.0.0.0:25\"}\nt.conf:6: "
		"listen \"b\" has no flow; add flow = NAME, the flow its mail takes\n"},
	    {"listen \"b\" { address = \"127.0.0.1:2525\" flow = inbound }\n",
		"t.conf:6: address \"127.0.0.1:2525\" is given twice, first in line 2; keep one\n"},
	    {"listen \"b\" { address = {\"[::1]:25\", \"[0:0::1]:25\"} flow = inbound }\n",
		"t.conf:6: address \"[0:0::1]:25\" is given twice, first in line 6; keep one\n"},
	    {"listen \"b\" { address = {} flow = inbound }\n",
		"t.conf:6: \"address\" is empty; write address = {\"0.0.0.0:25\"}\n"},
	    {"listen \"b\" { address = \"127.0.0.1\" flow = inbound }\n",
		"t.conf:6: address = \"127.0.0.1\" is not an address with a port; write one like "
		"192.0.2.1:25 or [2001:db8::1]:25\n"},
	    {"listen \"b\" { address = \"127.0.0.1:99999\" flow = inbound }\n",
		"t.conf:6: address = \"127.0.0.1:99999\" is not an address with a port; write one "
		"like 192.0.2.1:25 or [2001:db8::1]:25\n"},
	    {"listen \"b\" { address = \"mx:25\" flow = inbound }\n",
		"t.conf:6: address = \"mx:25\" is not an address with a port; write one like "
		"192.0.2.1:25 or [2001:db8::1]:25\n"},
	    {"listen \"b\" { address = \"127.0.0.1:26\" flow = inbond }\n",
		"t.conf:6: flow \"inbond\" does not exist; there is \"inbound\"\n"},
	    {"listen \"b\" { address = \"127.0.0.1:26\" flow = inbound xclient = {\"10.0.0.1/8\"} "
	     "}\n",
		"t.conf:6: xclient = \"10.0.0.1/8\" is not an address or a network without host "
		"bits; write one like 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32\n"},
	    {"listen \"b\" { address = \"127.0.0.1:26\" flow = inbound tls = \"on\" }\n",
		"t.conf:6: unknown value \"on\" of tls; did you mean \"off\"?\n"},
	    {"listen \"b\" { address = \"127.0.0.1:26\" flow = inbound adress = 1 }\n",
		"t.conf:6: unknown word \"adress\" in listen \"b\"; did you mean \"address\"?\n"},
	    {"listen \"b\" { address = \"127.0.0.1:26\" flow = {inbound} }\n",
		"t.conf:6: \"flow\" takes one value; write flow = VALUE\n"},
	    {"dns { servers = {} }\n",
		"t.conf:6: \"servers\" is empty; remove it to use those of /etc/resolv.conf\n"},
	    {"dns { servers = {\"127.0.0.1\"} }\n",
		"t.conf:6: servers = \"127.0.0.1\" is not an address with a port; write one like "
		"192.0.2.1:25 or [2001:db8::1]:25\n"},
	    {"dns { timeout = 5 }\n", "t.conf:6: timeout = \"5\" is not a time; write one like "
				      "300ms, 20s, 5m, 4h or 7d\n"},
	    {"dns { timeout = 0s }\n",
		"t.conf:6: timeout = \"0s\" is out of range; it goes from 1ms to 1m\n"},
	    {"dns { timeout = 2h }\n",
		"t.conf:6: timeout = \"2h\" is out of range; it goes from 1ms to 1m\n"},
	    {"dns { banner_wait = 61s }\n",
		"t.conf:6: banner_wait = \"61s\" is out of range; it goes from 0s to 1m\n"},
	    {"dns { probe = 999ms }\n",
		"t.conf:6: probe = \"999ms\" is out of range; it goes from 1s to 1h\n"},
	    {"dns { server = 1 }\n",
		"t.conf:6: unknown word \"server\" in dns; did you mean \"servers\"?\n"},
	    {"dns \"x\" { }\n",
		"t.conf:6: \"dns\" is a section without a title; write dns { ... }\n"},
	    {"queue { retry = {} }\n", "t.conf:6: \"retry\" has 0 times; write 1 to 64\n"},
	    {"queue { retry = {5m, 5x} }\n", "t.conf:6: retry = \"5x\" is not a time; write one "
					     "like 300ms, 20s, 5m, 4h or 7d\n"},
	    {"queue { retry = {5m, 0s} }\n",
		"t.conf:6: retry = \"0s\" is out of range; it goes from 1ms to 365d\n"},
	    {"queue { min_free = 10X }\n",
		"t.conf:6: min_free = \"10X\" is not a size; write one like 500K, 10M or 2G\n"},
	    {"queue { min_free = 99999999999G }\n", "t.conf:6: min_free = \"99999999999G\" is not "
						    "a size; write one like 500K, 10M or 2G\n"},
	    {"queue { expire_after = 999999999999999d }\n",
		"t.conf:6: expire_after = \"999999999999999d\" is not a time; write one like "
		"300ms, 20s, 5m, 4h or 7d\n"},
	    {"queue { expire = 5d }\n",
		"t.conf:6: unknown word \"expire\" in queue; did you mean \"expire_after\"?\n"},
	    {"queue { retry = "
	     "{1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,"
	     "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,"
	     "1s,1s,1s,1s,1s,1s,1s,1s,1s} }\n",
		"t.conf:6: \"retry\" has 65 times; write 1 to 64\n"},
	    {"web { }\n", "t.conf:6: web has no address; add address = \"127.0.0.1:8025\"\n"},
	    {"web { address = \"127.0.0.1\" }\n",
		"t.conf:6: address = \"127.0.0.1\" is not an address with a port; write one like "
		"192.0.2.1:25 or [2001:db8::1]:25\n"},
	    {"web { adress = \"127.0.0.1:1\" }\n",
		"t.conf:6: unknown word \"adress\" in web; did you mean \"address\"?\nt.conf:6: "
		"web has no address; add address = \"127.0.0.1:8025\"\n"},
	    {"web { address = \"127.0.0.1:2525\" }\n",
		"t.conf:6: address \"127.0.0.1:2525\" is given twice, first in line 2; keep one\n"},
	    {"journal { kep = 1 }\n", "t.conf:6: unknown word \"kep\" in journal; the nearest, "
				      "\"keep\", is not in this version; remove it\n"},
	    {"gateway \"b\" { }\n",
		"t.conf:6: gateway \"b\" has no server; add server \"10.0.0.11:25\" { }\n"},
	    {"gateway \"b\" { server \"10.0.0.1\" { } }\n",
		"t.conf:6: server \"10.0.0.1\" is not HOST:PORT; write one like \"10.0.0.11:25\", "
		"\"dr.example.org:25\" or \"[2001:db8::1]:25\"\n"},
	    {"gateway \"b\" { server \"::1:25\" { } }\n",
		"t.conf:6: server \"::1:25\" is not HOST:PORT; write one like \"10.0.0.11:25\", "
		"\"dr.example.org:25\" or \"[2001:db8::1]:25\"\n"},
	    {"gateway \"b\" { server \"a_b:25\" { } }\n",
		"t.conf:6: server \"a_b:25\": \"a_b\" is neither an address nor a host name; write "
		"one like 10.0.0.11 or dr.example.org\n"},
	    {"gateway \"b\" { server \"a:0\" { } }\n",
		"t.conf:6: server \"a:0\" is not HOST:PORT; write one like \"10.0.0.11:25\", "
		"\"dr.example.org:25\" or \"[2001:db8::1]:25\"\n"},
	    {"gateway \"b\" { server \"a:25\" { preference = -1 } }\n",
		"t.conf:6: preference = \"-1\" is not a number; write digits only\n"},
	    {"gateway \"b\" { server \"a:25\" { preference = 65536 } }\n",
		"t.conf:6: preference = \"65536\" is out of range; it goes from 0 to 65535\n"},
	    {"gateway \"b\" { server \"a:25\" { weight = 0 } }\n",
		"t.conf:6: weight = \"0\" is out of range; it goes from 1 to 65535\n"},
	    {"gateway \"b\" { server \"a:25\" { weigth = 1 } }\n",
		"t.conf:6: unknown word \"weigth\" in server \"a:25\"; did you mean \"weight\"?\n"},
	    {"gateway \"b\" { server \"a:25\" { } tls = \"of\" }\n",
		"t.conf:6: unknown value \"of\" of tls; did you mean \"off\"?\n"},
	    {"gateway \"b\" { server \"a:25\" { } accept = \"now\" }\n",
		"t.conf:6: unknown value \"now\" of accept; did you mean \"queue\"?\n"},
	    {"gateway \"b\" { server \"a:25\" { tls_name = \"a_b\" } tls_name = \"\" }\n",
		"t.conf:6: tls_name = \"a_b\" is no name that a certificate could have; write one "
		"like mx.corp.example\nt.conf:6: tls_name = \"\" is no name that a certificate "
		"could have; write one like mx.corp.example\n"},
	    {"gateway \"b\" { server \"a:25\" { } tls = verify ca = \"ca.pem\" }\n",
		"t.conf:6: ca = \"ca.pem\" is not an absolute path; write it from / on, without . "
		"and ..\n"},
	    {"gateway \"b\" { server \"a:25\" { } tls = require\nca = \"/ca.pem\" }\n",
		"t.conf:7: gateway \"b\" has ca, but certificates are checked with tls = "
		"\"verify\" only; write that, or remove ca\n"},
	    {"gateway \"b\" { server \"a:25\" { } source = \"10.0.0.0/8\" }\n",
		"t.conf:6: source = \"10.0.0.0/8\" is no address; write one of this machine's, "
		"like "
		"10.0.0.5 or 2001:db8::5\n"},
	    {"gateway \"b\" { server \"a:25\" { } source = {\"::1\", \"10.0.0.5\", \"10.0.0.6\"} "
	     "}\n",
		"t.conf:6: source has two addresses of one kind; write at most one of IPv4 and one "
		"of IPv6\n"},
	    {"gateway \"b\" { server \"a:25\" { } connections = 0 }\n",
		"t.conf:6: connections = \"0\" is out of range; it goes from 1 to 1000\n"},
	    {"gateway \"b\" { server \"a:25\" { } connections = 1001 }\n",
		"t.conf:6: connections = \"1001\" is out of range; it goes from 1 to 1000\n"},
	    {"gateway \"b\" { server \"a:25\" { } through_wait = 99ms }\n",
		"t.conf:6: through_wait = \"99ms\" is out of range; it goes from 100ms to 90s\n"},
	    {"gateway \"b\" { server \"a:25\" { } timeout { data = 2h } }\n",
		"t.conf:6: data = \"2h\" is out of range; it goes from 10ms to 1h\n"},
	    {"gateway \"b\" { server \"a:25\" { } timeout { dot = 1s } }\n",
		"t.conf:6: unknown word \"dot\" in timeout; did you mean \"data\"?\n"},
	    {"gateway \"b\" { server \"a:25\" { } timeout = 1s }\n",
		"t.conf:6: \"timeout\" is a section without a title; write timeout { ... }\n"},
	    {"gateway \"b\" { server \"a:25\" { }\nserver \"a:25\" { } }\n",
		"t.conf:7: server \"a:25\" is given twice, first in line 6; keep one\n"},
	    {"gateway \"b\" { server = \"a:25\" }\n",
		"t.conf:6: \"server\" is a section with a title; write server \"NAME\" { ... "
		"}\nt.conf:6: gateway \"b\" has no server; add server \"10.0.0.11:25\" { }\n"},
	    {"domain \"b.example\" { }\n",
		"t.conf:6: domain \"b.example\" has no gateway; add gateway = NAME\n"},
	    {"domain \"b.example\" { gateway = \"gx\" }\n",
		"t.conf:6: gateway \"gx\" does not exist; there is \"gw\"\n"},
	    {"domain \"b_.example\" { gateway = \"gw\" }\n",
		"t.conf:6: domain \"b_.example\" is no domain name; write one like "
		"\"example.org\", or \".example.org\" for all below it too (international ones as "
		"xn--...)\n"},
	    {"domain \"\" { gateway = \"gw\" }\n",
		"t.conf:6: domain \"\" is no domain name; write one like \"example.org\", or "
		"\".example.org\" for all below it too (international ones as xn--...)\n"},
	    {"domain \".\" { gateway = \"gw\" }\n",
		"t.conf:6: domain \".\" is no domain name; write one like \"example.org\", or "
		"\".example.org\" for all below it too (international ones as xn--...)\n"},
	    {"domain \"b.example.\" { gateway = \"gw\" }\n",
		"t.conf:6: domain \"b.example.\" is no domain name; write one like "
		"\"example.org\", or \".example.org\" for all below it too (international ones as "
		"xn--...)\n"},
	    {"domain \"b.example\" { gateway = \"gw\" recipients = \"all\" }\n",
		"t.conf:6: recipients = \"all\" is no source of recipients; write \"any\", "
		"\"file:PATH\", \"ldap:NAME\" or \"callout\"\n"},
	    {"domain \"b.example\" { gateway = \"gw\" recipients = \"file:users\" }\n",
		"t.conf:6: recipients = \"file:users\" is not an absolute path; write one like "
		"\"file:/etc/postern/recipients\"\n"},
	    {"domain \"b.example\" { gateway = \"gw\" recipient = \"any\" }\n",
		"t.conf:6: unknown word \"recipient\" in domain \"b.example\"; did you mean "
		"\"recipients\"?\n"},
	    {"flow \"b\" { relay = \"domain\" }\n",
		"t.conf:6: unknown value \"domain\" of relay; did you mean \"domains\"?\n"},
	    {"flow \"b\" { gateway = \"gw\" }\n",
		"t.conf:6: \"gateway\" has a meaning with relay = \"any\" only; remove it\n"},
	    {"flow \"b\" { relay = \"any\" }\n",
		"t.conf:6: flow \"b\" has relay = \"any\" but no gateway, and delivery by MX is "
		"not in this version; add gateway = NAME\nt.conf:6: flow \"b\" has relay = \"any\" "
		"for anyone, which is an open relay; add clients = {\"10.0.0.0/8\"}\n"},
	    {"flow \"b\" { relay = any gateway = gw }\n",
		"t.conf:6: flow \"b\" has relay = \"any\" for anyone, which is an open relay; add "
		"clients = {\"10.0.0.0/8\"}\n"},
	    {"flow \"b\" { relay = any gateway = gx clients = \"10.0.0.0/8\" }\n",
		"t.conf:6: gateway \"gx\" does not exist; there is \"gw\"\n"},
	    {"flow \"b\" { clients = {} }\n",
		"t.conf:6: \"clients\" is empty; write clients = {\"10.0.0.0/8\"}, or remove it to "
		"let anyone connect\n"},
	    {"flow \"b\" { clients = {\"10.0.0.0/33\", \"10.0.0.1/8\",\n\"x\", \"2001:db8::/32\"} "
	     "}\n",
		"t.conf:6: clients = \"10.0.0.0/33\" is not an address or a network without host "
		"bits; write one like 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32\nt.conf:6: clients = "
		"\"10.0.0.1/8\" is not an address or a network without host bits; write one like "
		"192.0.2.7, 10.0.0.0/8 or 2001:db8::/32\nt.conf:7: clients = \"x\" is not an "
		"address or a network without host bits; write one like 192.0.2.7, 10.0.0.0/8 or "
		"2001:db8::/32\n"},
	    {"flow \"b\" { refuse_at = \"helo\" }\n",
		"t.conf:6: unknown value \"helo\" of refuse_at; did you mean \"rcpt\"?\n"},
	    {"flow \"b\" { connect = {\"acces\"} }\n",
		"t.conf:6: unknown value \"acces\" of connect; did you mean \"access\"?\n"},
	    {"flow \"b\" { connect = {\"dnsbl\", \"dnsbl\"} }\n",
		"t.conf:6: connect has \"dnsbl\" twice; keep one\n"},
	    {"flow \"b\" { max_size = 10 }\n",
		"t.conf:6: max_size = \"10\" is out of range; it goes from 1K to 2G\n"},
	    {"flow \"b\" { max_size = 3G }\n",
		"t.conf:6: max_size = \"3G\" is out of range; it goes from 1K to 2G\n"},
	    {"flow \"b\" { max_size = ten }\n",
		"t.conf:6: max_size = \"ten\" is not a size; write one like 500K, 10M or 2G\n"},
	    {"flow \"b\" { max_recipients = 0 }\n",
		"t.conf:6: max_recipients = \"0\" is out of range; it goes from 1 to 10000\n"},
	    {"flow \"b\" { max_recipients = 10001 }\n",
		"t.conf:6: max_recipients = \"10001\" is out of range; it goes from 1 to 10000\n"},
	    {"flow \"b\" { max_recipients = 10K }\n",
		"t.conf:6: max_recipients = \"10K\" is not a number; write digits only\n"},
	    {"flow \"b\" { strip_tags = maybe }\n",
		"t.conf:6: strip_tags = \"maybe\" is not true or false; write one of the two\n"},
	    {"flow \"b\" { score { tag = 5 reject = 4 } }\n",
		"t.conf:6: reject has a lower score than tag; make it tag <= reject\n"},
	    {"flow \"b\" { score { tag = 5\ntempfail = 4\nreject = 3 } }\n",
		"t.conf:7: tempfail has a lower score than tag; make it tag <= tempfail\nt.conf:8: "
		"reject has a lower score than tempfail; make it tempfail <= reject\n"},
	    {"flow \"b\" { score { tag = 1.2345 } }\n",
		"t.conf:6: tag = \"1.2345\" is not a score; write a number like 4, 2.5 or -1, with "
		"at most three decimals\n"},
	    {"flow \"b\" { score { tag = x } }\n",
		"t.conf:6: tag = \"x\" is not a score; write a number like 4, 2.5 or -1, with at "
		"most three decimals\n"},
	    {"flow \"b\" { score { tags = 1 } }\n",
		"t.conf:6: unknown word \"tags\" in score; did you mean \"tag\"?\n"},
	    {"flow \"b\" { score = 5 }\n",
		"t.conf:6: \"score\" is a section without a title; write score { ... }\n"},
	    {"flow \"b\" { max_sise = 10M }\n",
		"t.conf:6: unknown word \"max_sise\" in flow \"b\"; did you mean \"max_size\"?\n"},
	};

	(void)state;
	CHECK(cases, BASE);
}

static void
test_filters(void **state)
{
	static const struct error_case cases[] = {
	    {"flow \"b\" { filters = {\"antivirs\"} }\n",
		"t.conf:6: unknown filter \"antivirs\"; did you mean \"antivirus\"?\n"},
	    {"flow \"b\" { filters = {\"content\", \"content\"} }\n",
		"t.conf:6: filters has \"content\" twice; keep one\n"},
	    {"flow \"b\" { filters = {\"clamav\", \"antivirus\"} }\n", ""},
	    {"filter \"x\" { }\n", "t.conf:6: unknown filter \"x\" (not built in, and no plugin of "
				   "the folder that \"plugins\" names); did you mean \"tag\"?\n"},
	    {"filter \"x\" { plugin = \"clamva\" }\n",
		"t.conf:6: unknown plugin \"clamva\"; did you mean \"clamav\"?\n"},
	    {"filter \"x\" { plugin = \"clamav\" infected = \"refuse\" }\n",
		"t.conf:6: unknown action \"refuse\"; did you mean \"reject\"?\n"},
	    {"filter \"antivirus\" { load_deadline = 999ms }\n",
		"t.conf:6: load_deadline = \"999ms\" is out of range; it goes from 1s to 1h\n"},
	    {"filter \"antivirus\" { load_deadline = 61m }\n",
		"t.conf:6: load_deadline = \"61m\" is out of range; it goes from 1s to 1h\n"},
	    {"filter \"antivirus\" { infectd = \"reject\" }\n",
		"t.conf:6: unknown word \"infectd\" in filter \"antivirus\"; did you mean "
		"\"infected\"?\n"},
	    {"filter \"antivirus\" { infected = {\"reject\"} }\n",
		"t.conf:6: \"infected\" takes one value; write infected = VALUE\n"},
	    {"filter \"antivirus\" { infected { } }\n",
		"t.conf:6: \"infected\" takes one value; write infected = VALUE\n"},
	    {"filter \"antivirus\" { infected = \"normalise\" }\n",
		"t.conf:6: action \"normalise\" of \"infected\": only \"malformed\" of antivirus "
		"is "
		"about how a message can be read; write pass, tag, quarantine, discard, hold, "
		"tempfail, reject or keep\n"},
	    {"filter \"attachment\" { blocked = \"normalise\" }\n",
		"t.conf:6: action \"normalise\" of \"blocked\": only \"malformed\" of antivirus "
		"is "
		"about how a message can be read; write pass, tag, strip, quarantine, discard, "
		"hold, "
		"tempfail, reject or keep\n"},
	    {"filter \"antivirus\" { failure = \"normalise\" }\n",
		"t.conf:6: failure = \"normalise\" is not what a failure may do; write tempfail, "
		"tag, "
		"hold or quarantine\n"},
	    {"filter \"antivirus\" { failure = \"pass\" }\n",
		"t.conf:6: failure = \"pass\": a filter may not fail open; write tempfail, "
		"tag, hold or quarantine\n"},
	    {"filter \"antivirus\" { failure = \"reject\" }\n",
		"t.conf:6: failure = \"reject\" is not what a failure may do; write tempfail, "
		"tag, hold or quarantine\n"},
	    {"filter \"antivirus\" { failure = \"x\" }\n",
		"t.conf:6: failure = \"x\" is not what a failure may do; write tempfail, tag, hold "
		"or "
		"quarantine\n"},
	    {"filter \"antivirus\" { deadline = 0s }\n",
		"t.conf:6: deadline = \"0s\" is out of range; it goes from 1ms to 1h\n"},
	    {"filter \"antivirus\" { deadline = 2h }\n",
		"t.conf:6: deadline = \"2h\" is out of range; it goes from 1ms to 1h\n"},
	    {"filter \"antivirus\" { deadline = 20 }\n",
		"t.conf:6: deadline = \"20\" is not a time; write one like 300ms, 20s, 5m, 4h or "
		"7d\n"},
	    {"filter \"antivirus\" { max_scan_size = 1T }\n",
		"t.conf:6: max_scan_size = \"1T\" is not a size; write one like 500K, 10M or 2G\n"},
	    {"filter \"antivirus\" { heuristics = some }\n",
		"t.conf:6: heuristics = \"some\" is not true or false; write one of the two\n"},
	    {"filter \"antivirus\" { max_files = 5M }\n",
		"t.conf:6: max_files = \"5M\" is not a number; write digits only\n"},
	    {"filter \"antivirus\" { max_files = 4294967296 }\n",
		"t.conf:6: max_files = \"4294967296\" is out of range; it goes from 0 to "
		"4294967295\n"},
	    {"filter \"antivirus\" { scan_time = 4 }\n",
		"t.conf:6: scan_time = \"4\" is not a time; write one like 300ms, 20s, 5m, 4h or "
		"7d\n"},
	    {"filter \"antivirus\" { note = {\"a\", \"b\"} }\n",
		"t.conf:6: \"note\" takes one value; write note = VALUE\n"},
	    {"flow \"b\" { filter \"antivirus\" { infected = \"pass\" } }\n",
		"t.conf:6: filter \"antivirus\" is not in filters of flow \"b\"; add it there or "
		"remove this\n"},
	    {"flow \"b\" { filters = \"antivirus\" filter \"antivirus\" { deadline = 3s } }\n",
		"t.conf:6: \"deadline\" cannot differ by flow, only actions can; write it into "
		"filter \"antivirus\" { } outside the flow\n"},
	    {"flow \"b\" { filters = \"antivirus\" filter \"antivirus\" { note = \"x\" } }\n",
		"t.conf:6: \"note\" cannot differ by flow, only actions can; write it into filter "
		"\"antivirus\" { } outside the flow\n"},
	    {"flow \"b\" { filters = \"antivirus\" filter \"antivirus\" { plugin = \"x\" } }\n",
		"t.conf:6: \"plugin\" cannot differ by flow, only actions can; write it into "
		"filter \"antivirus\" { } outside the flow\n"},
	    {"flow \"b\" { filters = \"antivirus\" filter \"antivirus\" { infekted = \"pass\" } "
	     "}\n",
		"t.conf:6: unknown word \"infekted\" in filter \"antivirus\"; did you mean "
		"\"infected\"?\n"},
	    {"flow \"b\" { filters = \"antivirus\" filter \"antivirus\" { failure = \"pass\" } }\n",
		"t.conf:6: failure = \"pass\": a filter may not fail open; write tempfail, "
		"tag, hold or quarantine\n"},
	    {"flow \"b\" { filters = \"antivirus\" filter { } }\n",
		"t.conf:6: \"filter\" is a section with a title; write filter \"NAME\" { ... }\n"},
	    {"flow \"b\" { filters = {\"nonesuch\"} filter \"nonesuch\" { infected = \"pass\" } "
	     "}\n",
		"t.conf:6: unknown filter \"nonesuch\" (not built in, and no plugin of the folder "
		"that \"plugins\" names); did you mean \"content\"?\n"},
	    {"filter \"x\" { plugin = \"nonesuch\" whatever = 1 failure = \"pass\" }\nflow \"b\" { "
	     "filters = \"x\" filter \"x\" { whatever = 2 } }\n",
		"t.conf:6: unknown plugin \"nonesuch\" (not built in, and no plugin of the folder "
		"that \"plugins\" names); did you mean \"content\"?\nt.conf:6: "
		"failure = \"pass\": a filter may not fail open; write tempfail, tag, "
		"hold or quarantine\n"},
	    {"filter \"content\" { }\nfilter \"content\" { }\n",
		"t.conf:7: filter \"content\" is given twice, first in line 6; keep one\n"},
	    {"filter \"header\" { tgas = 1 }\n",
		"t.conf:6: unknown word \"tgas\" in filter \"header\"; did you mean \"pause\"?\n"},
	};

	(void)state;
	CHECK(cases, BASE);
}

static void
test_not_in_this_version(void **state)
{
	static const struct error_case cases[] = {
	    {"trust \"dmz\" { }\n", "t.conf:6: \"trust\" is not in this version; remove it\n"},
	    {"quarantine { keep = 10ms\nmax = 10K\nspace = 1 }\n",
		"t.conf:6: keep = \"10ms\" is out of range; it goes from 1s to 3650d\nt.conf:7: "
		"max "
		"= \"10K\" is out of range; it goes from 1M up\nt.conf:8: unknown word \"space\" "
		"in "
		"quarantine; did you mean \"max\"?\n"},
	    {"fleet { node = \"a\" }\n", "t.conf:6: \"fleet\" is not in this version; remove it\n"},
	    {"journal { keep = 1d\nmax = 2G\nprivacy = false }\n",
		"t.conf:6: \"keep\" is not in this version; remove it\nt.conf:7: \"max\" is not in "
		"this version; remove it\nt.conf:8: \"privacy\" is not in this version; remove "
		"it\n"},
	    {"web { address = \"0.0.0.0:8025\" }\n",
		"t.conf:6: web beyond loopback (\"0.0.0.0:8025\") needs TLS, which is not in this "
		"version; write \"127.0.0.1:8025\"\n"},
	    {"web { address = \"127.0.0.1:8025\" certificate = \"/x\" key = \"/y\"\nallow = "
	     "{\"10.0.0.0/8\"}\nmetrics = {\"127.0.0.1\"} }\n",
		"t.conf:6: \"certificate\" is not in this version; remove it\nt.conf:6: \"key\" is "
		"not in this version; remove it\nt.conf:7: \"allow\" is not in this version; "
		"remove it\nt.conf:8: \"metrics\" is not in this version; remove it\n"},
	    {"flow \"b\" { dkim_sign = true\ndisclaimer = \"x\" }\n",
		"t.conf:6: \"dkim_sign\" is not in this version; remove it\nt.conf:7: "
		"\"disclaimer\" is not in this version; remove it\n"},
	    {"dkim_sign \"x\" { }\nreplay { }\ndisclaimer = \"x\"\n",
		"t.conf:6: \"dkim_sign\" is not in this version; remove it\nt.conf:7: "
		"\"replay\" is not in this version; remove it\nt.conf:8: \"disclaimer\" is not "
		"in this version; remove it\n"},
	    {"domain \"b.example\" { gateway = \"gw\" dkim_sign = true\ndisclaimer = \"x\" }\n",
		"t.conf:6: \"dkim_sign\" is not in this version; remove it\nt.conf:7: "
		"\"disclaimer\" is not in this version; remove it\n"},
	    {"flow \"b\" { score { discard = 4\nhold = 3\ntempfail = 2 } }\n",
		"t.conf:7: hold has a lower score than discard; make it discard <= hold\n"
		"t.conf:8: tempfail has a lower score than hold; make it hold <= tempfail\n"},
	    {"flow \"b\" { score { quarantine = 5\ndiscard = 4\nreject = 6\nkeep = 5 } }\n",
		"t.conf:7: discard has a lower score than quarantine; make it quarantine <= "
		"discard\nt.conf:9: keep has a lower score than reject; make it reject <= keep\n"},
	    {"flow \"b\" { filters = {\"spf\",\n\"dkim\",\n\"dmarc\"} }\n",
		"t.conf:6: filter \"spf\" is not in this version; remove it\nt.conf:7: filter "
		"\"dkim\" is not in this version; remove it\nt.conf:8: filter \"dmarc\" is not in "
		"this version; remove it\n"},
	    {"filter \"spf\" { fail = \"tag\" }\nflow \"b\" { filters = {\"spf\"} }\n",
		"t.conf:6: filter \"spf\" is not in this version; remove it\n"},
	    {"filter \"x\" { plugin = \"dmarc\" }\n",
		"t.conf:6: plugin \"dmarc\" is not in this version; remove it\n"},
	};

	(void)state;
	CHECK(cases, BASE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_grammar),
	    cmocka_unit_test(test_top),
	    cmocka_unit_test(test_sections),
	    cmocka_unit_test(test_filters),
	    cmocka_unit_test(test_not_in_this_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* config_fake.h - what the tests of policy/config share: made-up plugins and a small valid text. */
#ifndef TESTS_CONFIG_FAKE_H
#define TESTS_CONFIG_FAKE_H
#include "policy/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct pnf_outcome fake_clamav_outcomes[] = {
    {"infected", "reject", "malware was found"},
    {"unscannable", "tag", "a limit was met"},
    {"malformed", "tag", "broken MIME"},
    {NULL, NULL, NULL},
};

static const struct pnf_option fake_clamav_options[] = {
    {"databases", PNF_OPTION_TEXT, "\"/var/lib/clamav\"", "signature folder"},
    {"max_scan_size", PNF_OPTION_SIZE, "100M", "bytes"},
    {"heuristics", PNF_OPTION_BOOL, "true", "look for more"},
    {"max_files", PNF_OPTION_NUMBER, "10000", "in one archive"},
    {"scan_time", PNF_OPTION_TIME, "15s", "of one message"},
    {"ignore", PNF_OPTION_LIST, "{\"Heuristics.A\", \"Heuristics.B\"}", "names"},
    {"note", PNF_OPTION_TEXT, NULL, "free text"},
    {NULL, PNF_OPTION_TEXT, NULL, NULL},
};

static const struct pnf_outcome fake_content_outcomes[] = {
    {"matched", "tag", "a rule matched"}, {NULL, NULL, NULL}};

static const struct pnf_about fake_clamav = {.name = "clamav",
    .version = "1",
    .summary = "fake",
    .outcomes = fake_clamav_outcomes,
    .options = fake_clamav_options};
static const struct pnf_about fake_content = {
    .name = "content", .version = "1", .summary = "fake", .outcomes = fake_content_outcomes};
static const struct pnf_option fake_attachment_options[] = {
    {"hashes", PNF_OPTION_TEXT, NULL, "file of sums"}, {NULL, PNF_OPTION_TEXT, NULL, NULL}};

static const struct pnf_outcome fake_attachment_outcomes[] = {{"blocked", "reject", "listed"},
    {"encrypted", "tag", "closed"}, {"macro", "tag", "macros"}, {NULL, NULL, NULL}};

static const struct pnf_about fake_attachment = {.name = "attachment",
    .version = "1",
    .summary = "fake",
    .may = PNF_MAY_NAME_PARTS,
    .outcomes = fake_attachment_outcomes,
    .options = fake_attachment_options};
static const struct pnf_about fake_header = {.name = "header", .version = "1", .summary = "fake"};
static const struct pnf_about fake_tag = {.name = "tag", .version = "1", .summary = "fake"};

static const struct pnf_about *const fake_plugins[] = {
    &fake_clamav, &fake_attachment, &fake_content, &fake_header, &fake_tag, NULL};

/* Five lines without an error; what a test adds begins at line 6. */
#define BASE                                                              \
	"hostname = \"mx1.example.org\"\n"                                \
	"listen \"in\" { address = \"127.0.0.1:2525\" flow = inbound }\n" \
	"flow \"inbound\" { }\n"                                          \
	"gateway \"gw\" { server \"127.0.0.1:2600\" { } }\n"              \
	"domain \"example.org\" { gateway = \"gw\" }\n"

/* The errors of a text as one NUL-terminated text; mem_free. */
static inline char *
errors_of(struct span text)
{
	struct config_errors errors = {0};
	struct config *c = config_parse(text, "t.conf", fake_plugins, &errors);
	char *lines = mem_dup(buf_span(&errors.lines));

	assert_int_equal(c == NULL, errors.n > 0);
	config_free(&c);
	buf_free(&errors.lines);
	return lines;
}

/* The configuration of a text that must have no error; config_free. */
static inline struct config *
config_of(struct span text)
{
	struct config_errors errors = {0};
	struct config *c = config_parse(text, "t.conf", fake_plugins, &errors);

	if (c == NULL)
		fail_msg("%.*s", SPAN_ARG(buf_span(&errors.lines)));
	assert_int_equal(errors.n, 0);
	buf_free(&errors.lines);
	return c;
}

/* A whole file; mem_free. */
static inline char *
file_text(const char *path)
{
	char *text = mem_alloc(65536);
	FILE *f = fopen(path, "re");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, 65535, f);
	assert_int_equal(fclose(f), 0);
	assert_true(n > 0 && n < 65535);
	return text;
}

#endif

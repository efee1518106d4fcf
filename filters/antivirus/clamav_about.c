#include "filters/antivirus/clamav.h"

static const struct pnf_outcome outcomes[] = {
    {"infected", "reject", "a signature matched; why is its name"},
    {"unscannable", "tag", "a limit was hit before everything was seen"},
    {"encrypted", "tag", "an archive or document that cannot be looked into"},
    {"macro", "tag", "an Office document with macros"},
    {"malformed", "tag", "MIME that readers may understand differently"}, {.name = NULL}};

static const struct pnf_option options[] = {
    {"databases", PNF_OPTION_TEXT, "\"/var/lib/clamav\"", "folder with the signatures"},
    {"max_scan", PNF_OPTION_SIZE, "400M", "bytes looked at in one message, unpacked"},
    {"max_file", PNF_OPTION_SIZE, "100M", "bytes of one file"},
    {"max_recursion", PNF_OPTION_NUMBER, "17", "archives in archives"},
    {"max_files", PNF_OPTION_NUMBER, "10000", "files in one message"},
    {"minimum_signatures", PNF_OPTION_NUMBER, "1", "fewer than this is a failure"}, {.name = NULL}};

const struct pnf_about clamav_about = {.name = "clamav",
    .version = "0.1",
    .summary = "virus scanner (libclamav)",
    .needs = PNF_NEEDS_PARTS | PNF_NEEDS_DECODED | PNF_NEEDS_TMPDIR | PNF_NEEDS_MEMBERS |
	     PNF_NEEDS_NO_TYPES,
    .outcomes = outcomes,
    .options = options};

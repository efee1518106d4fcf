#include "filters/header/header.h"

static const struct pnf_outcome outcomes[] = {
    {"matched", "tag", "a header field matched; why says which"},
    {"limit", "tag", "a pattern hit its limits"}, {.name = NULL}};

static const struct pnf_option options[] = {
    {"match", PNF_OPTION_LIST, NULL, "\"Name: /regex/i\" over the field's decoded text"},
    {"add", PNF_OPTION_LIST, NULL, "\"Name: value\" put on top of every message"},
    {"remove", PNF_OPTION_LIST, NULL, "names of fields to take out"}, {.name = NULL}};

const struct pnf_about header_about = {.name = "header",
    .version = "0.1",
    .summary = "looks at header fields, adds and removes them",
    .may = PNF_MAY_EDIT_HEADERS,
    .outcomes = outcomes,
    .options = options};

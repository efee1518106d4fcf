#include "filters/content/content.h"

static const struct pnf_outcome outcomes[] = {
    {"matched", "tag", "a pattern matched; why says which"},
    {"limit", "tag", "a pattern hit its limits, or the text was too long to see all of it"},
    {.name = NULL}};

static const struct pnf_option options[] = {
    {"subject", PNF_OPTION_LIST, NULL, "/regex/i over the decoded Subject"},
    {"body", PNF_OPTION_LIST, NULL, "/regex/i over the decoded text parts"},
    {"tag", PNF_OPTION_TEXT, NULL, "tag to set when a pattern matches"},
    {"score", PNF_OPTION_TEXT, "\"0\"", "score of that tag, decimals allowed"}, {.name = NULL}};

const struct pnf_about content_about = {.name = "content",
    .version = "0.1",
    .summary = "regular expressions over subject and text",
    .needs = PNF_NEEDS_PARTS | PNF_NEEDS_DECODED,
    .may = PNF_MAY_TAG | PNF_MAY_SCORE,
    .outcomes = outcomes,
    .options = options};

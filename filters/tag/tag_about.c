#include "filters/tag/tag.h"

static const struct pnf_outcome outcomes[] = {{.name = NULL}};

static const struct pnf_option options[] = {
    {"subject", PNF_OPTION_TEXT, "\"\"",
	"put before the Subject of copies that leave tagged; none by default: it breaks DKIM "
	"signatures"},
    {.name = NULL}};

const struct pnf_about tag_about = {.name = "tag",
    .version = "0.1",
    .summary = "marks the Subject of copies that leave tagged",
    .may = PNF_MAY_EDIT_HEADERS,
    .outcomes = outcomes,
    .options = options};

/* builtins.h - the code of this build's filters, for the filter role only. */
#ifndef CHAIN_BUILTINS_H
#define CHAIN_BUILTINS_H
#include "filters/postern_filter.h"

/* The filter that `about` (one of filters_abouts) speaks of, or NULL. */
const struct pnf_filter *filters_builtin(const struct pnf_about *about);

#endif

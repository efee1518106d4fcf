/*
 * abouts.h - what this build's filters say of themselves.  Needs none of their libraries, so that
 * every role can parse the configuration.
 */
#ifndef CHAIN_ABOUTS_H
#define CHAIN_ABOUTS_H
#include "filters/postern_filter.h"

/* Ends with NULL; constant. */
const struct pnf_about *const *filters_abouts(void);

#endif

/* header.h - looks at header fields, adds and removes them. */
#ifndef FILTERS_HEADER_H
#define FILTERS_HEADER_H
#include "filters/postern_filter.h"

extern const struct pnf_about header_about;   /* header_about.c: needs no library */
extern const struct pnf_filter header_filter; /* header.c */

#endif

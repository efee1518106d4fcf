/* clamav.h - the virus scanner (libclamav). */
#ifndef FILTERS_CLAMAV_H
#define FILTERS_CLAMAV_H
#include "filters/postern_filter.h"

extern const struct pnf_about clamav_about;   /* clamav_about.c: needs no library */
extern const struct pnf_filter clamav_filter; /* clamav.c */

#endif

/* content.h - regular expressions over subject and text. */
#ifndef FILTERS_CONTENT_H
#define FILTERS_CONTENT_H
#include "filters/postern_filter.h"

extern const struct pnf_about content_about;   /* content_about.c: needs no library */
extern const struct pnf_filter content_filter; /* content.c */

#endif

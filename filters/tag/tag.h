/* tag.h - marks the Subject of copies that leave tagged. */
#ifndef FILTERS_TAG_H
#define FILTERS_TAG_H
#include "filters/postern_filter.h"

extern const struct pnf_about tag_about;   /* tag_about.c: needs no library */
extern const struct pnf_filter tag_filter; /* tag.c */

#endif

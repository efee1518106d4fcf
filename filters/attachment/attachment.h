/* attachment.h - attachments by name, type, hash and what is in archives. */
#ifndef FILTERS_ATTACHMENT_H
#define FILTERS_ATTACHMENT_H
#include "filters/postern_filter.h"

extern const struct pnf_about attachment_about;   /* attachment_about.c: needs no library */
extern const struct pnf_filter attachment_filter; /* attachment.c */

#endif

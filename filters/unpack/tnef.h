/*
 * tnef.h - the files in a winmail.dat (TNEF, MS-OXTNEF): their names and bytes.
 *
 * Pure and bounded; nothing in the file is believed.
 */
#ifndef UNPACK_TNEF_H
#define UNPACK_TNEF_H
#include "relay/base/span.h"

enum { TNEF_NAME_MAX = 1024, TNEF_PROPERTIES_MAX = 2000 };

struct tnef {
	struct span rest, properties; /* properties: of the attachment just named */
	bool is_broken;               /* it ends inside an attribute */
};

enum tnef_kind { TNEF_NAME, TNEF_DATA };

struct tnef_item {
	enum tnef_kind kind;
	struct span bytes;        /* TNEF_DATA: the file; TNEF_NAME: its name as it stands */
	char name[TNEF_NAME_MAX]; /* TNEF_NAME: in UTF-8 when it stood in UTF-16, else "" */
};

/* False: it is none. */
bool tnef_open(struct span bytes, struct tnef *t);
/* The next name or file; false at the end. */
bool tnef_next(struct tnef *t, struct tnef_item *item);

#endif

/*
 * ole.h - what the directory of an OLE2 compound file (MS-CFB) shows: macros, encryption.
 *
 * Pure and bounded; nothing in the file is believed.
 */
#ifndef UNPACK_OLE_H
#define UNPACK_OLE_H
#include "relay/base/span.h"

enum {
	OLE_ENTRIES_MAX = 10000, /* directory entries looked at */
	OLE_SECTORS_MAX = 20000  /* sectors of the directory followed */
};

struct ole_found {
	bool is_ole, has_macro, is_encrypted;
	bool is_broken; /* the directory cannot be followed to its end */
};

struct ole_found ole_look(struct span bytes);

#endif

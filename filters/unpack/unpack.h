/*
 * unpack.h - everything in a message that has a name or a type: its parts, the members of archives
 * among them, archives in archives, the files in winmail.dat.
 *
 * Runs in a filter worker only, on memory alone.  Bounded in depth, members, bytes and time; what was
 * not seen says so.  Results point into the message and the arena.
 */
#ifndef UNPACK_UNPACK_H
#define UNPACK_UNPACK_H
#include "relay/message/mime.h"

enum {
	UNPACK_DEPTH = 8,                       /* archives in archives */
	UNPACK_ITEMS = 20000,                   /* of a message */
	UNPACK_BYTES = 256 * 1024 * 1024,       /* unpacked, of a message */
	UNPACK_MEMBER_BYTES = 64 * 1024 * 1024, /* of one member */
	UNPACK_KEPT_BYTES = 64 * 1024 * 1024,   /* of a message, that filters may look at */
	UNPACK_MS = 10000,
	UNPACK_NAME_MAX = 4096,
	UNPACK_HASH_BYTES = 32,
	UNPACK_ARENA_MIN = 65536
};

enum {
	UNPACK_ENCRYPTED = 1, /* cannot be looked into */
	UNPACK_MACRO = 2,     /* an Office document with macros */
	UNPACK_BROKEN = 4,    /* an archive that cannot be read to its end */
	UNPACK_LIMIT = 8,     /* a limit: there is more inside */
	UNPACK_ARCHIVE = 16,
	UNPACK_UNUSUAL = 32 /* in an archive that libclamav does not read */
};

struct unpack_item {
	uint32_t part;    /* index of the MIME part it is in */
	uint32_t depth;   /* 0: that part itself */
	struct span name; /* may be empty; as it stands in the archive */
	struct span
	    type; /* what its bytes are, empty when it cannot be told; of a part see unpack_types */
	struct span bytes;   /* what is in it, of members (depth > 0) that were kept */
	struct span untyped; /* bytes of a part whose type nobody has asked for yet */
	uint64_t size;
	unsigned flags;
	bool has_hash;
	unsigned char hash[UNPACK_HASH_BYTES]; /* SHA-256 of its bytes */
};

struct unpack {
	struct unpack_item *items;
	size_t n;
	unsigned flags; /* of all */
};

/* `arena` has UNPACK_ARENA_MIN bytes left.  The types of parts (depth 0) stay empty: libmagic takes longer
 * than all the rest does for a mail without archives. */
void unpack_message(const struct mime_message *m, struct arena *arena, struct unpack *out);
/* Fills those in, where that has not been done; while the message and `arena` live. */
void unpack_types(struct unpack *u, struct arena *arena);

#endif

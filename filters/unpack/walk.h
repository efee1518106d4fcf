/* walk.h - the state of one unpack_message, shared by unpack.c and archive.c. */
#ifndef UNPACK_WALK_H
#define UNPACK_WALK_H
#include "filters/unpack/unpack.h"

struct unpack_walk {
	struct arena *arena;
	struct unpack *out;
	size_t cap;
	uint64_t bytes_left;
	size_t keep_left;
	int64_t end_mono_ms;
	uint32_t part;
	bool is_odd_zip; /* the archive at hand, if it is a zip: archive.c */
};

/* A new item, or SIZE_MAX (flagged) at a limit. */
size_t walk_item(struct unpack_walk *w, uint32_t depth, struct span name);
void walk_flag(struct unpack_walk *w, size_t item, unsigned flags);
bool walk_is_late(const struct unpack_walk *w);
/* What `bytes`, the content of `item`, are, and what is in them. */
void walk_content(struct unpack_walk *w, size_t item, struct span bytes);

/* The same of a member whose bytes shall be kept, as far as there is room. */
void walk_kept(struct unpack_walk *w, size_t item, struct span bytes);

/* --- archive.c --- */
/* Whether it may be an archive that libarchive reads. */
bool archive_may_be(struct span bytes);
/* Whether it holds files that neither this nor libarchive can get at: an image of a disk, a rare archive. */
bool archive_is_closed(struct span bytes);
/* The members of an archive, below `item`. */
void archive_walk(struct unpack_walk *w, size_t item, struct span bytes);

#endif

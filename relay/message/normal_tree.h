/*
 * normal_tree.h - the tree of a message's parts with what was chosen for each, and the bytes that come
 * of it: all of them, to be tried, or as cuts over the message.
 *
 * Pure.  normal.c chooses.
 */
#ifndef MESSAGE_NORMAL_TREE_H
#define MESSAGE_NORMAL_TREE_H
#include "relay/message/normal.h"

/* How a part is written, mildest first. */
enum normal_mode {
	NORMAL_KEEP,    /* as it stands, but for what is chosen for the parts in it */
	NORMAL_HEAD,    /* its header section anew */
	NORMAL_CODED,   /* and its body, decoded, in base64 */
	NORMAL_TEXT,    /* ... as UTF-8 */
	NORMAL_DIVIDED, /* and its parts with a new boundary, without what is around them */
	NORMAL_NOTICE   /* not at all */
};

struct normal_choice {
	enum normal_mode mode;
	struct span type, boundary, fields, body; /* fields, body: as they are written */
	uint32_t guess;   /* the reading whose parts are its own; 0: it has its own */
	uint32_t decoded; /* the reading whose content is its own; 0: it has its own */
};

struct normal_tree {
	struct span message;
	size_t header; /* bytes of its header section */
	bool is_8bit;  /* it has bytes beyond ASCII anywhere */
	const struct mime_message *m;
	struct normal_choice *choices; /* one for each part */
	struct arena *memory;
	uint64_t work, work_max; /* bytes written to be tried */
};

/* What only depends on the message. */
void normal_tree_start(struct normal_tree *t);
/* Whether so many bytes more may be written anew. */
bool normal_tree_room(const struct normal_tree *t, size_t n);
/* The child behind `after` (UINT32_MAX: the first), UINT32_MAX: there is none.  Further readings are none,
 * nor files in texts. */
uint32_t normal_tree_child(const struct normal_tree *t, uint32_t index, uint32_t after);
/* A multipart without parts of its own gets those of a further reading, if one has any. */
void normal_tree_guess(struct normal_tree *t, uint32_t index);
/* A body under an encoding that no standard knows, with a file of uuencode or yEnc in it, is that file. */
void normal_tree_file(struct normal_tree *t, uint32_t index);
/* What a leaf shows. */
struct span normal_tree_decoded(const struct normal_tree *t, uint32_t index);
/* Bytes of a part before its body, without the empty line of the message itself. */
struct span normal_tree_section(const struct normal_tree *t, uint32_t index);
/* Appends a part as it would stand there.  0, or -E_LIMIT, -E_CORRUPT: it cannot be written so. */
int normal_tree_write(const struct normal_tree *t, uint32_t index, struct buf *to);
/* The same of what stands behind its header section. */
int normal_tree_body(const struct normal_tree *t, uint32_t index, struct buf *to);
/* All of it, as cuts.  0, -E_LIMIT or -E_CORRUPT. */
int normal_tree_cut(const struct normal_tree *t, struct normal *out);

#endif

/*
 * normal.h - a message that readers understand differently, rewritten to one reading: the first of
 * each part.  What is clear stays byte for byte; where it is not, header sections are written anew,
 * bodies encoded anew, multiparts divided anew, and what has no safe reading becomes a notice.
 *
 * Pure and bounded; runs in a filter worker only.  Nothing is believed to have worked: each part that
 * was touched is parsed again, alone and in all that is around it, by the parser that has found the
 * readings, and must be read in one way, as the very bytes that were seen before.
 */
#ifndef MESSAGE_NORMAL_H
#define MESSAGE_NORMAL_H
#include "relay/message/normal_head.h"

enum {
	NORMAL_CUTS_MAX = 200,
	NORMAL_NOTICES_MAX = 32,
	NORMAL_TEXT_MAX = 2 * 1024 * 1024,     /* of all that is written anew */
	NORMAL_MESSAGE_MAX = 64 * 1024 * 1024, /* of a message that is tried */
	NORMAL_MEMORY = 256 * 1024 * 1024      /* of one trial */
};

/* What stands instead of some bytes of the message: the text; or the notice about a part. */
struct normal_cut {
	uint64_t at, n;
	struct span text;
	uint32_t notice; /* index of the part, NORMAL_NO_NOTICE: there is none */
};
enum { NORMAL_NO_NOTICE = UINT32_MAX };

struct normal {
	/* Where the header section is written anew: its first bytes that count, and the fields to be
	 * put into them (normal_head_section). */
	bool has_head;
	size_t section;
	struct span head;
	struct normal_cut cuts[NORMAL_CUTS_MAX]; /* behind the section, in their order */
	size_t n_cuts;
	const char *why_not; /* of -E_: for people */
};

/*
 * Rewrites `message`, of which `m` was parsed in `parsed`.  Results point into `memory`, which has room for
 * twice NORMAL_TEXT_MAX, and into `parsed`.  0; -E_LIMIT: it cannot be done within the limits above, or a
 * part of the message was not seen; -E_CORRUPT: no way of writing it is read in one way.
 */
int normal_make(
    struct span message, const struct mime_message *m, struct arena *memory, struct normal *out);

/* Whether a message is read in one way: nothing that mime_is_malformed, no further readings. */
bool normal_is_plain(const struct mime_message *m);

#endif

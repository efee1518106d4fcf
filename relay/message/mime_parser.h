/* mime_parser.h - the parser's state, shared by mime.c (the tree), mime_leaf.c (bodies) and mime_inside.c (what is in
 * them). */
#ifndef MESSAGE_MIME_PARSER_H
#define MESSAGE_MIME_PARSER_H
#include "relay/message/mime.h"

struct parser {
	struct mime_limits limits;
	struct arena *arena;
	struct mime_message *out;
	size_t parts_cap, decoded, readings;
	uint64_t work, work_max; /* bytes of multipart bodies looked through */
	size_t looks;            /* behind close delimiters, as boundary_lax counts them */
};

static inline void
parser_flag(struct parser *p, enum mime_anomaly anomaly)
{
	p->out->anomalies |= (unsigned)anomaly;
}

/* --- mime.c --- */
/* Bytes that may be asked of the arena. */
size_t parser_room(const struct parser *p);
/* A copy in the arena; empty and flagged when there is no room. */
struct span parser_keep(struct parser *p, struct span s);
/* A new last part, or NULL (flagged) when a limit is reached. */
struct mime_part *parser_part(struct parser *p);
/* A further reading of a part: a copy of it that is_reading.  NULL (flagged) at a limit. */
struct mime_part *parser_reading(struct parser *p, uint32_t of);
/* The message inside of a part. */
void parser_message(struct parser *p, struct span whole, uint32_t parent, uint32_t depth);

/* --- mime_leaf.c --- */
/* Undoes one transfer encoding of raw, into the arena: the first reading. */
void leaf_decode(struct parser *p, uint32_t index, unsigned encoding);
/* `bytes` of a transfer encoding into memory of its own (mem_free); NULL when there is no room. */
char *leaf_decode_aside(struct parser *p, struct span raw, unsigned encoding, size_t *n);
/* Charset and text of a text part, from its Content-Type; other charsets as readings. */
void leaf_text(struct parser *p, uint32_t index, struct span type_value);
/* All names of a part. */
void leaf_names(struct parser *p, uint32_t index, const struct claims *c);
/* The longest start of s, up to max bytes, that does not end inside a character. */
struct span leaf_characters(struct span s, size_t max);
/* What a leaf or message part is, once decoded: its text, its files, the message in it. */
void leaf_finish(struct parser *p, uint32_t index, struct span type_value);
/* The other transfer encodings, and the other ways to undo a broken one. */
void leaf_readings(struct parser *p, uint32_t index, const struct claims_encodings *e, bool is_bad,
    struct span type_value);

/* --- mime_inside.c --- */
/* The files in a text (uuencode, yEnc) as parts below `index`. */
void inside_files(struct parser *p, struct span text, uint32_t index, uint32_t depth);
/* Those in a calendar or in cards. */
void inside_card_files(struct parser *p, struct span text, uint32_t index, uint32_t depth);
/* The message in a file, or signed opaquely, as a part below `index` that is_reading. */
void inside_message(struct parser *p, uint32_t index);

#endif

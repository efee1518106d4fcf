/*
 * normal_head.h - the header section of a part in the one form that all readers take alike: each
 * field about the body once, spelt plainly, and nothing that is no field.
 *
 * Pure and bounded.  The worker writes the fields and tries them, front puts them into the message's
 * own section after looking at them, so both know nothing but what is given here.  RFC 2045, 2183,
 * 2231.
 */
#ifndef MESSAGE_NORMAL_HEAD_H
#define MESSAGE_NORMAL_HEAD_H
#include "relay/message/mime.h"

enum {
	NORMAL_HEAD_MAX = 4096, /* the fields of one part */
	NORMAL_NAME_MAX = 240,  /* bytes of a file name; of a longer one its ends stay */
	NORMAL_PARAM_MAX = 200, /* of another parameter; a longer one goes */
	NORMAL_LINE_MAX = 998   /* RFC 5322 section 2.1.1 */
};

/* What is to be said of a body. */
struct normal_about {
	struct span type, charset, name, boundary;
	struct span encoding; /* empty: 7bit */
	struct span section; /* the part's own: other parameters and the disposition come from it */
	bool has_version;    /* a message's: MIME-Version too */
};

/* Appends the fields, each ended by CRLF.  0, or -E_LIMIT when `to` is full. */
int normal_head_fields(const struct normal_about *about, struct buf *to);

/*
 * Appends the fields of `section`, as they stand, without those that `fields` are instead of, whatever
 * the most tolerant reader could take for one of them, lines that are no field, and lines of blanks
 * only; then `fields`.  No empty line.  0, or -E_LIMIT when `to` is full.
 */
int normal_head_section(struct span section, struct span fields, struct buf *to);

/*
 * Whether every reader takes a section alike: fields and nothing else, each of those about the body once and
 * in the strictest grammar: no comments, no escapes, no parameter twice or in the forms of RFC 2231.
 */
bool normal_head_is_plain(struct span section);

/* Whether these can have come from normal_head_fields: nothing but fields of those names. */
bool normal_head_is_fine(struct span fields);

/* Whether the bytes can stand in a message as they are: lines end with CRLF, are not too
 * long, and have no NUL; beyond ASCII only where `is_8bit`. */
bool normal_text_is_fine(struct span text, bool is_8bit);

/* The transfer encoding that plain bytes need: "", "8bit" or "binary". */
struct span normal_plain_encoding(struct span bytes);

#endif

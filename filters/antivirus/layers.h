/*
 * layers.h - what libclamav has itself taken out of a message while it scanned the whole of it, so that
 * the parts which our parser finds are scanned once more only where the two differ.
 *
 * Most parts are the same in both readings, and scanning is most of what a message costs.  Attachments count
 * as the same when every byte is.  Of text, libclamav keeps lines with LF, drops empty ones and trailing blanks
 * in some encodings and not in others: there two are the same whose lines are, but for such blanks.
 */
#ifndef ANTIVIRUS_LAYERS_H
#define ANTIVIRUS_LAYERS_H
#include "filters/antivirus/clean.h"

enum {
	LAYERS_MAX = 64, /* of one message that are remembered; further ones are scanned again */
	LAYERS_TEXT_MAX = 1024 * 1024 /* bytes; longer text is not compared as text */
};

struct layers {
	struct layer {
		bool is_text; /* libclamav takes it for text, and it is not too long */
		struct clean_key bytes, lines;
	} items[LAYERS_MAX];
	size_t n;
};

void layers_clear(struct layers *l);
/* A layer that is being scanned, of what libclamav takes for text (HTML too) or not. */
void layers_add(struct layers *l, struct span bytes, bool is_text);
/* Whether a layer had these bytes, or (is_text) was text of these lines. */
bool layers_have(const struct layers *l, struct span bytes, bool is_text);

#endif

/*
 * edit.h - rewriting the header section of a message: what may not come in from outside goes,
 * what filters have asked for is done, ours is put on top.
 *
 * Pure and bounded; applied in front, outside the sandbox, to edits that come from inside it.
 */
#ifndef MESSAGE_EDIT_H
#define MESSAGE_EDIT_H
#include "relay/ipc/front_filter.h"

enum { EDIT_NAME_SEEN_MAX = 64 }; /* longest name that is looked at when a field is judged */

/*
 * What the most tolerant reader could take for the name of the field that starts at `text`: up to
 * the first colon, wherever folds put it, in lower case, without blanks, controls and 8-bit bytes.
 */
struct span edit_seen_name(struct span text, char to[EDIT_NAME_SEEN_MAX], bool *has_colon);

/*
 * Appends the header section to `to` without X-Spam-Flag, X-Postern-* (any case, folded, blanks
 * before the colon, however malformed a reader might still take it for one) and without
 * Authentication-Results that claim our hostname (RFC 8601 section 5).  A fold at the very top, with
 * no field that it belongs to, goes too: it would become part of what is put above it.  Returns how
 * many fields went, or -E_LIMIT (`to` full, HEADER_SECTION_MAX, HEADER_FIELDS_MAX).
 */
int edit_strip_foreign(struct span section, struct span hostname, struct buf *to);

/* Whether an edit may be applied at all: name is an RFC 5322 field name and not X-Postern-*,
 * X-Spam-Flag, Received or Authentication-Results; value has no bare CR or LF and no NUL, only
 * proper folds, no line of blanks only, no line over 998 bytes. */
bool edit_is_fine(const struct header_edit *e);

/*
 * Appends the edited section to `to`: changes and removals by index (as header_next counts, malformed
 * fields included), additions at its top in the order given.  Edits with only_tagged are skipped
 * unless is_tagged; so are those that are not fine, that point past the end, or at one of the
 * fields that edit_is_fine keeps for us.  Of several at one index any removal wins, then the last
 * change.  0, or -E_LIMIT past HEADER_SECTION_MAX or SCAN_EDITS_MAX, and nothing is appended.
 */
int edit_apply(struct span section, const struct header_edit *edits, size_t n_edits, bool is_tagged,
    struct buf *to);

/* Appends "Name: value" folded to 78 columns where blanks allow it (998 always), with CRLF. Bytes
 * that a header may not hold are written as '?', so the value must not be folded already.  0, or
 * -E_LIMIT when `to` is full. */
int edit_add_field(struct buf *to, struct span name, struct span value);

#endif

/* explain_marks.h - what `postern explain` prints of a verdict's tags and of the parts it takes out. */
#ifndef COMMAND_EXPLAIN_MARKS_H
#define COMMAND_EXPLAIN_MARKS_H
#include "policy/decide/decide.h"
#include "relay/base/json.h"
#include "relay/ipc/front_filter.h"

/* "tags": [NAME, …] */
void explain_tags(struct json *j, const struct verdict *v);
/* "strip": [{name, type, size, sha256, why}, …], when the verdict takes parts out.  result NULL: no
 * filter has run. */
void explain_strip(struct json *j, const struct verdict *v, const struct scan_result *result);
/* "normalise": {places, why, removed: [{name, type, size, sha256}, …]}, when it rewrites the message; likewise. */
void explain_normalise(struct json *j, const struct verdict *v, const struct scan_result *result);
/* What an edit does to the header section, on one line: "add NAME: VALUE".  False: it will not be done. */
bool explain_edit(const struct header_edit *e, struct span section, struct buf *to);
/* The same as lines of text. */
void explain_print_marks(const struct verdict *v, const struct scan_result *result);

#endif

/*
 * json.h - writes JSON (RFC 8259) into a buf; commas are placed by itself.
 *
 * Keys are constants of ours.  NULL as key: an element of an array or the document itself.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H
#include "relay/base/buf.h"

struct json {
	struct buf *to;
	bool needs_comma;
};

void json_open(struct json *j, const char *key, char bracket); /* '{' or '[' */
void json_close(struct json *j, char bracket);                 /* '}' or ']' */
void json_text(struct json *j, const char *key, struct span value);
void json_str(struct json *j, const char *key, const char *value); /* NULL writes null */
void json_int(struct json *j, const char *key, int64_t value);
void json_decimal(struct json *j, const char *key, int64_t milli); /* thousandths: 2500 is 2.5 */
void json_bool(struct json *j, const char *key, bool value);
void json_none(struct json *j, const char *key);
void json_time(struct json *j, const char *key, int64_t wall_ms); /* RFC 3339 UTC */

#endif

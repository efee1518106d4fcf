/* utf8.h - RFC 3629: which bytes are well-formed UTF-8. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H
#include "relay/base/span.h"

/* Bytes of the well-formed character at the start of s (1 to 4); 0 when it is none. */
size_t utf8_length(struct span s);
bool utf8_is_valid(struct span s);

#endif

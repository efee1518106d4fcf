/*
 * url.h - the URLs in a text, or in HTML as browsers read it: entities undone, line ends and tabs inside
 * an attribute dropped, back slashes for slashes, escapes in the host undone.
 *
 * Pure and bounded; not every text that is called a URL is one.
 */
#ifndef MESSAGE_URL_H
#define MESSAGE_URL_H
#include "relay/base/span.h"

enum {
	URL_MAX = 4096,       /* bytes; a longer one is cut */
	URL_COUNT_MAX = 5000, /* of one text */
	URL_SCHEME_MAX = 16
};

/* `url` with scheme and host in lower case; `host` may be empty.  False: enough. */
typedef bool url_taker(void *arg, struct span url, struct span host);

/* Calls `take` for each.  False: there are more than URL_COUNT_MAX, or one was cut. */
bool url_each(struct span text, bool is_html, url_taker *take, void *arg);

#endif

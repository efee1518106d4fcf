/*
 * filter.h - which journal lines a `trace` wants.
 *
 * All that is given must match.  client: address or CIDR; from, to: an address without case (`to`
 * may be a string or a list in the event); verdict: the event's verdict or action; subject: a part
 * of it without case; since, until: the event's time.
 */
#ifndef JOURNAL_FILTER_H
#define JOURNAL_FILTER_H
#include "relay/base/err.h"
#include "relay/base/ip.h"

struct json_t; /* jansson's; its header and relay/base/json.h cannot be read together */

enum { JOURNAL_ID_MAX = 64 };

struct journal_filter {
	char id[JOURNAL_ID_MAX + 1]; /* this transaction and its groups ("ID-2"); empty: any */
	bool has_client;
	struct net client;
	struct span from, to, verdict, subject; /* p == NULL: any; "" is the null sender */
	int64_t since_ms, until_ms;             /* wall time; 0 and INT64_MAX: any */
};

/* The words of `trace` behind the command's name: [ID] [--client X] … .  The spans of `out` point
 * into the words.  0 or -E_SYNTAX with what is wrong; --follow is the command line's own. */
int journal_filter_parse(const struct span *words, size_t n_words, int64_t now_ms,
    struct journal_filter *out, struct err *err);

/* "2026-11-22", "2026-11-22T01:02Z", "2026-11-22T01:02:03Z" with or without a fraction, UTC; or an
 * age: "90s" "15m" "2h" "7d".  False: none of these. */
bool journal_time_parse(struct span text, int64_t now_ms, int64_t *wall_ms);

bool journal_filter_matches(const struct journal_filter *f, const struct json_t *event);

#endif

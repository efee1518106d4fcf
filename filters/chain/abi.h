/*
 * abi.h - whether a filter may be believed to be one: its ABI version, its declarations, and what
 * it says of itself.  Pure.
 */
#ifndef CHAIN_ABI_H
#define CHAIN_ABI_H
#include "filters/postern_filter.h"
#include "relay/base/err.h"

enum {
	ABI_NAME_MAX = 64,      /* of a plugin, an outcome, an option */
	ABI_TEXT_MAX = 4096,    /* of a help, a fallback, a summary */
	ABI_OUTCOMES_MAX = 100, /* an index travels as int8_t */
	ABI_OPTIONS_MAX = 100
};

/*
 * Copies `f` into `full`, whose fields of later minors are NULL when `f` is older.  0, or
 * -E_UNSUPPORTED (another ABI) or -E_SYNTAX, err saying what is wrong and what would be right.
 */
int abi_accept(const struct pnf_filter *f, struct pnf_filter *full, struct err *err);
/* The same for what it says of itself: names, counts, actions, flags. */
int abi_check_about(const struct pnf_about *about, struct err *err);

#endif

/*
 * valuelist.h - the values of one list file, `list:NAME`, for one kind of facet.
 *
 * One value a line: exact, network or domain forms.  `#` begins a comment at a word's start; in a
 * list of texts only at the line's.  Globs and regexes are refused: a list may hold a million
 * values and a look-up must not walk them.
 */
#ifndef RULES_VALUELIST_H
#define RULES_VALUELIST_H
#include "policy/rules/netset.h"
#include "policy/rules/textset.h"
#include "policy/rules/value.h"

enum { VALUELIST_NAME_MAX = 64, VALUELIST_TEXT_MAX = 64 * 1024 * 1024 };

struct valuelist {
	enum value_kind kind;
	struct netset nets;
	struct textset exact, domains, below;
};

/* A list's name: letters, digits, '-', '_' and '.', no '.' in front. It becomes a file name. */
bool valuelist_is_name(struct span name);
/* Called for each wrong line. */
typedef void valuelist_complaint(void *arg, uint32_t line, const char *text);
struct valuelist *valuelist_parse(
    struct span text, enum value_kind kind, valuelist_complaint *complain, void *arg);
bool valuelist_has(const struct valuelist *list, struct span fact);
bool valuelist_has_ip(const struct valuelist *list, const struct ip *ip);
void valuelist_free(struct valuelist **list);

#endif

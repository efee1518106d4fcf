/* problem.h - what an admin must know and do, by name; shown by `postern status`. */
#ifndef PROCESS_PROBLEM_H
#define PROCESS_PROBLEM_H
#include "relay/base/buf.h"

enum { PROBLEMS_MAX = 64 };

struct problem {
	char *name, *what, *do_this;
	uint32_t places; /* bit for each that has it */
};

struct problem_set {
	struct problem items[PROBLEMS_MAX];
	size_t n;
};

/* Sets or replaces; an empty do_this removes, once all who had it have said so.  `place` (role.h)
 * says who speaks.  Past PROBLEMS_MAX new ones are dropped. */
void problem_report(struct problem_set *set, unsigned place, struct span name, struct span what,
    struct span do_this);
/* The process at this place has ended: its next one says what is still so. */
void problem_forget(struct problem_set *set, unsigned place);
/* Adds a line "what; do" for each that this place has. */
void problem_list(const struct problem_set *set, unsigned place, struct buf *to);

#endif

#include "filters/antivirus/complaint.h"

static bool
has_one(struct span line, const char *const *words)
{
	for (; line.n > 0; line = span_skip(line, 1))
		for (const char *const *word = words; *word != NULL; word++)
			if (span_starts_nocase(line, span_str(*word)))
				return true;
	return false;
}

bool
complaint_is_of_machine(struct span line, bool is_error)
{
	/* Some of these it only warns of; a section that is larger than it cares to allocate room for is
	 * another warning, and the message's fault. */
	static const char *const shortages[] = {"out of memory", "no memory", "allocation fail",
	    "fmap() failed", "fstat failed", "pread ", "read error: ", NULL};
	static const char *const memory[] = {"alloc", "memory", "mmap", NULL};

	return has_one(line, shortages) || (is_error && has_one(line, memory));
}

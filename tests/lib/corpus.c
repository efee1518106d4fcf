#include "tests/lib/corpus.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

size_t
corpus_read(const char *path, struct span **messages)
{
	struct stat st;
	struct span rest;
	size_t n_messages = 0;
	void *p;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		die("%s: %m", path);
	if (st.st_size == 0)
		die("%s: no messages", path);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	must(p != MAP_FAILED);
	(void)close(fd); /* read only */
	rest = span_of(p, (size_t)st.st_size);
	*messages = mem_array(rest.n / 2 + 1, sizeof(**messages));
	while (rest.n > 0) {
		uint64_t n;

		if (!span_to_u64(span_cut(&rest, '\n'), &n) || n > rest.n)
			die("%s: no file of messages", path);
		(*messages)[n_messages++] = span_take(rest, (size_t)n);
		rest = span_skip(rest, (size_t)n);
	}
	return n_messages;
}

/*
 * shared.h - memory that several processes map: made by the supervisor, which does not map it itself,
 * with one descriptor for who writes there and another for those who only read.
 *
 * Its size is sealed, so that no process can take pages away under another.  What stands in it may be
 * written by a peer at any moment: whoever reads takes each number as it comes and trusts none.
 */
#ifndef IPC_SHARED_H
#define IPC_SHARED_H
#include <stdbool.h>
#include <stddef.h>

struct shared_fds {
	int write, read; /* -1: none */
};

/* Of `size` zero bytes.  0, or -E_IO and both are -1. */
int shared_make(const char *name, size_t size, struct shared_fds *fds);
void shared_close(struct shared_fds *fds);
/* All zeros again, for all who map it. */
void shared_clear(const struct shared_fds *fds, size_t size);
/* Maps it, for reading or for both; NULL when it is not memory of exactly that size, with its size
 * sealed.  Closes the descriptor.  Mapped as long as the process lives, or until shared_unmap. */
void *shared_map(int fd, size_t size, bool is_written);
void shared_unmap(void *p, size_t size); /* NULL is fine */

#endif

#include "relay/ipc/shared.h"
#include "relay/base/err.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE_SEALS = F_SEAL_SHRINK | F_SEAL_GROW };

int
shared_make(const char *name, size_t size, struct shared_fds *fds)
{
	char path[64];

	*fds = (struct shared_fds){memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), -1};
	if (fds->write < 0)
		return -E_IO;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fds->write);
	/* Opened again: a second file, whose mode no holder of it can change. */
	fds->read = open(path, O_RDONLY | O_CLOEXEC);
	if (fds->read >= 0 && ftruncate(fds->write, (off_t)size) == 0 &&
	    fcntl(fds->write, F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL) == 0)
		return 0;
	shared_close(fds);
	return -E_IO;
}

void
shared_close(struct shared_fds *fds)
{
	if (fds->write >= 0)
		(void)close(fds->write); /* memory only, both */
	if (fds->read >= 0)
		(void)close(fds->read);
	fds->write = fds->read = -1;
}

void
shared_clear(const struct shared_fds *fds, size_t size)
{
	/* Cannot fail on a memory file that is sealed in size only. */
	must(
	    fallocate(fds->write, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)size) == 0);
}

void *
shared_map(int fd, size_t size, bool is_written)
{
	int seals = fcntl(fd, F_GET_SEALS);
	void *p = MAP_FAILED;
	struct stat st;

	if (seals >= 0 && (seals & SIZE_SEALS) == SIZE_SEALS && fstat(fd, &st) == 0 &&
	    st.st_size >= 0 && (size_t)st.st_size == size)
		p = mmap(
		    NULL, size, is_written ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (fd >= 0)
		(void)close(fd); /* the mapping stays */
	return p != MAP_FAILED ? p : NULL;
}

void
shared_unmap(void *p, size_t size)
{
	if (p != NULL)
		(void)munmap(p, size); /* a whole mapping of ours */
}

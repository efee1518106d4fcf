#include "relay/ipc/control_path.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

int
control_path(const char *run_dir, struct sockaddr_un *sa)
{
	int fd = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)snprintf(
	    sa->sun_path, sizeof(sa->sun_path), "/proc/self/fd/%d/control.sock", fd); /* fits */
	return fd;
}

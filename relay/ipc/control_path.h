/*
 * control_path.h - where the control socket is.  Addresses of Unix sockets end after 107 bytes;
 * run_dir may be longer, so it is named by a descriptor.
 */
#ifndef IPC_CONTROL_PATH_H
#define IPC_CONTROL_PATH_H
#include <sys/un.h>

/* Fills `sa` with the address of run_dir's control socket.  Returns the descriptor of run_dir that
 * the address needs until bind or connect is done (the caller closes it), or -1 with errno. */
int control_path(const char *run_dir, struct sockaddr_un *sa);

#endif

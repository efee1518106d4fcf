/*
 * control_socket.h - run_dir/control.sock (SEQPACKET, 0660): where the postern command asks.
 *
 * Whoever may open the socket may ask; its folder and mode are the permission.  Requests are
 * answered here, or passed on to the role whose they are.
 */
#ifndef PROCESS_CONTROL_SOCKET_H
#define PROCESS_CONTROL_SOCKET_H
#include "relay/process/supervisor.h"

/* NULL with err when the socket cannot be made. */
struct control_socket *control_open(struct supervisor *s, struct err *err);
void control_close(struct control_socket **c);

/* A request from a role (web) over its own channel. */
void control_from_role(struct control_socket *cs, struct child *from, struct message *m);
/* CONTROL_CHUNK or CONTROL_END from a role that was asked. */
void control_answer(struct control_socket *cs, struct child *from, struct message *m);
/* The role has died: whoever waits for it is told. */
void control_role_gone(struct control_socket *cs, unsigned place);
/* A reload that had to be loaded first is in force now, or (not EXIT_OK) refused: whoever waits for it is told,
 * with these lines.  cs may be NULL. */
void control_reload_done(struct control_socket *cs, int status, struct span lines);
/* A new policy has become live: whoever waits for that is told. */
void control_policy_live(struct control_socket *cs);

#endif

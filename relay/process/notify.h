/* notify.h - sd_notify(3): tells systemd how we are, when it has asked to be told. */
#ifndef PROCESS_NOTIFY_H
#define PROCESS_NOTIFY_H

/* Sends one state line to $NOTIFY_SOCKET; does nothing without it. */
void notify_systemd(const char *state);

#endif

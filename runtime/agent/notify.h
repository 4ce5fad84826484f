/* notify: what a service manager is told, as systemd has it: a datagram to $NOTIFY_SOCKET. */
#pragma once

/* `state` in its words: "READY=1", "STOPPING=1"; lines. Nothing where nobody asked to be told. */
void notify(const char *state);

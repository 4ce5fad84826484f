/* port_holder: who listens on a port that we wanted. Blocks for a second at most; at start only. */
#pragma once

#include <stddef.h>
#include <sys/socket.h>

/* "a Consul agent (node n1)", "another perigee (node n1)", or "another program". */
void port_holder_name(const struct sockaddr *address, socklen_t length, char *name, size_t size);

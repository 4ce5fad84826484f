/* admission: who may be a client: over the unix socket the agent's own user and root, over TCP as
 * many as the limits allow. Worker thread. */
#pragma once

#include <stdbool.h>
#include <uv.h>

struct client;
struct worker;

/* Of a connection that has been accepted, and is counted among all. 0; or with which status and
 * words it is to be refused. `*client` is the address that it is counted under, or stays NULL. */
int admission(struct worker *w, const uv_handle_t *handle, bool unix_socket, struct client **client,
              const char **text);

/* Whether who is at the other end of a unix socket may operate the agent. What comes from the
 * agent's own process may not: nobody asks from there but a plugin, which would be granted all. */
bool admission_operates(const uv_handle_t *handle);

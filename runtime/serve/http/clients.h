/* clients: how many connections each client address has, over all workers. Any thread. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

struct clients;
struct client; /* one address, while it has a connection */

struct clients *clients_new(void); /* NULL: out of memory */
void clients_free(struct clients *all);
/* One more of this address. NULL: it has `limit` already, or out of memory (*full tells). */
struct client *client_enter(struct clients *all, const struct sockaddr *address, unsigned limit,
                            bool *full);
void client_leave(struct clients *all, struct client *one);

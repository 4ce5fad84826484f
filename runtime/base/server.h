/* server: where a server is, as people write it: "h1", "h1:2379", "[::1]:2379", "https://h1:2379".
 * Pure; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What is wrong with a text, and how far into it. */
struct server_wrong {
  const char *what;
  size_t at;
};

/* Hosts with ports, between commas where there may be several. Without a port where that is not
 * needed. */
bool servers_are_right(const char *text, bool several, bool needs_port, struct server_wrong *w);
/* One of them, with http:// or https:// before it or without, and nothing after it but a slash. */
bool server_is_right(const char *text, struct server_wrong *w);

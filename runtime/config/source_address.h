/* source_address: which address of this host a registry's readers can reach it by: the source
 * address of the route to the registry. No packet is sent and no name is looked up. Pure but for
 * the kernel's routes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct value;

/* `registry`: its table in `registries`, or NULL. Its endpoints are its options `endpoints` or
 * `address`, a text or a list of URLs or host:port; one that is a name counts as elsewhere on the
 * network. "127.0.0.1" when there is no route. */
void source_address(const struct value *registry, char *out, size_t size);

bool address_is_loopback(const char *address);
bool address_is_any(const char *address); /* 0.0.0.0 or ::, however it is written */
/* Whether all that read this registry are on this host: each of its endpoints is on loopback (or it
 * has none). */
bool registry_is_local(const struct value *registry);

/* Its endpoints, as they are written; NULL: it has none. */
const struct value *registry_servers(const struct value *registry);
/* Whether one of them is `http`, where this agent itself listens. `port`: of one that says none. */
bool servers_are_here(const struct value *servers, uint16_t port, const char *http);
/* The port of the first that says one; 0: none does. */
uint16_t servers_port(const struct value *servers);

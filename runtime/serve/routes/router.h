/* router: the one table of what the server answers, and how a request finds its row. */
#pragma once

#include "serve/exchange/route.h"

#include <stddef.h>
#include <stdint.h>

/* The row for this path. `*allowed` is 0, or the methods that the path has rows for when the given
 * one is not among them. Sets `*rest` to where begins what the '*' takes. NULL: no row. */
const struct route *route_find(uint8_t method, const char *path, size_t length, unsigned *allowed,
                               size_t *rest);
unsigned routes_count(void);                      /* rows, and one for what found none */
unsigned route_number(const struct route *route); /* NULL: that one */
const char *route_name(unsigned number);

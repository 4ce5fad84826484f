/* copies: what each watched service had, in the data directory, so that a host that boots while its
 * registry is down has endpoints. Written when it changes, at most every few seconds. Control
 * thread only. */
#pragma once

#include "watch/instances.h"

#include <stdint.h>

struct store;

/* Failing to write is the store's to count: a copy is a convenience. */
void copy_write(struct store *store, const char *service, const struct set_row *rows, size_t count);
void copy_erase(struct store *store, const char *service);

/* Calls `each` with every copy that can be read; `written_us` is Unix time. At start. */
void copies_each(struct store *store,
                 void (*each)(void *arg, const char *service, const struct instances *has,
                              int64_t written_us),
                 void *arg);

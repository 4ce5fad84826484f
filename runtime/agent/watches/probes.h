/* probes: whether somebody accepts connections at an address, asked once for each of many, a few at
 * a time. For endpoints whose loss is doubted. Control thread only. */
#pragma once

#include "watch/instance.h"

#include <stdbool.h>
#include <uv.h>

struct io;
struct probes;

/* `told` for each: `alive` when the connection was accepted within 2 s. Never from within
 * probes_ask. NULL: out of memory. */
struct probes *probes_new(struct io *io,
                          void (*told)(void *arg, const struct instance *in, bool alive),
                          void *arg);
void probes_free(struct probes *p); /* cancels what runs; before the io */
/* Asks; an instance of the same id and service that waits is not asked twice. What cannot be asked
 * counts as alive: nobody knows better. */
void probes_ask(struct probes *p, const struct instance *in);

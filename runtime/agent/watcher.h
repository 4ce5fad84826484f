/* watcher: runs one registry plugin's `watch` for one target: `open` once, then `watch(conn,
 * target, set)` until it is ended. A return of true: called again after its interval; nothing: it
 * is complete; nil and a message: stale, and again with jittered exponential backoff; a raise
 * likewise. Control thread only. */
#pragma once

#include "config/target.h"
#include "vm/plugin.h"
#include "watch/set.h"

#include <uv.h>

struct watcher;

/* Takes `attachment` over; `target` and `set` outlive it. The first call comes after `delay_ms`, so
 * that a thousand watches do not all load in one turn of the loop. NULL: out of memory. */
struct watcher *watcher_start(uv_loop_t *loop, struct attachment *attachment,
                              const struct target *target, struct set *set, unsigned delay_ms);
void watcher_end(struct watcher *w); /* memory goes with the loop's close callbacks */

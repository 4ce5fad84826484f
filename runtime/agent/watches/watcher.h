/* watcher: runs one registry plugin's `watch` for one target: `open` once, if it has one, then
 * `watch(conn, target, set)` until it is ended, then `close(conn)`. A return of true: called again
 * after the plugin's `every`; nothing: it is complete; nil, message, code: stale, and again with
 * jittered exponential backoff; a raise likewise. What failed for want of permission ("EACCES") is
 * opened anew, with the options read again: the file that holds a password may have changed.
 * `target` is the same table in every call of one opening, so that a plugin can keep by it what it
 * knows. Control thread only. */
#pragma once

#include "agent/registries/registries.h"
#include "config/target.h"
#include "watch/set.h"

#include <stdbool.h>
#include <uv.h>

struct watcher;

/* `target` and `set` outlive it; of `use` it keeps what it needs. The first call comes after
 * `delay_ms`, so that a thousand watches do not all load in one turn of the loop. NULL: out of
 * memory. */
struct watcher *watcher_start(uv_loop_t *loop, const struct registry_use *use,
                              const struct target *target, struct set *set, unsigned delay_ms);
/* Ends what it does and lets the plugin close its connection, for at most a second; `closed` is
 * called then, from the loop. False: there is nothing to close, and `closed` is not called. */
bool watcher_close(struct watcher *w, void (*closed)(void *arg), void *arg);
/* The same for who does not wait: it ends by itself, and needs its target and set no more. Until
 * then it is in the list `*retired`, which outlives it. */
void watcher_retire(struct watcher *w, struct watcher **retired);
void watcher_end(struct watcher *w); /* memory goes with the loop's close callbacks */

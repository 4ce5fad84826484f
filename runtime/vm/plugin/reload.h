/* reload: a plugin that goes on with another version of its file, between two turns of the loop.
 * The steps are the caller's to take in this order; each that fails leaves everything as it was,
 * and is followed by plugin_abandon.
 *
 *   plugin_load        a fresh plugin, as at start (plugin.h)
 *   plugin_prepare     it becomes what `p` may turn into; each attachment's options pass its schema
 *   plugin_make_ready  its `ready(options, ctx)`, where it has one, says so in time
 *   plugin_hand_over   what the old one's `export` returns goes to its `import`
 *   plugin_swap        in the same turn: each ctx.state by value; then the new one is called
 *   plugin_settle      the old one ends; or plugin_go_back: it is called again
 *
 * Calls that are under way at a swap end where they began. Control thread only. */
#pragma once

#include "vm/plugin/plugin.h"

/* Takes `fresh` over, also when it fails. -EBUSY: another is prepared. With findings: 0 all the
 * same, since who calls this may be about to change these options; they are in `findings`. */
int plugin_prepare(struct plugin *p, struct plugin *fresh, struct findings *findings,
                   struct fault *f);
bool plugin_is_prepared(const struct plugin *p);
/* What is prepared takes nothing over: no export, no ctx.state. */
void plugin_take_nothing(struct plugin *p);
void plugin_abandon(struct plugin *p); /* idempotent; `done` below is not called any more */

/* Calls `ready` for each attachment, all within `deadline_ns`. True: it has to be waited for, and
 * `done` is called once, later, with 0 or what the first one said was missing; it may come from
 * within the last call's own `done`, so what follows belongs into a later turn. False: there is
 * nothing to ask. */
bool plugin_make_ready(struct plugin *p, int64_t deadline_ns,
                       void (*done)(void *arg, const struct fault *f), void *arg);

/* `strict`: an attachment whose options do not pass fails it; else its calls say -EINVAL after the
 * swap, until it is made anew. */
int plugin_hand_over(struct plugin *p, bool strict, struct fault *f);
/* Not from within a call's `done`. The old version is parked, unless the one that was parked before
 * is still there: a version that has not proved itself is no way back. */
void plugin_swap(struct plugin *p);
bool plugin_is_parked(const struct plugin *p); /* there is a way back */
void plugin_settle(struct plugin *p);
/* Not from within a call's `done`. Fails when an attachment that came meanwhile does not pass the
 * old schema. */
int plugin_go_back(struct plugin *p, struct fault *f);

/* Told of each call that ended in the version which is called now, before its `done`: `fault` when
 * it raised, was killed or ran out of memory. */
void plugin_on_called(struct plugin *p, void (*called)(void *arg, struct plugin *p, bool fault),
                      void *arg);

/* plugins_reload: from a draft, a table of plugins that were loaded afresh and that a configuration
 * was verified with, to the table that is used. The steps are taken in this order; until the swap
 * everything can be given up (plugins_abandon), and nothing has changed. Control thread only.
 *
 * A version that fails in its first calls (probation.h) gives way to the one before it. A version
 * that was left so, or by an operator, is not taken again until its file changes. */
#pragma once

#include "agent/plugins/plugins.h"

#include <uv.h>

/* For the table that is used: looks after probations from now on. 0 or -ENOMEM. */
int plugins_attend(struct plugins *all, uv_loop_t *loop);

/* Before anything is attached: a version that was left in a former life, and is still in its file,
 * gives way to the good one, and what there was to go back to is there again. From now on the
 * store, which outlives the table, remembers that. */
struct store;
void plugins_recall(struct plugins *all, struct store *store);

/* For a draft that has all that its configuration uses, and what uses plugins without it: whatever
 * else there is will be of no use. It is not loaded anew, and goes on as it is until its last user
 * has ended. */
void plugins_draft_unused(struct plugins *all, const struct plugins *draft);
/* By "NAME" or "KIND/NAME". -ENOENT, or -EINVAL: there are several. */
int plugins_named(const struct plugins *all, const char *name, struct plugin **out,
                  struct fault *f);
/* Into the draft: the last good version of `p` before the one that is used, which came into use at
 * `*since_us` (Unix time). -ENOENT: there is none. */
int plugins_draft_good(struct plugins *draft, struct plugins *all, const struct plugin *p,
                       int64_t *since_us, struct fault *f);
/* What the draft has is taken also where it is what is used already, as an isolate may have been
 * damaged since it was loaded. `fresh`: and takes nothing over. */
void plugins_draft_anew(struct plugins *draft, bool fresh);
/* Before anything is loaded into it: what ctx.host is to its plugins. Taken over. */
void plugins_draft_host(struct plugins *draft, struct value *host);

/* What a swap would do to each: "added", "reloaded", "rolled back", with what it would be then;
 * "unloaded", with what it is. */
void plugins_differences(const struct plugins *all, const struct plugins *draft,
                         void (*each)(void *arg, const struct plugin *p, const char *change),
                         void *arg);

/* `strict`: the uses that there are must pass the new versions' schemas. */
int plugins_prepare(struct plugins *all, struct plugins *draft, bool strict, struct fault *f);
/* True: `ready` is called once, later, with 0 or why one is not ready. */
bool plugins_make_ready(struct plugins *all, void (*ready)(void *arg, const struct fault *f),
                        void *arg);
/* All of them or none. Takes from the draft what is new. Not from within a call's `done`. */
int plugins_swap(struct plugins *all, struct plugins *draft, bool strict, struct fault *f);
void plugins_abandon(struct plugins *all);
/* For what is loaded next. What the configuration has no use for is unloaded: now, or as soon as
 * its last user has ended. */
void plugins_configure(struct plugins *all, const struct config *config);

/* For who asks (plugins_reloads): what the draft could not load, and `why` for what is prepared. */
void plugins_note_failures(struct plugins *all, const struct plugins *draft, const char *why);

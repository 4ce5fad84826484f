/* hooks: who is told of what happened, after it happened and off the hot path: hook plugins, as the
 * configuration lists them. Nothing waits for them but the agent's end, for two seconds. Control
 * thread only. */
#pragma once

#include "agent/hooks/hook.h"
#include "watch/set.h"

struct buf;
struct config;
struct fault;
struct findings;
struct hooks;

/* What `parts` names outlives them. NULL: out of memory. */
struct hooks *hooks_new(const struct hook_parts *parts);
void hooks_free(struct hooks *all); /* before the plugins */

/* Each hook of the configuration is there, and takes its options. Returns the number of findings
 * added. */
size_t hooks_verify(struct plugins *plugins, const struct config *config,
                    struct findings *findings);
/* The configuration's hooks from now on. One that did not change goes on; a new one is told of
 * every service. 0, or negative errno and `f` says which cannot be used: then it goes on without.
 */
int hooks_configure(struct hooks *all, const struct config *config, struct fault *f);

void hooks_started(struct hooks *all);
/* `ok`: it was carried out; `message`: what was reloaded, or why not. */
void hooks_reloaded(struct hooks *all, bool ok, const char *message);
/* A service's snapshot was published. */
void hooks_published(struct hooks *all, const struct set_published *what);
/* A registration of this agent is new, has changed, or is gone. */
void hooks_local(struct hooks *all, const struct registration_state *state, bool gone);
/* The agent stops: tells on.stop, then nothing more. `stopped` is called once, now or later. */
void hooks_stop(struct hooks *all, bool leaving, void (*stopped)(void *arg), void *arg);

void hooks_metrics(const struct hooks *all, struct buf *out);

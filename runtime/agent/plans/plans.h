/* plans: what the services' endpoints count for in picks: what Lua balancers plan of what the
 * registry says, and over that what an operator says. The sets' planner. Control thread only.
 *
 *     registry's weights ─► stages, left to right ─► last good plan ─► freeze ─► overrides ─► set
 *                             a failure: ─────────────────┘
 */
#pragma once

#include "watch/balancer.h"
#include "watch/plan.h"

#include <uv.h>

struct buf;
struct config;
struct fault;
struct findings;
struct plans;
struct plugins;
struct store;

/* All of it outlives them; the sets' last flush comes before plans_free. */
struct plans_with {
  uv_loop_t *loop;
  struct plugins *plugins;
  struct sets *sets;
  struct store *store;
};

/* With what operators said, and what was planned, in a former life. NULL: out of memory. */
struct plans *plans_new(const struct plans_with *with);
void plans_free(struct plans *all); /* before the plugins */
const struct planner *plans_planner(const struct plans *all);

/* What balancers are read with: where the agent is, and which plugins plan. */
struct balancer_host plans_host(const struct config *config, struct plugins *plugins);
/* Whether the balancers' plugins take their options. Returns the number of findings added. */
size_t plans_verify(struct plugins *plugins, const struct config *config,
                    struct findings *findings);
/* Applies what of `config` differs from what was applied last: the plugin stages of its watches.
 * What has not changed keeps its plan and state; at a failure everything does. Before the watches'
 * own. */
int plans_configure(struct plans *all, const struct config *config, struct fault *f);
/* Once a second; and before the store is closed: the last good plans go there (plan_copies.c). */
void plans_tick(struct plans *all);
void plans_save(struct plans *all);

/* ---- the operator's hand (plan_hand.c) ----
 *
 * Each takes effect by the next flush. 0: `done` is called once, later, when it would survive a
 * restart (or with the errno why it would not); else negative errno, `f` says why, and nothing has
 * changed: -ENOENT: there is no such service, endpoint, plan or shadow here. */
typedef void (*plans_done)(void *arg, int status);

/* The endpoint weighs `weight` (>= 0, finite) for so long, whatever is planned. */
int plans_override(struct plans *all, const char *service, const char *id, double weight,
                   int64_t for_ns, plans_done done, void *arg, struct fault *f);
int plans_release(struct plans *all, const char *service, const char *id, plans_done done,
                  void *arg, struct fault *f);
/* What is published of it stays, but for who leaves: for so long, 0: until plans_thaw. */
int plans_freeze(struct plans *all, const char *service, int64_t for_ns, plans_done done, void *arg,
                 struct fault *f);
int plans_thaw(struct plans *all, const char *service, plans_done done, void *arg, struct fault *f);
/* Freezes it at the plan before the one in force; *at_us: when that was made. */
int plans_rollback(struct plans *all, const char *service, plans_done done, void *arg,
                   int64_t *at_us, struct fault *f);
/* Makes the shadows of that plugin live, in all services, or takes that back; adds to `services` a
 * JSON list of those. */
int plans_promote(struct plans *all, const char *plugin, bool live, plans_done done, void *arg,
                  struct buf *services, struct fault *f);

/* ---- for those who look (plan_show.c) ---- */

/* plan_preview.c: what picks would make of another configuration, and of other versions of plugins,
 * as JSON objects separated by commas, one a service whose balancer, plugins or own instances
 * differ:
 *
 *   { "service": "web", "moves": 0.05,
 *     "endpoints": [ { "id", "before": { "weight", "tier", "drop", "share" }, "after": {...} } ] }
 *
 * with the endpoints that would change, of which one that comes has no `before`, and one that
 * leaves no `after`; `moves` is the part of the picks that would go elsewhere. Where that cannot be
 * known before, { "service", "reason" }. */
struct plans_draft {
  const struct config *old, *next;
  struct plugins *plugins; /* loaded afresh */
  bool whole;              /* all of next's; else some, and only these differ */
};
/* Adds to `out`, a JSON object a service. What `draft` points at, and `out`, outlast it. NULL: out
 * of memory. */
struct plan_preview;
struct plan_preview *plan_preview_new(struct plans *all, const struct plans_draft *draft,
                                      struct buf *out);
/* Goes on. True: it is through; else to be called again, in another turn of the loop. */
bool plan_preview_run(struct plan_preview *v);
void plan_preview_free(struct plan_preview *v);

/* One service as it is now: the question that its set asks, with what is in force of the answer.
 * Valid until the loop goes on. -ENOENT: there is no such service; -ENOMEM. */
struct plan_look;
int plans_look(struct plans *all, const char *service, struct plan_look **out);
void plan_look_end(struct plan_look *l);
const struct plan_question *plan_look_question(const struct plan_look *l);
/* Members of a JSON object, each with a comma before it: of the service, of its endpoint `i`. */
void plan_look_service(const struct plan_look *l, struct buf *out);
void plan_look_endpoint(const struct plan_look *l, size_t i, struct buf *out);

void plans_metrics(const struct plans *all, struct buf *out);

/* plan_hand: the operator's hand on the plans, and its place in the store: bucket "operator", a
 * record a service. */
#include "agent/plans/plans_inside.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "registry/registration.h"
#include "registry/store.h"
#include "select/select.h"
#include "watch/balancer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char bucket[] = "operator";

static int no_memory(struct fault *f) {
  return fault_set(f, -ENOMEM, "out of memory");
}

static struct set *set_of(struct plans *all, const char *service, struct fault *f) {
  struct set *s = sets_find(all->with.sets, service);
  if (!s)
    fault_set(f, -ENOENT, "no service \"%.255s\" is known here", service);
  return s;
}

/* ---- the store ---- */

/* Who waits for one or more records to be on the disk. */
struct waiting {
  plans_done done;
  void *arg;
  size_t records;
  int status;
};

static void waiting_over(struct waiting *w, int status) {
  w->status = w->status ? w->status : status;
  if (--w->records > 0)
    return;
  if (w->done)
    w->done(w->arg, w->status);
  free(w);
}

static void on_stored(void *arg, int status) {
  waiting_over(arg, status);
}

static struct waiting *waiting_new(plans_done done, void *arg, struct fault *f) {
  struct waiting *w = calloc(1, sizeof *w);
  if (w)
    *w = (struct waiting){done, arg, 1, 0}; /* one for the caller, until all are under way */
  else
    no_memory(f);
  return w;
}

static void record_save(struct service_plan *p, struct waiting *w) {
  struct buf bytes = {0};
  bool empty = hand_is_empty(&p->hand);
  struct value *v = empty ? NULL : hand_to_value(&p->hand);
  int r = empty ? 0 : v ? value_encode(v, &bytes) : -ENOMEM;
  w->records++;
  if (r == 0)
    r = store_put(p->all->with.store, bucket, p->service, empty ? NULL : bytes.data, bytes.length,
                  on_stored, w);
  if (r != 0)
    waiting_over(w, r);
  value_unref(v);
  buf_free(&bytes);
}

/* What the hand says now takes effect, and is kept. */
static void settle(struct service_plan *p, struct waiting *w) {
  struct set *s = sets_find(p->all->with.sets, p->service);
  if (s)
    set_replan(s);
  record_save(p, w);
}

/* ---- overrides ---- */

/* The timer, for the first that ends. */
static void hands_arm(struct plans *all);

static void on_expiry(uv_timer_t *timer) {
  struct plans *all = timer->data;
  int64_t now_us = clock_steady_us();
  struct waiting *w = waiting_new(NULL, NULL, NULL);
  for (uint32_t i = 0; w && i < all->table.count; i++) {
    struct service_plan *p = all->table.items[i];
    if (!hand_expire(&p->hand, now_us))
      continue;
    if (!p->hand.is_frozen)
      p->gone_back = 0;
    p->earlier_uncopied = true;
    log_info("what an operator said is over", LOG_S("service", p->service));
    settle(p, w);
  }
  if (w)
    waiting_over(w, 0);
  hands_arm(all);
}

static void hands_arm(struct plans *all) {
  int64_t first = 0;
  for (uint32_t i = 0; i < all->table.count; i++) {
    int64_t due = hand_due_us(&((struct service_plan *)all->table.items[i])->hand);
    if (due && (first == 0 || due < first))
      first = due;
  }
  uv_timer_stop(all->expiry);
  if (first == 0)
    return;
  int64_t wait = first - clock_steady_us();
  uv_timer_start(all->expiry, on_expiry, wait > 0 ? (uint64_t)(wait / 1000 + 1) : 1, 0);
}

static int read_hand(struct service_plan *p, const struct value *v) {
  return hand_from_value(&p->hand, p->service, v);
}

void hands_restore(struct plans *all) {
  plans_restore(all, bucket, read_hand, "what an operator said of a service cannot be read back");
  hands_arm(all);
}

static bool has_endpoint(struct set *s, const char *id) {
  const struct set_row *rows = set_rows(s);
  for (size_t i = 0; i < set_count(s); i++)
    if (strcmp(rows[i].instance->id, id) == 0)
      return true;
  return false;
}

/* NULL: whatever weight is said has an effect. */
static const char *weightless(struct set *s) {
  struct plan_question q;
  set_question(s, &q);
  const struct select_balancer *b = q.rules->algorithm ? select_by_name(q.rules->algorithm) : NULL;
  return b && b->weightless ? b->name : NULL;
}

int plans_override(struct plans *all, const char *service, const char *id, double weight,
                   int64_t for_ns, plans_done done, void *arg, struct fault *f) {
  struct set *s = set_of(all, service, f);
  if (!s)
    return -ENOENT;
  if (!has_endpoint(s, id))
    return fault_set(f, -ENOENT, "%.200s has no endpoint \"%.255s\"", service, id);
  if (weight != 0 && weightless(s))
    return fault_set(f, -EINVAL,
                     "all endpoints are alike to %s, which balances %.200s: --weight 0 takes one "
                     "out, no other has an effect",
                     weightless(s), service);
  struct service_plan *p = plans_entry(all, service);
  struct waiting *w = p ? waiting_new(done, arg, f) : NULL;
  if (!w || hand_override(&p->hand, id, weight, clock_steady_us() + for_ns / 1000) != 0) {
    free(w);
    return no_memory(f);
  }
  log_info("a weight is overridden", LOG_S("service", service), LOG_S("instance", id),
           LOG_N("weight", weight), LOG_N("seconds", (double)for_ns / 1e9));
  settle(p, w);
  waiting_over(w, 0);
  hands_arm(all);
  return 0;
}

int plans_release(struct plans *all, const char *service, const char *id, plans_done done,
                  void *arg, struct fault *f) {
  struct service_plan *p = plans_find(all, service);
  if (!p || !hand_find(&p->hand, id))
    return fault_set(f, -ENOENT, "no weight of \"%.255s\" in %.200s is overridden", id, service);
  struct waiting *w = waiting_new(done, arg, f);
  if (!w)
    return -ENOMEM;
  hand_release(&p->hand, id);
  log_info("an override is taken back", LOG_S("service", service), LOG_S("instance", id));
  settle(p, w);
  waiting_over(w, 0);
  hands_arm(all);
  return 0;
}

/* ---- freeze and rollback ---- */

/* What is in force, without the overrides, which end by themselves. */
static int capture(struct service_plan *p, struct set *s, struct outcome *out) {
  struct plan_question q;
  set_question(s, &q);
  struct plan_row *rows = calloc(q.count ? q.count : 1, sizeof *rows);
  if (!rows)
    return -ENOMEM;
  plan_from_registry(&q, rows);
  if (p->pipeline)
    outcome_apply(&p->planned, &q, rows);
  for (size_t i = 0; i < q.count; i++)
    rows[i].by = PLAN_FROZEN;
  int r = outcome_set(out, &q, rows);
  free(rows);
  return r;
}

int plans_freeze(struct plans *all, const char *service, int64_t for_ns, plans_done done, void *arg,
                 struct fault *f) {
  struct set *s = set_of(all, service, f);
  struct outcome now = {0};
  if (!s)
    return -ENOENT;
  struct service_plan *p = plans_entry(all, service);
  struct waiting *w = p ? waiting_new(done, arg, f) : NULL;
  if (!w || (!p->hand.is_frozen && capture(p, s, &now) != 0)) {
    free(w);
    return no_memory(f);
  }
  if (!p->hand.is_frozen) /* else it stays as it is frozen */
    hand_freeze(&p->hand, &now, 0);
  p->hand.thaws_us = for_ns ? clock_steady_us() + for_ns / 1000 : 0;
  log_info("frozen: what it publishes stays", LOG_S("service", service),
           LOG_N("seconds", (double)for_ns / 1e9));
  settle(p, w);
  waiting_over(w, 0);
  hands_arm(all);
  return 0;
}

int plans_thaw(struct plans *all, const char *service, plans_done done, void *arg,
               struct fault *f) {
  struct service_plan *p = plans_find(all, service);
  if (!p || !p->hand.is_frozen)
    return fault_set(f, -ENOENT, "%.200s is not frozen", service);
  struct waiting *w = waiting_new(done, arg, f);
  if (!w)
    return -ENOMEM;
  hand_freeze(&p->hand, NULL, 0);
  p->gone_back = 0;
  p->earlier_uncopied = true;
  log_info("no longer frozen", LOG_S("service", service));
  settle(p, w);
  waiting_over(w, 0);
  return 0;
}

int plans_rollback(struct plans *all, const char *service, plans_done done, void *arg,
                   int64_t *at_us, struct fault *f) {
  struct service_plan *p = plans_find(all, service);
  if (!set_of(all, service, f))
    return -ENOENT;
  if (!p || p->gone_back == p->history_count)
    return fault_set(f, -ENOENT, "no plan of %.200s is known before the one in force", service);
  struct outcome back = {0};
  struct waiting *w = waiting_new(done, arg, f);
  if (!w || outcome_copy(&back, &p->history[p->gone_back]) != 0) {
    free(w);
    return no_memory(f);
  }
  p->gone_back++;
  plan_copy_earlier(p);
  for (size_t i = 0; i < back.count; i++)
    back.rows[i].row.by = PLAN_FROZEN;
  *at_us = back.at_us;
  hand_freeze(&p->hand, &back, 0);
  log_warn("rolled back to an earlier plan, and frozen there", LOG_S("service", service),
           LOG_N("seconds_ago", (double)(clock_steady_us() - *at_us) / 1e6));
  settle(p, w);
  waiting_over(w, 0);
  return 0;
}

/* ---- shadows ---- */

int plans_promote(struct plans *all, const char *plugin, bool live, plans_done done, void *arg,
                  struct buf *services, struct fault *f) {
  struct waiting *w = waiting_new(done, arg, f);
  size_t count = 0;
  if (!w)
    return -ENOMEM;
  buf_char(services, '[');
  for (uint32_t i = 0; i < all->table.count; i++) {
    struct service_plan *p = all->table.items[i];
    if (!p->pipeline || !pipeline_promote(p->pipeline, plugin, live))
      continue;
    buf_text(services, count++ ? "," : "");
    buf_json_text(services, p->service);
    log_info(live ? "a shadow is live" : "a shadow is one again", LOG_S("plugin", plugin),
             LOG_S("service", p->service));
    if (hand_promote(&p->hand, plugin, live) != 0)
      w->status = -ENOMEM; /* it is live, and would not be after a restart */
    settle(p, w);
  }
  buf_char(services, ']');
  if (count == 0) {
    free(w);
    return fault_set(f, -ENOENT, "no watch has a balancer stage \"%.100s\" with shadow = true",
                     plugin);
  }
  waiting_over(w, 0);
  return 0;
}

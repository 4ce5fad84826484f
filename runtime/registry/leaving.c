/* leaving: the end of a reconciler's work: leases that the next agent takes up, or all of it taken
 * back, for as long as there is patience. */
#include "registry/reconciler_inside.h"

#include "base/buf.h"
#include "base/log.h"

enum { EACH_MS = 10 };  /* of patience, for each entry */
enum { TOLD_MAX = 20 }; /* names in one line of the log */

uint32_t reconciler_left(const struct reconciler *r) {
  uint32_t left = 0;
  for (uint32_t i = 0; i < r->desired.table.count; i++) {
    const struct desired_entry *e = r->desired.table.items[i];
    left += r->leaving && e->lease;
  }
  return left;
}

static void tell_stopped(struct reconciler *r) {
  void (*stopped)(void *) = r->stopped;
  r->stopped = NULL;
  uv_timer_stop(&r->patience);
  if (stopped)
    stopped(r->stopped_arg);
}

/* What nobody took back ends when its lease does: none was asked for longer than that. */
static void tell_left(const struct reconciler *r, uint32_t left) {
  struct buf names = {0};
  double within = 0;
  for (uint32_t i = 0, n = 0; i < r->desired.table.count; i++) {
    const struct desired_entry *e = r->desired.table.items[i];
    if (!e->lease)
      continue;
    if (n++ < TOLD_MAX)
      buf_format(&names, "%s%s", n > 1 ? " " : "", e->key);
    if (e->lease_ttl > within)
      within = e->lease_ttl;
  }
  buf_text(&names, left > TOLD_MAX ? " ..." : "");
  log_error("not all was deregistered: the registry did not do it in time; the rest ends with its "
            "leases",
            LOG_S("registry", r->desired.registry), LOG_I("left", left),
            LOG_S("instances", names.failed ? "" : names.data), LOG_N("within_s", within));
  buf_free(&names);
}

static void on_patience(uv_timer_t *timer) {
  struct reconciler *r = timer->data;
  uint32_t left = reconciler_left(r);
  if (left)
    tell_left(r, left);
  else if (r->running || r->ready)
    log_warn("the registry did not answer in time; leases run out by themselves",
             LOG_S("registry", r->desired.registry), LOG_I("operations", r->running));
  tell_stopped(r);
}

/* Nothing runs and nothing waits for its turn. What backs off is not waited for, unless one leaves.
 */
void reconciler_check_stopped(struct reconciler *r) {
  if (!r->stopping || !r->stopped || r->running || r->ready)
    return;
  for (uint32_t i = 0; i < r->desired.table.count; i++) {
    const struct desired_entry *e = r->desired.table.items[i];
    if (r->leaving ? e->lease != NULL : entry_next(e) != OPERATION_NONE && e->failures == 0)
      return;
  }
  tell_stopped(r);
}

void reconciler_stop(struct reconciler *r, bool leave, double ttl, unsigned patience_ms,
                     void (*stopped)(void *arg), void *arg) {
  r->stopping = true;
  r->leaving = leave;
  r->draining = false;
  r->stop_ttl = ttl > r->ttl ? ttl : r->ttl;
  r->stopped = stopped;
  r->stopped_arg = arg;
  for (uint32_t i = 0; i < r->desired.table.count; i++) {
    struct desired_entry *e = r->desired.table.items[i];
    e->wanted &= !leave;
    if (!e->busy)
      entry_look(e, 0);
  }
  alarm_clear(&r->alarms, &r->audit);
  uv_timer_start(&r->patience, on_patience, patience_ms + r->desired.table.count * EACH_MS, 0);
  reconciler_soon(r);
}

/* plan_copies: the last good plans in the store, bucket "plan", so that a plan that fails when the
 * agent starts leaves what there was before it; and those before them, bucket "earlier", to go back
 * to. Written when they have changed, each at most every few seconds: of the last of these a copy
 * may be missing, and then the one before it is there. */
#include "agent/plans/outcome_value.h"
#include "agent/plans/plans_inside.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/value.h"
#include "registry/registration.h"
#include "registry/store.h"

#include <errno.h>
#include <string.h>

enum { TICKS = 5 };            /* seconds between two copies of one plan */
enum { EARLIER_ROWS = 20000 }; /* of a service's earlier plans, in all */

static const char bucket[] = "plan", earlier[] = "earlier";

/* A failure is the store's to count: a copy is a convenience. */
static void copy(struct service_plan *p) {
  struct buf bytes = {0};
  struct value *v = p->pipeline ? outcome_to_value(&p->planned) : NULL;
  if (!p->pipeline)
    store_put(p->all->with.store, bucket, p->service, NULL, 0, NULL, NULL);
  else if (v && value_encode(v, &bytes) == 0)
    store_put(p->all->with.store, bucket, p->service, bytes.data, bytes.length, NULL, NULL);
  p->uncopied = false;
  value_unref(v);
  buf_free(&bytes);
}

/* { gone_back, PLAN, ... }, the newest first. */
static struct value *earlier_to_value(const struct service_plan *p) {
  struct value *list = value_table();
  size_t rows = 0;
  int r = value_set(list, "gone_back", value_number((double)p->gone_back));
  for (size_t i = 0; r == 0 && i < p->history_count; i++)
    if ((rows += p->history[i].count) <= EARLIER_ROWS)
      r = value_append(list, outcome_to_value(&p->history[i]));
  if (r == 0)
    return list;
  value_unref(list);
  return NULL;
}

void plan_copy_earlier(struct service_plan *p) {
  struct buf bytes = {0};
  struct value *v = p->history_count ? earlier_to_value(p) : NULL;
  if (!p->history_count)
    store_put(p->all->with.store, earlier, p->service, NULL, 0, NULL, NULL);
  else if (v && value_encode(v, &bytes) == 0)
    store_put(p->all->with.store, earlier, p->service, bytes.data, bytes.length, NULL, NULL);
  p->earlier_uncopied = false;
  value_unref(v);
  buf_free(&bytes);
}

void plans_tick(struct plans *all) {
  if (++all->ticks % TICKS == 0)
    plans_save(all);
}

void plans_save(struct plans *all) {
  for (uint32_t i = 0; i < all->table.count; i++) {
    struct service_plan *p = all->table.items[i];
    if (p->uncopied)
      copy(p);
    if (p->earlier_uncopied)
      plan_copy_earlier(p);
  }
}

static int read_copy(struct service_plan *p, const struct value *v) {
  return outcome_from_value(&p->planned, p->service, v);
}

static int read_earlier(struct service_plan *p, const struct value *v) {
  int r = 0;
  while (r == 0 && p->history_count < HISTORY && p->history_count < value_length(v)) {
    r = outcome_from_value(&p->history[p->history_count], p->service,
                           value_at(v, p->history_count));
    p->history_count += r == 0;
  }
  double gone_back = value_as_number(value_get(v, "gone_back"), 0);
  if (gone_back > 0 && gone_back <= (double)p->history_count)
    p->gone_back = (size_t)gone_back;
  return r;
}

void plan_copies_restore(struct plans *all) {
  plans_restore(all, earlier, read_earlier, "earlier plans of a service cannot be read back");
  plans_restore(all, bucket, read_copy, "the last plan of a service cannot be read back");
}

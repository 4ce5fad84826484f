/* plan_copies: the last good plans in the store, bucket "plan", so that a plan that fails when the
 * agent starts leaves what there was before it. Written when they have changed, each at most every
 * few seconds: of the last of these a copy may be missing, and then the one before it is there. */
#include "agent/plans/outcome_value.h"
#include "agent/plans/plans_inside.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/value.h"
#include "registry/registration.h"
#include "registry/store.h"

#include <errno.h>
#include <string.h>

enum { TICKS = 5 }; /* seconds between two copies of one plan */

static const char bucket[] = "plan";

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

void plans_tick(struct plans *all) {
  if (++all->ticks % TICKS == 0)
    plans_save(all);
}

void plans_save(struct plans *all) {
  for (uint32_t i = 0; i < all->table.count; i++) {
    struct service_plan *p = all->table.items[i];
    if (p->uncopied)
      copy(p);
  }
}

static int read_copy(struct service_plan *p, const struct value *v) {
  return outcome_from_value(&p->planned, p->service, v);
}

void plan_copies_restore(struct plans *all) {
  plans_restore(all, bucket, read_copy, "the last plan of a service cannot be read back");
}

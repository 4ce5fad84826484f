/* audit: what the registry says that it has of ours, against what it should have. */
#include "registry/reconciler_inside.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/value.h"

#include <errno.h>
#include <string.h>

static const double audit_s = AUDIT_LONGEST_S / 2.0, audit_failed_s = 15; /* at least, or twice */

static void audit_again(struct reconciler *r, double base_s) {
  alarm_set(&r->alarms, &r->audit,
            clock_now_ns() + (int64_t)(base_s * (1 + clock_random_unit()) * (double)SECOND));
}

void on_audit(struct alarm *a) {
  struct reconciler *r = (struct reconciler *)((char *)a - offsetof(struct reconciler, audit));
  if (r->stopping || r->cannot_list || r->listing)
    return;
  if (r->draining) {
    audit_again(r, audit_failed_s);
    return;
  }
  for (uint32_t i = 0; i < r->desired.table.count; i++) {
    struct desired_entry *e = r->desired.table.items[i];
    e->listed = e->busy != OPERATION_NONE || !e->lease;
  }
  r->listed_ns = clock_now_ns();
  int rc = r->how->list ? r->how->list(r->arg) : -ENOSYS;
  r->listing = rc == 0;
  r->cannot_list = rc == -ENOSYS;
  if (rc != 0 && !r->cannot_list)
    audit_again(r, audit_failed_s);
}

/* Whether what the registry says of a lease is what we have, as far as both say it. */
static bool lease_agrees(const struct value *ours, const struct value *listed) {
  for (size_t i = 0; i < value_fields(listed); i++) {
    const char *name;
    const struct value *said = value_field(listed, i, &name), *known = value_get(ours, name);
    if (known && !value_equal(known, said))
      return false;
  }
  return true;
}

/* What was deregistered here and is there again was registered by somebody who has our owner's
 * name: an agent with a copy of this one's data directory. None of what is not known here is swept
 * then, as it may be that one's. */
static bool is_disputed(struct reconciler *r, const char *service, const char *id) {
  if (!r->disputed && withdrawn_before(&r->swept, service, id, r->listed_ns)) {
    r->disputed = true;
    log_error("another agent registers under this one's owner: was the data directory copied? Give "
              "one of the two an empty one. Until then nothing is swept here",
              LOG_S("registry", r->desired.registry), LOG_S("service", service), LOG_S("id", id));
  }
  return r->disputed;
}

/* One that the registry has as ours. */
static void audit_one(struct reconciler *r, const struct value *item) {
  const char *service = value_as_text(value_get(item, "service"), NULL),
             *id = value_as_text(value_get(item, "id"), NULL);
  const struct value *lease = value_get(item, "lease");
  if (!service || !id || value_kind(lease) != VALUE_TABLE)
    return;
  struct desired_entry *e = desired_find(&r->desired, service, id);
  if (!e && is_disputed(r, service, id))
    return;
  e = desired_get(&r->desired, service, id);
  if (!e || !entry_adopt(r, e))
    return;
  e->listed |= !e->lease || e->busy || lease_agrees(e->lease, lease);
  if (e->lease || e->busy)
    return;
  e->lease = value_ref(lease); /* of a life before this one, which the store does not remember */
  if (!e->wanted) {
    r->stats.orphans++;
    log_info("an entry of ours that nobody wants any more", LOG_S("registry", r->desired.registry),
             LOG_S("instance", e->key));
  }
  entry_look(e, 0);
}

void reconciler_listed(struct reconciler *r, int status, const char *why,
                       const struct value *list) {
  r->listing = false;
  reconciler_drained(r);
  if (status == -ENOTSUP || r->stopping) {
    r->cannot_list = true;
    return;
  }
  if (status != 0) {
    log_warn("the registry was not audited", LOG_S("registry", r->desired.registry),
             LOG_S("error", why && *why ? why : strerror(-status)));
    audit_again(r, audit_failed_s);
    reconciler_arm(r);
    return;
  }
  r->stats.audits++;
  for (size_t i = 0; i < value_length(list); i++)
    audit_one(r, value_at(list, i));
  for (uint32_t i = 0; i < r->desired.table.count; i++) {
    struct desired_entry *e = r->desired.table.items[i];
    if (e->wanted && !e->listed && !e->busy && e->held == e->digest)
      entry_renewed(e, 0, NULL);
  }
  audit_again(r, audit_s);
  reconciler_pump(r);
}

void reconciler_changed(struct reconciler *r, const struct value *list) {
  for (size_t i = 0; i < value_length(list); i++) {
    const struct value *item = value_at(list, i);
    const char *service = value_as_text(value_get(item, "service"), NULL),
               *id = value_as_text(value_get(item, "id"), NULL);
    struct desired_entry *e = service && id ? desired_find(&r->desired, service, id) : NULL;
    if (!e)
      continue;
    e->attended = false;
    reconciler_doubt(r, e);
  }
}

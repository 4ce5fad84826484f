#include "watch/snapshot.h"

#include "base/clock.h"
#include "catalog/live.h"

#include <errno.h>
#include <stdlib.h>

enum {
  PLAN_PACE = 10, /* times what the plan took, at most PLAN_PACE_MOST_NS */
  PLAN_PACE_MOST_NS = 200000000,
  AHEAD = 6
};

static int scratch_reserve(void **array, size_t *room, size_t need, size_t size) {
  if (need <= *room)
    return 0;
  void *grown = realloc(*array, need * 2 * size);
  if (!grown)
    return -ENOMEM;
  *array = grown;
  *room = need * 2;
  return 0;
}

static inline void prefetch_instance(const struct instance *in) {
  for (size_t line = 0; line < 4; line++)
    __builtin_prefetch((const char *)in + 64 * line);
}

/* What comes to a service that is known already begins slowly where that is asked for, and so does
 * what was critical; what an agent finds when it starts has been there before it. */
static void mark_births(struct set *s, int64_t now) {
  for (uint32_t i = 0; i < s->rows.count; i++) {
    struct set_row *row = &s->rows.items[i];
    bool critical = row->status == STATUS_CRITICAL;
    bool came = s->in_catalog && !(row->flags & ROW_SLOT);
    if (came || (row->flags & ROW_CRITICAL && !critical))
      row->born_ns = now;
    row->flags = critical ? row->flags | ROW_CRITICAL : row->flags & ~(uint32_t)ROW_CRITICAL;
  }
}

/* So that the next agent knows it; a row that this one has just found has it from there. */
static void birth_keep(const struct set *s, struct set_row *row, bool found) {
  struct catalog_slot *live =
      s->rules.rules.slow_start_ns ? catalog_live_slot(s->all->writer, row->slot) : NULL;
  if (live && found && !row->born_ns)
    row->born_ns = (int64_t)catalog_load64(&live->born_ns);
  if (live && catalog_load64(&live->born_ns) != (uint64_t)row->born_ns)
    catalog_store64(&live->born_ns, (uint64_t)row->born_ns);
}

static int slots_take(struct set *s) {
  struct catalog_writer *w = s->all->writer;
  for (uint32_t i = 0; i < s->rows.count; i++) {
    struct set_row *row = &s->rows.items[i];
    if (i + AHEAD < s->rows.count) /* this is the first look at an instance, and waits for memory */
      prefetch_instance(row[AHEAD].instance);
    int rc = -EEXIST;
    if (!(row->flags & ROW_SLOT))
      rc = catalog_slot_adopt(w, s->service, row->instance->id, &row->slot, &row->slot_generation);
    bool found = rc == 0;
    if (rc == -ENOENT)
      rc = catalog_slot_take(w, &row->slot, &row->slot_generation);
    if (rc && rc != -EEXIST)
      return rc;
    row->flags |= ROW_SLOT;
    birth_keep(s, row, found);
  }
  return 0;
}

static bool is_ejected(const struct set *s, uint32_t slot) {
  if (!set_outlier_rules(s))
    return false;
  const struct catalog_slot *live = catalog_live_slot(s->all->writer, slot);
  return live && catalog_load64(&live->ejected_until_ns) != 0;
}

static struct plan_live live_of(void *arg, const struct set_row *row) {
  const struct catalog_slot *live = catalog_live_slot(((struct sets *)arg)->writer, row->slot);
  if (!live)
    return (struct plan_live){0};
  return (struct plan_live){.in_flight = catalog_load32(&live->in_flight),
                            .latency_ns = catalog_load64(&live->latency_ns),
                            .ejected = catalog_load64(&live->ejected_until_ns) != 0};
}

void set_question(struct set *s, struct plan_question *out) {
  rows_tidy(&s->rows);
  *out = (struct plan_question){.service = s->service,
                                .rows = s->rows.items,
                                .count = s->rows.count,
                                .rules = &s->rules,
                                .in_catalog = s->in_catalog,
                                .now_ns = clock_now_ns(),
                                .live = s->all->apart ? NULL : live_of,
                                .live_arg = s->all};
}

/* What took its time is not done again for ten times as long. */
static void plan_pace(struct set *s) {
  int64_t now = clock_now_ns(), pause = (now - s->plan_since_ns) * PLAN_PACE;
  s->plan_again_ns = now + (pause < PLAN_PACE_MOST_NS ? pause : PLAN_PACE_MOST_NS);
  s->plan_since_ns = 0;
}

/* What the endpoints count for, where somebody plans that: *plan, else NULL. -EAGAIN: it waits. */
static int plan_take(struct set *s, int64_t now, const struct plan_row **plan) {
  struct sets *all = s->all;
  const struct planner *planner = all->planner;
  struct plan_answer answer = {0};
  *plan = NULL;
  s->overtaken = false;
  if (!planner || !planner->wants(planner->arg, s->service))
    return 0;
  if (scratch_reserve((void **)&all->plan, &all->plan_room, s->rows.count, sizeof *all->plan) != 0)
    return -ENOMEM;
  struct plan_question q;
  set_question(s, &q);
  q.run = s->replan || !s->in_catalog || s->plan_since_ns;
  q.now_ns = now;
  int rc = planner->plan(planner->arg, &q, all->plan, &answer);
  if (q.run && answer.taken) {
    s->replan = false;
    s->plan_since_ns = now;
  }
  if (rc < 0) {
    s->due_ns = answer.until_ns;
    return rc;
  }
  if (s->plan_since_ns)
    plan_pace(s);
  s->overtaken = s->replan;
  s->touched |= answer.differs;
  s->moved |= answer.differs;
  *plan = rc > 0 ? all->plan : NULL;
  return 0;
}

int snapshot_prepare(struct set *s, int64_t now, const struct plan_row **plan) {
  mark_births(s, now);
  int rc = slots_take(s);
  return rc == 0 ? plan_take(s, now, plan) : rc;
}

static struct catalog_endpoint endpoint_of(const struct set *s, const struct set_row *row) {
  const struct instance *in = row->instance;
  return (struct catalog_endpoint){.id = in->id,
                                   .address = in->address,
                                   .zone = in->zone,
                                   .tags = in->tags,
                                   .meta = in->meta,
                                   .ports = in->ports,
                                   .slot = row->slot,
                                   .slot_generation = row->slot_generation,
                                   .port = in->port,
                                   .tag_count = in->tag_count,
                                   .meta_count = in->meta_count,
                                   .port_count = in->port_count,
                                   .status = (uint8_t)row->status,
                                   .ejected = is_ejected(s, row->slot),
                                   .weight = in->weight,
                                   .born_ns = (uint64_t)row->born_ns};
}

const struct set_row *snapshot_rows(const struct set *s, bool planned, size_t *count) {
  *count = s->rows.count;
  if (!selection_chooses(&s->rules.select) || s->all->apart)
    return s->rows.items;
  *count = 0;
  for (uint32_t i = 0; i < s->rows.count; i++)
    if (selection_has(&s->rules.select, s->rows.items[i].instance)) {
      s->all->selected[*count] = s->rows.items[i];
      if (planned)
        s->all->plan[*count] = s->all->plan[i];
      (*count)++;
    }
  return s->all->selected;
}

int snapshot_endpoints(struct set *s, const struct plan_row *plan, struct set_tally *tally,
                       size_t *count) {
  struct sets *all = s->all;
  if (scratch_reserve((void **)&all->endpoints, &all->endpoints_room, s->rows.count,
                      sizeof *all->endpoints) != 0 ||
      (selection_chooses(&s->rules.select) &&
       scratch_reserve((void **)&all->selected, &all->selected_room, s->rows.count,
                       sizeof *all->selected) != 0))
    return -ENOMEM;
  *count = 0;
  for (uint32_t i = 0; i < s->rows.count; i++) {
    const struct set_row *row = &s->rows.items[i];
    if (!selection_has(&s->rules.select, row->instance) || (plan && plan[i].drop))
      continue;
    all->endpoints[*count] = endpoint_of(s, row);
    if (plan) {
      all->endpoints[*count].weight = plan[i].weight;
      all->endpoints[*count].tier = plan[i].tier;
    }
    (*count)++;
    tally->passing += row->status == STATUS_PASSING;
    tally->warning += row->status == STATUS_WARNING;
    tally->critical += row->status == STATUS_CRITICAL;
  }
  return 0;
}

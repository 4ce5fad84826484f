#include "select/shape.h"

#include "select/select.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CRITICAL = 2, ZONES_MAX = 256, ZONE_MIN = 6 };

static const struct catalog_rules no_rules;

/* One publishing's work. Arrays are in the snapshot's order. */
struct work {
  const struct catalog_snapshot *snapshot;
  const struct catalog_rules *rules;
  struct catalog_shape *shape;
  bool weightless;
  bool any_healthy, can_be_picked; /* is passing or warning; and has a weight */
  bool any_available;              /* and is not ejected */
  uint64_t *order;                 /* level << 32 | endpoint, of those with a weight, sorted */
  uint32_t count;                  /* of order */
  const char **ids;
  bool *keep;
};

static uint32_t level_of(const struct work *w, const struct catalog_endpoint *e) {
  if (!w->rules->priority)
    return e->tier;
  for (uint16_t i = 0; i < e->meta_count; i++)
    if (strcmp(e->meta[i].key, w->rules->priority_key) == 0) {
      unsigned long level = strtoul(e->meta[i].value, NULL, 10);
      return level < UINT16_MAX ? (uint32_t)level : UINT16_MAX;
    }
  return e->tier;
}

static bool healthy(const struct work *w, const struct catalog_endpoint *e) {
  return e->status < CRITICAL && !(e->ejected && w->any_available);
}

static int by_number(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static void sort_by_level(struct work *w) {
  bool sorted = true;
  for (uint32_t i = 0; i < w->snapshot->count; i++) {
    const struct catalog_endpoint *e = &w->snapshot->endpoints[i];
    w->shape->weights[i] = 0;
    bool picked = e->weight > 0 && e->status < CRITICAL;
    w->any_healthy = w->any_healthy || e->status < CRITICAL;
    w->can_be_picked = w->can_be_picked || picked;
    w->any_available = w->any_available || (picked && !e->ejected);
    if (e->weight > 0)
      w->order[w->count++] = (uint64_t)level_of(w, e) << 32 | i;
    sorted = sorted && (w->count < 2 || w->order[w->count - 2] < w->order[w->count - 1]);
  }
  if (!sorted)
    qsort(w->order, w->count, sizeof *w->order, by_number);
}

static double weight_of(const struct work *w, const struct catalog_endpoint *e) {
  double weight = w->weightless ? 1 : e->weight;
  if (!w->rules->slow_start_ns || !e->born_ns || w->snapshot->now_ns < e->born_ns)
    return weight;
  double part = select_slow_start(w->snapshot->now_ns - e->born_ns, w->rules->slow_start_ns,
                                  w->rules->aggression > 0 ? w->rules->aggression : 1,
                                  w->rules->slow_start_min > 0 ? w->rules->slow_start_min : 0.1);
  return weight * part > 0 ? weight * part : weight; /* what has a weight is picked */
}

static int add_group(struct work *w, double share, uint32_t level, bool zoned, uint16_t *group) {
  struct catalog_shape *shape = w->shape;
  if (shape->group_count > UINT16_MAX)
    return -E2BIG;
  *group = (uint16_t)shape->group_count;
  shape->shares[shape->group_count++] = (struct catalog_share){share, (uint16_t)level, zoned};
  return 0;
}

/* The zones of a level's endpoints, and how much of them each has. */
struct zones {
  const char *names[ZONES_MAX];
  double upstream[ZONES_MAX], clients[ZONES_MAX], shares[ZONES_MAX];
  uint16_t groups[ZONES_MAX];
  uint32_t count, own;
};

static const char *zone_of(const struct catalog_endpoint *e) {
  return e->zone ? e->zone : "";
}

static uint32_t find_zone(const struct zones *z, const char *name) {
  uint32_t i = 0;
  while (i < z->count && strcmp(z->names[i], name) != 0)
    i++;
  return i;
}

static void fill_clients(const struct catalog_rules *rules, struct zones *z) {
  for (uint32_t i = 0; i < z->count; i++) {
    z->clients[i] = rules->zone_share_count ? 0 : 1.0 / z->count;
    for (uint32_t k = 0; k < rules->zone_share_count; k++)
      if (strcmp(rules->zone_shares[k].zone, z->names[i]) == 0)
        z->clients[i] = rules->zone_shares[k].share;
  }
}

/* False: zones do not matter here. */
static bool divide_by_zones(const struct work *w, const uint64_t *members, uint32_t count,
                            struct zones *z) {
  uint32_t least = w->rules->zone_min ? w->rules->zone_min : ZONE_MIN;
  z->count = 0;
  if (!w->rules->zone || count < least)
    return false;
  for (uint32_t i = 0; i < count; i++) {
    const char *name = zone_of(&w->snapshot->endpoints[(uint32_t)members[i]]);
    uint32_t at = find_zone(z, name);
    if (at == ZONES_MAX)
      return false;
    if (at == z->count) {
      z->names[z->count] = name;
      z->upstream[z->count++] = 0;
    }
    z->upstream[at] += 1.0 / count;
  }
  z->own = find_zone(z, w->rules->own_zone ? w->rules->own_zone : "");
  if (z->own == z->count || z->count < 2)
    return false;
  fill_clients(w->rules, z);
  return select_zone_shares(z->upstream, z->clients, z->count, z->own, z->shares);
}

static void fill_zones(struct work *w, const uint64_t *members, uint32_t count,
                       const struct zones *z) {
  for (uint32_t i = 0; i < count; i++) {
    const struct catalog_endpoint *e = &w->snapshot->endpoints[(uint32_t)members[i]];
    uint32_t at = find_zone(z, zone_of(e));
    w->shape->groups[(uint32_t)members[i]] = z->groups[at];
    w->shape->weights[(uint32_t)members[i]] = z->shares[at] > 0 ? weight_of(w, e) : 0;
  }
}

static int fill_level(struct work *w, const uint64_t *members, uint32_t count, uint32_t level,
                      const struct select_tier *tier) {
  struct zones *z = w->rules->zone ? calloc(1, sizeof *z) : NULL;
  uint16_t group;
  int r = w->rules->zone && !z ? -ENOMEM : 0;
  if (r == 0 && z && !tier->panics && divide_by_zones(w, members, count, z)) {
    for (uint32_t i = 0; r == 0 && i < z->count; i++)
      if (z->shares[i] > 0)
        r = add_group(w, tier->load * z->shares[i], level, true, &z->groups[i]);
    if (r == 0)
      fill_zones(w, members, count, z);
  } else if (r == 0) {
    r = add_group(w, tier->load, level, false, &group);
    for (uint32_t i = 0; r == 0 && i < count; i++) {
      w->shape->groups[(uint32_t)members[i]] = group;
      w->shape->weights[(uint32_t)members[i]] =
          weight_of(w, &w->snapshot->endpoints[(uint32_t)members[i]]);
    }
  }
  free(z);
  return r;
}

/* Leaves the members that take part in front; how many. */
static uint32_t choose_members(struct work *w, uint64_t *members, uint32_t count,
                               const struct select_tier *tier, int *error) {
  uint32_t taken = 0, kept = 0;
  for (uint32_t i = 0; i < count; i++) {
    const struct catalog_endpoint *e = &w->snapshot->endpoints[(uint32_t)members[i]];
    if (!tier->panics && !healthy(w, e))
      continue;
    if (w->ids)
      w->ids[taken] = e->id ? e->id : "";
    members[taken++] = members[i];
  }
  if (!w->keep)
    return taken;
  *error = select_subset(w->ids, taken, w->rules->subset, w->rules->subset_seed, w->keep);
  for (uint32_t i = 0; *error == 0 && i < taken; i++)
    if (w->keep[i])
      members[kept++] = members[i];
  return kept;
}

static uint32_t count_tiers(const struct work *w, struct select_tier *tiers) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < w->count; i++) {
    if (i == 0 || w->order[i] >> 32 != w->order[i - 1] >> 32)
      tiers[count++] = (struct select_tier){0};
    tiers[count - 1].total++;
    tiers[count - 1].healthy +=
        healthy(w, &w->snapshot->endpoints[(uint32_t)w->order[i]]) ? 1u : 0u;
  }
  return count;
}

/* Without priorities: the first level that has a healthy endpoint, else the first. */
static void first_takes_all(struct select_tier *tiers, uint32_t count, double panic) {
  uint32_t first = 0;
  while (first < count && tiers[first].healthy == 0)
    first++;
  first = first < count ? first : 0;
  for (uint32_t i = 0; i < count; i++) {
    tiers[i].load = i == first;
    tiers[i].panics = tiers[i].healthy == 0 || tiers[i].healthy < panic * tiers[i].total;
  }
}

/* That what is healthy has no weight is no reason to pick what is critical: no groups then. */
static int fill_levels(struct work *w, struct select_tier *tiers) {
  if (w->any_healthy && !w->can_be_picked)
    return 0;
  uint32_t count = count_tiers(w, tiers), begin = 0;
  int r = 0;
  if (w->rules->priority)
    select_tier_loads(tiers, count, w->rules->overprovision > 0 ? w->rules->overprovision : 1.4,
                      w->rules->panic);
  else
    first_takes_all(tiers, count, w->rules->panic);
  for (uint32_t i = 0; r == 0 && i < count; begin += tiers[i++].total) {
    if (tiers[i].load <= 0)
      continue;
    uint32_t level = (uint32_t)(w->order[begin] >> 32);
    w->shape->panic = w->shape->panic || (tiers[i].panics && tiers[i].healthy);
    uint32_t members = choose_members(w, w->order + begin, tiers[i].total, &tiers[i], &r);
    if (r == 0)
      r = fill_level(w, w->order + begin, members, level, &tiers[i]);
  }
  return r;
}

int catalog_shape_build(struct catalog_shape *shape, const struct catalog_snapshot *snapshot) {
  const struct select_balancer *balancer = select_by_name(snapshot->balancer);
  if (!balancer)
    return -EINVAL;
  shape->group_count = 0;
  shape->panic = false;
  if (snapshot->count == 0)
    return 0;
  struct work w = {.snapshot = snapshot,
                   .rules = snapshot->rules ? snapshot->rules : &no_rules,
                   .shape = shape,
                   .weightless = balancer->weightless,
                   .order = calloc(snapshot->count, sizeof *w.order)};
  struct select_tier *tiers = malloc(snapshot->count * sizeof *tiers);
  w.ids = w.rules->subset ? malloc(snapshot->count * sizeof *w.ids) : NULL;
  w.keep = w.rules->subset ? malloc(snapshot->count * sizeof *w.keep) : NULL;
  int r = !w.order || !tiers || (w.rules->subset && (!w.ids || !w.keep)) ? -ENOMEM : 0;
  if (r == 0) {
    sort_by_level(&w);
    r = fill_levels(&w, tiers);
  }
  free(w.order);
  free(tiers);
  free(w.ids);
  free(w.keep);
  return r;
}

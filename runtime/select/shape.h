/* shape: the modifiers. Each rewrites what a balancer chooses from when a snapshot is published:
 * panic and priority say which endpoints take part and how much each level gets, subset keeps some
 * of them, zone divides a level by zones, slow start lowers weights. Always in this order. Pure;
 * the agent's control thread. */
#pragma once

#include "catalog/tables.h"
#include "catalog/writer.h"

/* A level of priority, and what Envoy's formulas make of it. */
struct select_tier {
  uint32_t total, healthy; /* endpoints that may ever be picked */
  double load;             /* out: of the picks, 0 to 1 */
  bool panics;             /* out: it uses its critical endpoints too */
};

/* `tiers` in order of priority, each with total > 0. health = min(1, overprovision * healthy /
 * total); a tier takes its health divided by the healths' sum where that is below 1, as far as the
 * tiers before it leave it something. Where the healths do not add up to 1, a tier whose healthy
 * part is below `panic` uses all it has; where none is healthy, the first tier does. Envoy,
 * "Priority levels" and "Panic threshold". */
void select_tier_loads(struct select_tier *tiers, uint32_t count, double overprovision,
                       double panic);

/* Zone-aware shares: `upstream` are the zones' parts of the endpoints, `clients` those of the
 * clients; each adds up to 1. When the own zone has at least the part of its clients it takes all;
 * else upstream / clients of it, and the other zones the rest by what they have over. False: the
 * others have nothing over, do not go by zones. Envoy, "Zone aware routing". */
bool select_zone_shares(const double *upstream, const double *clients, uint32_t count, uint32_t own,
                        double *shares);

/* max(least, (age / window)^(1 / aggression)), 1 from the window's end on; an age below a second
 * counts as one. Envoy, "Slow start mode". */
double select_slow_start(uint64_t age_ns, uint64_t window_ns, double aggression, double least);

/* Keeps those `size` of the entries that have the highest rendezvous weight for `seed`, and sets
 * keep[i] to 0 for the others. An entry that comes or goes changes one place at most. 0, -ENOMEM.
 */
int select_subset(const char *const *ids, uint32_t count, uint32_t size, uint64_t seed, bool *keep);

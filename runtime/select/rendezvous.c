/* Rendezvous: of all endpoints the one with the highest score for the key, -weight / ln(u) with u
 * a hash of both: no table that could move, so a change of one endpoint moves exactly its own keys.
 * Each pick looks at each endpoint: for some dozens. Thaler and Ravishankar, IEEE/ACM Transactions
 * on Networking 6(1), 1998; weights: Schindelhauer and Schomaker, SPAA 2005.
 *
 * A group's table: the hashes of its ids; then, where they differ, its weights as doubles. */
#include "select/group.h"
#include "select/math.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int build(struct catalog_tables *t) {
  int r = select_order_rows(t);
  for (uint32_t g = 0; r == 0 && g < t->group_count; g++) {
    struct catalog_group_tables *group = &t->groups[g];
    const double *weights = t->weights + group->first;
    bool alike = true;
    for (uint32_t i = 1; i < group->count; i++)
      alike = alike && weights[i] == weights[0];
    uint64_t *words = malloc(group->count * sizeof *words * 2);
    if (!words)
      return -ENOMEM;
    for (uint32_t i = 0; i < group->count; i++) {
      const char *id = t->ids[group->first + i];
      words[i] = select_hash(id, strlen(id));
    }
    memcpy(words + group->count, weights, group->count * sizeof *words);
    group->table = words;
    group->table_bytes = group->count * (uint32_t)sizeof *words * (alike ? 1 : 2);
  }
  return r;
}

static uint32_t highest(const uint64_t *hashes, uint32_t count, uint64_t bits) {
  uint32_t best = 0;
  uint64_t most = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint64_t score = select_mix(catalog_load64(&hashes[i]) ^ bits);
    best = score > most ? i : best;
    most = score > most ? score : most;
  }
  return best;
}

/* By -ln(u) / weight, the lowest, with u in (0, 1). */
static uint32_t lowest_time(const uint64_t *hashes, uint32_t count, uint64_t bits) {
  uint32_t best = 0;
  double least = 1e30;
  for (uint32_t i = 0; i < count; i++) {
    union {
      uint64_t word;
      double weight;
    } w = {catalog_load64(&hashes[count + i])};
    uint64_t score = select_mix(catalog_load64(&hashes[i]) ^ bits);
    double u = ((double)(score >> 12) + 0.5) * 0x1p-52;
    if (1 - u >= least * w.weight) /* -ln(u) is at least that: no logarithm for most of them */
      continue;
    double time = -select_ln(u) / w.weight;
    best = time < least ? i : best;
    least = time < least ? time : least;
  }
  return best;
}

static uint32_t pick(struct select_state *state, const struct catalog_view *v,
                     const struct select_ask *ask) {
  uint64_t bits = select_key_bits(state, ask);
  struct select_group g = select_group_of_key(v, bits);
  const uint64_t *hashes = (const uint64_t *)(v->block + g.table);
  if (g.table_length / 8 < g.count)
    return g.first + (uint32_t)((bits >> 32) * g.count >> 32);
  return g.first + (g.table_length / 16 < g.count ? highest(hashes, g.count, bits)
                                                  : lowest_time(hashes, g.count, bits));
}

const struct select_balancer select_rendezvous = {
    .name = "rendezvous", .number = 9, .build = build, .pick = pick, .by_key = true};

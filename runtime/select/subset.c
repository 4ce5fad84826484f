/* Rendezvous: each host ranks all endpoints by a hash of its own and theirs, and keeps the first.
 * Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions
 * on Networking 6(1), 1998. */
#include "select/select.h"
#include "select/shape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct rank {
  uint64_t hash;
  uint32_t index;
  const char *id;
};

static int highest_first(const void *a, const void *b) {
  const struct rank *x = a, *y = b;
  return x->hash != y->hash ? (x->hash < y->hash ? 1 : -1) : strcmp(x->id, y->id);
}

int select_subset(const char *const *ids, uint32_t count, uint32_t size, uint64_t seed,
                  bool *keep) {
  for (uint32_t i = 0; i < count; i++)
    keep[i] = true;
  if (count <= size)
    return 0;
  struct rank *ranks = malloc(count * sizeof *ranks);
  if (!ranks)
    return -ENOMEM;
  for (uint32_t i = 0; i < count; i++)
    ranks[i] = (struct rank){select_mix(select_hash(ids[i], strlen(ids[i])) ^ seed), i, ids[i]};
  qsort(ranks, count, sizeof *ranks, highest_first);
  for (uint32_t i = size; i < count; i++)
    keep[ranks[i].index] = false;
  free(ranks);
  return 0;
}

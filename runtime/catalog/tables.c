/* The tables of the block before, where all that they are made of is the same: a change of an
 * address, a tag or of what is not picked anyway builds none. */
#include "catalog/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void *copy(const struct catalog_block *from, uint32_t at, size_t length) {
  void *bytes = malloc(length ? length : 1);
  return bytes ? memcpy(bytes, (const unsigned char *)from + at, length) : NULL;
}

int tables_copy(struct catalog_tables *t, const struct catalog_block *from) {
  const unsigned char *bytes = (const unsigned char *)from;
  const struct catalog_group *groups = (const struct catalog_group *)(bytes + from->groups);
  t->number = from->balancer;
  t->cycle = from->cycle;
  t->uniform = from->flags & CATALOG_UNIFORM;
  t->slots = from->slots != 0;
  memcpy(t->options, from->options, sizeof t->options);
  memcpy(t->alias, bytes + from->alias, from->pickable * sizeof *t->alias);
  t->order = copy(from, from->order, from->cycle * sizeof *t->order);
  t->top = from->top ? copy(from, from->top, from->group_count * sizeof *t->top) : NULL;
  bool copied = t->order && (t->top || !from->top);
  for (uint32_t g = 0; g < t->group_count; g++) {
    if (!groups[g].table || groups[g].table == from->alias) /* it has none of its own */
      continue;
    t->groups[g].table_bytes = groups[g].table_length;
    t->groups[g].table = copy(from, groups[g].table, groups[g].table_length);
    copied = copied && t->groups[g].table;
  }
  return copied ? 0 : -ENOMEM;
}

/* group: a pick's look at the groups of a block, everything clamped. Any process. */
#pragma once

#include "select/select.h"

/* Rows first to first + count - 1, all of the view, count > 0; a table inside the block. */
struct select_group {
  uint32_t first, count;
  uint32_t table, table_length; /* bytes; length 0 = none */
  float weight;                 /* of its endpoints, whatever slow start makes of it for now */
  float share;                  /* of the keys; of select_group_of_key alone */
};

/* A cell of an alias table of `count` cells by 64 random bits. May be garbage. */
static inline uint32_t select_alias_at(const uint64_t *cells, uint32_t count, uint64_t bits) {
  uint32_t cell = (uint32_t)((bits >> 32) * count >> 32);
  union {
    uint64_t word;
    struct catalog_alias alias;
  } u = {catalog_load64(&cells[cell])};
  return (uint32_t)bits < u.alias.own ? cell : u.alias.other;
}

/* Group `i`. What is damaged becomes all rows that can be picked, without a table. */
static inline struct select_group select_group_at(const struct catalog_view *v, uint32_t i) {
  struct select_group all = {.count = v->pickable};
  if (i >= v->group_count)
    return all;
  const uint64_t *words = (const uint64_t *)&v->groups[i];
  union {
    uint64_t words[4];
    struct catalog_group group;
  } u = {{catalog_load64(words), catalog_load64(words + 1), catalog_load64(words + 2),
          catalog_load64(words + 3)}};
  const struct catalog_group *g = &u.group;
  if (g->count == 0 || g->first > v->count || g->count > v->count - g->first || g->table % 8 ||
      (uint64_t)g->table + g->table_length > v->bytes)
    return all;
  return (struct select_group){.first = g->first,
                               .count = g->count,
                               .table = g->table,
                               .table_length = g->table_length,
                               .weight = g->weight};
}

/* The group of a key, by 64 bits of it: the groups lie side by side, so that a share that grows
 * moves no key but to its group. There are as many as there are levels. */
static inline struct select_group select_group_of_key(const struct catalog_view *v, uint64_t bits) {
  uint32_t i = 0, before = 0, at = (uint32_t)(select_mix(bits) >> 32);
  for (;; i++) {
    bool last = !v->top || i + 1 >= v->group_count;
    uint32_t upto = last ? UINT32_MAX : catalog_load32(&v->groups[i].upto);
    if (last || at <= upto) {
      struct select_group g = select_group_at(v, i);
      g.share = (float)(upto - before) * 0x1p-32F;
      return g;
    }
    before = upto;
  }
}

/* The group of a pick, by 64 random bits of its own. */
static inline struct select_group select_group_choose(const struct catalog_view *v, uint64_t bits) {
  return select_group_at(v, v->top ? select_alias_at(v->top, v->group_count, bits) : 0);
}

/* The one group of a block that has no more, for who draws from it: its table is the block's. */
static inline struct select_group select_group_whole(const struct catalog_view *v) {
  union {
    uint32_t word;
    float weight;
  } u = {v->group_count ? catalog_load32(&v->groups[0].weight) : 0};
  return (struct select_group){.count = v->pickable,
                               .table = (uint32_t)((const unsigned char *)v->alias - v->block),
                               .table_length = v->pickable * 8,
                               .weight = u.weight};
}

/* A row of the group by the group's alias table, or by chance where it has none. May be garbage. */
static inline uint32_t select_group_draw(const struct catalog_view *v, const struct select_group *g,
                                         uint64_t bits) {
  if ((v->flags & CATALOG_UNIFORM) || g->table_length / 8 < g->count)
    return g->first + (uint32_t)((bits >> 32) * g->count >> 32);
  return g->first + select_alias_at((const uint64_t *)(v->block + g->table), g->count, bits);
}

/* Its cell is on its way, for who will draw by these bits. */
static inline void select_group_ask(const struct catalog_view *v, const struct select_group *g,
                                    uint64_t bits) {
  uint32_t cell = (uint32_t)((bits >> 32) * g->count >> 32);
  if (cell < g->table_length / 8)
    __builtin_prefetch(v->block + g->table + (uint64_t)cell * 8);
}

/* Where the load of `row` is, which is less than the view's count. */
static inline struct select_place select_row_find(const struct select_state *state,
                                                  const struct catalog_view *v, uint32_t row) {
  bool listed = v->slots && row < v->pickable;
  return select_load_find(state->load,
                          catalog_load32(listed ? &v->slots[row] : &v->rows[row].slot));
}

/* The same, and it is on its way, with the row: all candidates of a pick are looked for before the
 * first is looked at. */
static inline struct select_place select_row_ask(const struct select_state *state,
                                                 const struct catalog_view *v, uint32_t row) {
  __builtin_prefetch(&v->rows[row]);
  struct select_place place = select_row_find(state, v, row);
  select_load_ask(&place);
  return place;
}

/* What is in flight on it; SELECT_EJECTED. */
static inline uint32_t select_row_active(const struct catalog_view *v, uint32_t row,
                                         const struct select_place *place, uint64_t now_ns) {
  return select_active_of(place, catalog_load32(&v->rows[row].slot_generation), now_ns);
}

/* All that is known of it. All zeroes for a slot that nobody has. */
static inline struct select_sample select_row_load(const struct catalog_view *v, uint32_t row,
                                                   const struct select_place *place,
                                                   uint64_t now_ns) {
  return select_load_of(place, catalog_load32(&v->rows[row].slot_generation), now_ns);
}

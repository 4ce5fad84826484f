/* What the specs of select/ share: snapshots built in private memory, as the agent builds them, and
 * views of them as a client has. */
#pragma once

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "catalog/block.h"
#include "select/select.h"

enum { ENDPOINTS_MAX = 3000 };

static struct catalog_endpoint endpoints[ENDPOINTS_MAX];
static char ids[ENDPOINTS_MAX][16];
static struct block_draft draft;

/* Endpoints number 0 to count - 1: "e-0000" and so on, slots 1 to count, all passing. */
static inline void fill(uint32_t count, double weight) {
  for (uint32_t i = 0; i < count; i++) {
    snprintf(ids[i], sizeof ids[i], "e-%04u", i);
    endpoints[i] = (struct catalog_endpoint){
        .id = ids[i], .address = "10.0.0.1", .slot = i + 1, .slot_generation = 1, .weight = weight};
  }
}

/* The first `count` of them. The view is good until the next. */
static inline struct catalog_view build_with(const char *balancer,
                                             const struct catalog_rules *rules, uint32_t count) {
  struct catalog_snapshot s = {.service = "web",
                               .balancer = balancer,
                               .rules = rules,
                               .endpoints = endpoints,
                               .count = count,
                               .now_ns = 1000000000000};
  assert_int_equal(block_arrange(&draft, &s), 0);
  assert_int_equal(block_build(&draft, &s, NULL), 0);
  const struct catalog_block *b = (const struct catalog_block *)draft.bytes;
  struct catalog_view v = {.block = draft.bytes,
                           .bytes = b->bytes,
                           .rows = (const struct catalog_row *)(draft.bytes + b->rows),
                           .order = (const uint32_t *)(draft.bytes + b->order),
                           .alias = (const uint64_t *)(draft.bytes + b->alias),
                           .groups = (const struct catalog_group *)(draft.bytes + b->groups),
                           .slots = b->slots ? (const uint32_t *)(draft.bytes + b->slots) : NULL,
                           .top = b->top ? (const uint64_t *)(draft.bytes + b->top) : NULL,
                           .count = b->count,
                           .healthy = b->healthy,
                           .pickable = b->pickable,
                           .cycle = b->cycle,
                           .group_count = b->group_count,
                           .balancer = b->balancer,
                           .flags = b->flags};
  memcpy(v.options, b->options, sizeof v.options);
  return v;
}

static inline struct catalog_view build(const char *balancer, uint32_t count) {
  return build_with(balancer, NULL, count);
}

/* The endpoint's number of a row. */
static inline uint32_t number_of(const struct catalog_view *v, uint32_t row) {
  assert_true(row < v->count);
  return v->rows[row].slot - 1;
}

static inline uint32_t pick_number(struct select_state *state, const struct catalog_view *v,
                                   const struct select_ask *ask) {
  state->now_ns = select_now_ns();
  return number_of(v, select_by_number(v->balancer)->pick(state, v, ask));
}

static inline uint32_t pick_key(const struct catalog_view *v, uint64_t key) {
  struct select_state state = {0};
  return pick_number(&state, v, &(struct select_ask){.hash = key, .keyed = true});
}

/* What part of the picks each endpoint has by the alias table, exactly: parts[count]. */
static inline void shares_of(const struct catalog_view *v, uint32_t count, double *parts) {
  memset(parts, 0, count * sizeof *parts);
  for (uint32_t i = 0; i < v->pickable; i++) {
    struct catalog_alias cell = ((const struct catalog_alias *)v->alias)[i];
    double own = cell.other == i ? 1 : cell.own * 0x1p-32;
    parts[number_of(v, i)] += own / v->pickable;
    parts[number_of(v, cell.other)] += (1 - own) / v->pickable;
  }
}

static inline int end_draft(void **state) {
  block_end(&draft);
  return 0;
}

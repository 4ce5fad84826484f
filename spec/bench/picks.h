/* What the benches of the balancers share: a catalog in which each has a service of some endpoints,
 * and picks from it. */
#pragma once

#include "bench/measure.h"
#include "catalog/writer.h"
#include "client/perigee.h"
#include "select/select.h"

/* Weights differ, so that the weighted ones have something to do; the weightless do not mind. */
static inline void publish(struct catalog_writer *w, int count) {
  struct catalog_endpoint *e = calloc((size_t)count, sizeof *e);
  char(*texts)[2][32] = calloc((size_t)count, sizeof *texts), name[64];
  if (!e || !texts)
    must(-ENOMEM, "endpoints");
  for (int i = 0; i < count; i++) {
    snprintf(texts[i][0], 32, "10.%d.%d.%d", i >> 16 & 255, i >> 8 & 255, i & 255);
    snprintf(texts[i][1], 32, "web-%d", i);
    e[i] = (struct catalog_endpoint){
        .address = texts[i][0], .id = texts[i][1], .port = 80, .weight = 1 + i % 4};
    must(catalog_slot_take(w, &e[i].slot, &e[i].slot_generation), "slot");
  }
  for (unsigned b = 0; select_at(b); b++) {
    snprintf(name, sizeof name, "%s-%d", select_at(b)->name, count);
    struct catalog_snapshot s = {.service = name,
                                 .balancer = select_at(b)->name,
                                 .endpoints = e,
                                 .count = (size_t)count,
                                 .moves_version = 1};
    must(catalog_publish(w, &s, NULL), name);
  }
  free(e);
  free(texts);
}

/* What goes by load is told how each call went. */
static inline void pick_many(struct perigee_service *s, const struct select_balancer *b,
                             uint64_t picks) {
  struct perigee_endpoint e;
  uint64_t sum = 0, key = 0;
  struct perigee_pick_options options = {
      .size = sizeof options, .key = (const char *)&key, .key_length = sizeof key};
  for (uint64_t i = 0; i < picks; i++) {
    key = i * 0x9e3779b97f4a7c15u;
    int r = perigee_pick(s, b->by_key ? &options : NULL, &e);
    while (r == -EAGAIN) /* the writer was faster, three times over */
      r = perigee_pick(s, b->by_key ? &options : NULL, &e);
    must(r, "a pick");
    if (b->by_load)
      perigee_done(s, &e, PERIGEE_SUCCESS, 1000000 + (i & 1023));
    sum += e.port + e.slot + (unsigned char)e.address[3];
  }
  volatile uint64_t sink = sum;
  (void)sink;
}

/* What the specs of the client share: an agent's writer and a client on one run directory, and
 * services that a handle is open on. */
#pragma once

#include "catalog/fixture.h"
#include "client/handle.h"

static struct catalog_writer *w;
static struct perigee *p;

static inline int set_up(void **state) {
  make_run_dir(state);
  if (catalog_writer_open(run_dir, &w, NULL) < 0)
    return -1;
  return perigee_open(&p, run_dir);
}

static inline int tear_down(void **state) {
  perigee_close(p);
  catalog_writer_close(w);
  return remove_run_dir(state);
}

static inline uint64_t publish(const char *service, const char *balancer,
                               const struct catalog_endpoint *e, size_t count) {
  uint64_t version;
  struct catalog_snapshot s = {
      .service = service, .balancer = balancer, .endpoints = e, .count = count, .moves_version = 1};
  assert_int_equal(catalog_publish(w, &s, &version), 0);
  return version;
}

static inline struct perigee_service *open_service(const char *name) {
  struct perigee_service *s;
  assert_int_equal(perigee_service_open(p, name, &s), 0);
  return s;
}

/* What its service has in flight, of this process. */
static inline struct select_flight flight_of(const struct perigee_service *s) {
  return select_tally_flight(s->load.tally, select_now_ns());
}

/* A service of `count` endpoints with slots of their own and the ports 1, 2, ... */
static inline struct perigee_service *service(const char *name, const char *balancer,
                                              unsigned count) {
  static struct catalog_endpoint e[64];
  static char ids[64][16];
  for (unsigned i = 0; i < count; i++) {
    snprintf(ids[i], sizeof ids[i], "e%u", i);
    e[i] = (struct catalog_endpoint){
        .id = ids[i], .address = "10.0.0.1", .port = (uint16_t)(1 + i), .weight = 1};
    assert_int_equal(catalog_slot_take(w, &e[i].slot, &e[i].slot_generation), 0);
  }
  publish(name, balancer, e, count);
  return open_service(name);
}

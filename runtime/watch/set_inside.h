/* set_inside: what set.c (changes) and flush.c (publishing) share. Not for others. */
#pragma once

#include "catalog/writer.h"
#include "watch/rows.h"
#include "watch/table.h"

/* What of a set was counted into the stats at its last publishing. */
struct set_tally {
  uint64_t passing, warning, critical;
};

struct set {
  struct sets *all;
  struct set *next_dirty;
  struct rows rows;
  struct value *balancer; /* a reference; NULL = default */
  const char *algorithm;  /* the balancer's, NULL = default */
  struct set_tally tally;
  uint64_t version;
  int64_t stale_since_ns;
  int64_t retry_ns; /* after a failed publishing: not before; else 0 */
  uint32_t opens;
  bool dirty, moved, stale, in_catalog;
  char service[];
};

struct sets {
  struct catalog_writer *writer;
  sets_published_fn published;
  void *arg;
  struct table table;
  struct set *dirty;   /* a list, in no order */
  struct set *waiting; /* those of it that failed, until their second is over */
  struct sets_stats stats;
  /* Scratch of one publishing, kept for the next. */
  struct catalog_endpoint *endpoints;
  struct catalog_pair *pairs;
  struct catalog_port *ports;
  size_t endpoints_room, pairs_room, ports_room;
};

void set_free(struct set *s);

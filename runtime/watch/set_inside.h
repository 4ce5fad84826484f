/* set_inside: what set.c (changes) and flush.c (publishing) share. Not for others. */
#pragma once

#include "catalog/writer.h"
#include "watch/outlier.h"
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
  struct value *balancer;       /* a reference; NULL = default */
  const char *algorithm;        /* the balancer's, NULL = default */
  struct outlier_rules outlier; /* its stage's; interval_ns 0 = it has none */
  struct set_tally tally;
  uint64_t version;
  int64_t stale_since_ns;
  int64_t due_ns; /* while it waits: not before */
  uint32_t opens;
  bool dirty, moved, stale, in_catalog, failing;
  char service[];
};

/* Of one flush, for one line of the log. */
struct set_turn {
  uint64_t services, endpoints;
  char example[256]; /* one of the services */
};

struct sets {
  struct catalog_writer *writer;
  sets_published_fn published;
  void *arg;
  struct table table;
  struct set *dirty;   /* a list, in no order */
  struct set *waiting; /* dirty, too, but not before their `due_ns` */
  struct sets_stats stats;
  struct set_turn opened, shut; /* began, and ceased, to fail open */
  /* Scratch of one publishing, kept for the next. */
  struct catalog_endpoint *endpoints;
  struct catalog_pair *pairs;
  struct catalog_port *ports;
  size_t endpoints_room, pairs_room, ports_room;
};

void set_free(struct set *s);

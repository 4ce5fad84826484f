/* view_inside: the view as view.c publishes and view_read.c reads it. Not for others. */
#pragma once

#include "serve/view/view.h"
#include "serve/view/view_shard.h"

#include <stdatomic.h>

enum { WORKERS_MAX = 64 };

struct view_root {
  struct retired retired;
  uint64_t number; /* of its commit */
  uint64_t index, listed, begun, ended;
  struct shard_map services, registrations, marks;
};

/* Values of the services map; of the registrations map. */
struct service_box {
  struct retired retired;
  struct use *use;
  struct view_service service;
};
/* Of all the boxes that a service has had, until the last of them is reclaimed. */
struct use {
  unsigned boxes; /* the control thread's */
  _Atomic int64_t used_ns;
};
struct state_box {
  struct retired retired;
  struct registration_state *state; /* a reference */
};
/* Of the marks map: a service's index, which moves more often than the service does. */
struct mark_box {
  struct retired retired;
  uint64_t index;
  char service[];
};

struct node_box {
  struct retired retired;
  struct view_node node;
};

struct reader {
  _Alignas(64) _Atomic uint64_t entered; /* the epoch it entered at; 0: quiescent */
};

struct view {
  _Atomic(struct node_box *) node;
  unsigned workers;
  _Atomic(struct view_root *) root;
  struct view_root *pending;   /* NULL: nothing was published since the last commit */
  struct retired_list leaving; /* replaced in `pending`; still in `root` */
  struct retired_list resting; /* in no tree; a worker may still be reading. By epoch */
  uint64_t resting_count;
  _Atomic uint64_t epoch; /* moves after each swap of the root; at least 1 */
  void (*shown)(void *arg);
  void *shown_arg;
  struct reader readers[WORKERS_MAX];
};

/* view_read.c: the service's index as it was last moved; 0: it is not known. */
uint64_t mark_of(const struct view_root *root, const char *service);

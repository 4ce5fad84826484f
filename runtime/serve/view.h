/* view: what the worker threads answer from besides the catalog: an immutable tree that the control
 * thread publishes by one atomic pointer. A worker enters before it reads and leaves after; what it
 * read is valid in between (and longer for what it takes a reference of). What is replaced is
 * reclaimed when every worker has passed a quiescent point. */
#pragma once

#include "registry/registration.h"
#include "watch/set.h"

struct view;

/* One service, immutable, counted by the view. */
struct view_service {
  const char *name;
  uint64_t version; /* of the catalog's snapshot; X-Consul-Index */
  bool stale;
  uint32_t count;
  struct view_row {
    struct instance *instance;
    enum status status;
    struct registration_state *state; /* NULL when it is not registered here */
  } *rows; /* by id */
};

struct view_node { /* this agent's facts; set once */
  char name[256], id[37], address[64], datacenter[64], zone[64];
};

int view_new(const struct view_node *node, unsigned workers, struct view **out);
void view_free(struct view *v);

/* Control thread. */
int view_publish_service(struct view *v, const struct set_published *what,
                         const struct registration_state *(*state_of)(void *arg, const char *id),
                         void *arg);
int view_publish_registration(struct view *v, const struct registration_state *s, bool gone);
void view_reclaim(struct view *v);

/* Worker threads. `worker` is its number. */
struct view_root;
const struct view_root *view_enter(struct view *v, unsigned worker);
void view_leave(struct view *v, unsigned worker);
const struct view_node *view_node(const struct view *v);
uint64_t view_index(const struct view_root *r); /* the newest version in it */
const struct view_service *view_service(const struct view_root *r, const char *name);
int view_each_service(const struct view_root *r,
                      int (*each)(void *arg, const struct view_service *s), void *arg);
const struct registration_state *view_registration(const struct view_root *r, const char *id);
int view_each_registration(const struct view_root *r,
                           int (*each)(void *arg, const struct registration_state *s), void *arg);
const struct registration_state *view_check(const struct view_root *r, const char *check_id,
                                            uint32_t *i);

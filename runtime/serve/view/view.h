/* view: what the worker threads answer from besides the catalog: an immutable tree that the control
 * thread publishes by one atomic pointer. A worker enters before it reads and leaves after; what it
 * read is valid in between (and longer for what it takes a reference of). What is replaced is
 * reclaimed when every worker has passed a quiescent point.
 *
 * The control thread publishes into a pending tree, which `view_commit` shows to the workers, once
 * a turn of the loop however much was published: each of the 256 shards is copied at most once a
 * commit, and nothing else is. The server commits by itself (see server.h).
 *
 * Who waits for news (parking.h) compares indexes, which only grow: each service has one of its
 * own, and so have the list of all and the whole. */
#pragma once

#include "registry/registration.h"
#include "watch/set.h"

#include <stdint.h>

struct view;

/* One service, immutable. A row has no registration: view_registration finds it by the id, so that
 * a check's new output republishes one registration and no service. */
struct view_service {
  const char *name;
  uint64_t version; /* of the catalog's snapshot */
  bool stale;
  int64_t stale_since_ns;      /* clock_now_ns; 0 when not stale */
  const char *via;             /* as set_via says; NULL: none */
  const struct plan_row *plan; /* one a row: what it counts for; NULL: what is registered */
  _Atomic int64_t *used_ns;    /* view_service_use; all versions of the service have the same */
  uint32_t count;
  struct view_row {
    struct instance *instance;
    enum status status;
  } rows[]; /* by id */
};

struct view_node { /* this agent's facts */
  char name[256], id[37], address[64], datacenter[64], zone[64];
  bool resolves; /* a service that nobody knows here may be watched when it is asked for */
};

/* `workers` is how many worker numbers there are, 1 to 64. 0 or negative errno. */
int view_new(const struct view_node *node, unsigned workers, struct view **out);
void view_free(struct view *v); /* after the workers ended */
/* Before anything is published: indexes go on from here, where an agent before this one was. */
void view_begin(struct view *v, uint64_t index);
/* `shown` is called on the control thread after each commit that changed something. NULL: no more.
 */
void view_follow(struct view *v, void (*shown)(void *arg), void *arg);

/* Control thread. Both copy what they need and take references. 0 or -ENOMEM: then the last
 * committed state of that service or registration stays. */
int view_publish_service(struct view *v, const struct set_published *what);
/* `gone`: its end; otherwise it is new or replaces the one with the same instance id. */
int view_publish_registration(struct view *v, const struct registration_state *s, bool gone);
int view_publish_node(struct view *v, const struct view_node *node); /* other facts than before */
/* Shows what was published since, and reclaims what no worker can still be reading. Cheap when
 * there is nothing. */
void view_commit(struct view *v);
uint64_t view_resting(const struct view *v); /* replaced, and not yet reclaimed */
/* Until when somebody has used the service (view_service_use); 0: nobody has. */
int64_t view_used(const struct view *v, const char *service);

/* Worker threads. `worker` is its number. Not to be nested. */
struct view_root;
const struct view_root *view_enter(struct view *v, unsigned worker);
void view_leave(struct view *v, unsigned worker);
/* Valid inside; to the control thread until it publishes another. */
const struct view_node *view_node(const struct view *v);
uint64_t view_index(const struct view_root *r); /* the newest version in it, at least 1 */
/* Of the list of all services with their tags: when an instance came or went, or got other tags. */
uint64_t view_list_index(const struct view_root *r);
/* Of what can be said about this service: its version, or what its registrations' checks said. Of
 * one that is not there: when the last one ended, or this agent began. At least 1. */
uint64_t view_service_index(const struct view_root *r, const char *service);
uint64_t view_ended(const struct view_root *r);  /* when the last service ended; 0: none has */
uint64_t view_number(const struct view_root *r); /* of its commit */
/* The number of the commit that changed, last, what is said of any service in this shard
 * (view_shard.h): who waits for a few services looks at no others. */
uint64_t view_shard_shown(const struct view_root *r, unsigned shard);
/* Whether a newer one than this has been shown meanwhile. */
bool view_is_old(struct view *v, const struct view_root *r);
uint32_t view_service_count(const struct view_root *r);
uint32_t view_registration_count(const struct view_root *r);
const struct view_service *view_service(const struct view_root *r, const char *name);
/* Somebody asks for the service, or waits for news of it until then (clock_now_ns). */
void view_service_use(const struct view_service *s, int64_t until_ns);
/* In no order; both stop when `each` returns non-zero, and return what it returned. */
int view_each_service(const struct view_root *r,
                      int (*each)(void *arg, const struct view_service *s), void *arg);
const struct registration_state *view_registration(const struct view_root *r, const char *id);
int view_each_registration(const struct view_root *r,
                           int (*each)(void *arg, const struct registration_state *s), void *arg);

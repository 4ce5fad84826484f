/* The library's handles, for the files that implement perigee.h. */
#pragma once

#include "catalog/reader.h"
#include "client/chooser.h"
#include "client/lanes.h"
#include "client/perigee.h"
#include "select/select.h"

#include <pthread.h>

#define CLIENT_NEVER 1ull /* a `current` word that no file has: granule 1 is a map */

/* A mapped file, shared by the handles that use it; unmapped when the last one has let go. */
struct mapping {
  struct catalog_map map;
  uint32_t references; /* under the lock of its perigee */
};

/* One page of its own that a fork empties in the child (MADV_WIPEONFORK). The lock lives here
 * because all zeroes is an unlocked one: a lock that another thread held at the fork would stay
 * held in the child for ever. */
struct fork_page {
  _Atomic uint32_t mark; /* the perigee's `forks`; 0: a child that has not been noticed yet */
  pthread_mutex_t lock;
};

/* What the handles of a service count together, while there are any: one for each name. */
struct tally {
  struct select_tally counts;
  struct tally *next;
  uint32_t handles;
  char name[CATALOG_NAME_MAX + 1];
};

struct perigee {
  struct fork_page *page;
  uint32_t forks; /* that were noticed, and 1; under the lock */
  struct mapping *mapping;
  struct lanes lanes;    /* under the lock */
  struct tally *tallies; /* under the lock */
  int64_t looked_ns;     /* when a newer file was last looked for in vain; under the lock */
  char path[];           /* of the catalog's file */
};

struct perigee_service {
  /* What a pick reads. */
  const struct catalog_entry *entry; /* of the mapping; &client_absent when it has none */
  uint64_t current;                  /* that `view` was made from; CLIENT_NEVER = none */
  const _Atomic uint32_t *fork_mark;
  _Atomic uint32_t forks; /* the mark when the state was seeded: another one is another process's */
  uint32_t (*pick)(struct select_state *state, const struct catalog_view *v,
                   const struct select_ask *ask);
  bool walks;      /* the balancer's pick is select_walk */
  bool by_load;    /* the balancer wants to know what is in flight: picks are counted. Without a
                      view, it is not known yet */
  bool by_latency; /* and how long they take: reports are timed */
  struct select_state state;
  struct catalog_view view;
  /* What a report reads. */
  struct feedback_lane *lane;             /* NULL: none yet */
  _Atomic(struct feedback_lane *) shared; /* NULL: nor a page */
  _Atomic(const void *) thread;           /* that picks: __builtin_thread_pointer */
  struct select_load load;
  uint64_t heard_ns;           /* when the agent's heart was last listened to */
  struct tally *tally;         /* a reference */
  struct feedback_cell *total; /* the lane's in the tally; NULL: no lane */
  _Atomic bool strays;         /* there are reports from other threads */
  _Atomic uint64_t told_ns;    /* when one of them last told the agent */
  uint32_t lane_number;
  uint32_t quiet; /* picks and reports since the agent last seemed to read */
  /* The rest. */
  chooser_fn chooser; /* NULL: the balancer's own pick */
  struct perigee *perigee;
  struct mapping *mapping; /* a reference */
  uint32_t directory_word; /* when the name was last looked up in vain */
  int64_t wished_ns;       /* when the agent was last told that it is not there */
  uint32_t name_length;
  char name[CATALOG_NAME_MAX + 1];
};

extern const struct catalog_entry client_absent; /* withdrawn for ever */

/* A perigee on a file that is mapped already; for a spec that must have reader and writer on one
 * mapping. Takes `map` over. */
int client_open_map(struct perigee **p, struct catalog_map map, const char *path);

/* Whether the handle is still as it was in the parent: its lane is not mapped here. Any thread. */
static inline bool client_forked(const struct perigee_service *s) {
  return atomic_load_explicit(s->fork_mark, memory_order_relaxed) !=
         atomic_load_explicit(&s->forks, memory_order_relaxed);
}

/* Marks the page in a child, once; what that means for a handle is client_find's to do. */
void client_notice_fork(struct perigee *p);
/* The newest file's mapping, with a reference: maps the path again when the file of `old` (may be
 * NULL) was retired or outgrew its mapping, or when `look` asks to compare it with the path. */
struct mapping *client_mapping(struct perigee *p, const struct mapping *old, bool look);
void client_mapping_release(struct perigee *p, struct mapping *m);

/* Brings the handle's view up to date. 0, -ENOENT, -EAGAIN, -EPROTO. */
int client_refresh(struct perigee_service *s);
/* Compares the file with the path, which is a system call, and moves on to a newer one. */
void client_look(struct perigee_service *s);
/* The entry, found if it is there; its `current` may be anything. */
void client_find(struct perigee_service *s);

/* Counts a pick of the time in `s->state`, and gives it the ticket that takes it back. Never fails:
 * without a page, or a lane, nothing is counted. The handle's thread. */
void client_track(struct perigee_service *s, struct perigee_endpoint *e, bool retry);
/* -EDQUOT: the host's retries of this service are as many as they may be. */
int client_may_retry(struct perigee_service *s);
/* Whether the host's sums mean anything: the agent that makes them must be alive. */
void client_hear(struct perigee_service *s, uint64_t now_ns);
/* The tally of a service, with a reference; NULL: no memory. */
struct tally *tally_open(struct perigee *p, const char *name);
void tally_close(struct perigee *p, struct tally *t);
/* In a child: what is in flight is the parent's. Under the lock. */
void tallies_forget(struct tally *first);
/* The handle has no lane (any more): at the beginning, and in a child. */
void client_lane_none(struct perigee_service *s);
/* Of a handle with a lane that is its alone: what is in flight on the slot will not be reported. */
void report_forget(struct perigee_service *s, uint32_t slot, uint32_t generation);
/* The same: what is in flight on the slot goes over to the shared lane. */
void report_share(struct perigee_service *s, uint32_t slot, uint32_t generation);
/* And both for all slots together. */
void report_forget_total(struct perigee_service *s);
void report_share_total(struct perigee_service *s);

int64_t client_now_ns(void);

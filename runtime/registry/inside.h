/* inside: what the files of the embedded registry share. Not for others.
 *
 *   embedded.c   its making and end, the timer, what one may ask of it
 *   request.c    changes on their way through the store
 *   entry.c      a registration that takes effect, and its end
 *   check.c      the statuses of checks
 *   restore.c    what a start brings: the store's and the configuration's */
#pragma once

#include "base/fault.h"
#include "base/alarms.h"
#include "registry/flap.h"
#include "registry/embedded.h"
#include "registry/handles.h"
#include "registry/owners.h"
#include "watch/table.h"

/* A check of a registration that is held. */
struct check {
  struct entry *entry;
  const struct check_definition *definition; /* of the entry's registration */
  uint32_t i;                                /* its place there */
  uint32_t streak;                           /* results in a row that speak against the status */
  bool heard;                                /* there was a result: the first one decided */
  struct flap flap;
  uint64_t handle;   /* somebody runs it; 0: nobody */
  struct alarm ttl;  /* unheard of for too long */
  struct alarm reap; /* critical for too long */
};

/* What a registration needs while it is held; replaced whole when it is replaced. One allocation.
 */
struct holding {
  struct entry *entry;
  struct owner_tie tie;
  uint32_t count;
  struct check checks[];
};

/* An instance id that is registered, or is about to be. */
struct entry {
  struct embedded *all;
  struct registration_state *state; /* NULL: not (yet, or any more) registered */
  struct holding *holding;          /* with `state` */
  struct alarm lease;               /* set while there is one */
  bool overdue;            /* it ran out while a change was pending, which may yet save it */
  uint32_t pending;        /* requests on their way to the disk */
  int64_t newest_lease_ms; /* while pending: of the last registration asked for, -1: deregistered */
  char id[];
};

/* On the disk: when a lease ends, by both clocks. The wall clock may be set; the other one means
 * nothing after a boot. */
struct deadline_record {
  int64_t wall_us, now_ns;
};

/* A change on its way through the store and back. */
struct request {
  struct request *next, **link; /* of `all->requests` */
  struct request *after;        /* of `all->gathered` */
  struct embedded *all;         /* NULL: the registry has ended, it only frees itself */
  struct entry *entry;
  enum { REGISTER, DEREGISTER, RENEW } kind;
  struct registration *registration; /* REGISTER */
  int64_t deadline_ns;               /* 0: no lease */
  struct deadline_record deadline;
  bool gathered; /* a renewal that is not with the store yet */
  embedded_done done;
  void *arg;
};

/* An answer that needs no disk, told in the next turn. */
struct answer {
  struct answer *next;
  embedded_done done;
  void *arg;
  struct fault fault;
};

struct embedded {
  uv_timer_t timer;
  int64_t timer_due_ns; /* INT64_MAX: not armed */
  struct store *store;
  struct embedded_events events;
  void *arg;
  struct owners *owners;
  struct alarms alarms;
  struct alarm window;          /* the renewals that gather go to the store */
  struct table entries, checks; /* by instance id; by check id */
  struct handles handles;
  struct request *requests;                  /* all */
  struct request *gathered, **gathered_last; /* renewals that wait for company, oldest first */
  struct answer *answers, **answers_last;
  uint64_t index; /* create and modify indexes: of the wall clock's microseconds, ever rising */
  struct embedded_stats stats;
  bool leaving;
};

/* embedded.c */
void schedule(struct embedded *e); /* after alarms or answers have changed */

/* request.c */
int answer_later(struct embedded *e, embedded_done done, void *arg, const struct fault *f);
void renewals_send(struct embedded *e);
void requests_abandon(struct embedded *e);
void record_delete(struct embedded *e, const char *id); /* without waiting for the disk */

/* entry.c */
struct entry *entry_find(const struct embedded *e, const char *id);
struct entry *entry_get(struct embedded *e, const char *id); /* made when new; NULL: no memory */
void entry_drop(struct entry *en); /* frees it when nothing needs it any more */
/* The registration takes effect. 0, -EEXIST, -ESRCH, -ENOMEM, ...: nothing has changed, `f` says.
 */
int entry_hold(struct entry *en, const struct registration *r, bool restored, struct fault *f);
void entry_change_state(struct entry *en, struct registration_state *state); /* takes it over */
void entry_lease(struct entry *en, int64_t deadline_ns);                     /* 0: none */
/* It ends: everyone is told, its record stays. The entry is gone unless requests are pending. */
void entry_end(struct entry *en);
void entry_expire_overdue(struct entry *en); /* when nothing is pending any more */
/* 0, or -EEXIST: another instance has a check that `r` has. */
int checks_conflict(const struct embedded *e, const struct registration *r, struct fault *f);
void holding_free(struct holding *h);

/* check.c */
/* `goes_on`: the same check of the same instance as `before`, which hands everything over. */
void check_begin(struct check *c, struct check *before, bool goes_on);
void check_end(struct check *c);
void check_watch(struct check *c); /* sets and clears its alarms by its status */
int check_state_set(struct check *c, enum status status, const char *output); /* or -ENOMEM */

/* desired: what should be registered in one registry, and what is known of it there. An entry is
 * one instance, by its key. It knows what is wanted and which lease the registry gave; whether
 * the two agree is the reconciler's to see to. Leases are remembered in the store, so that the next
 * agent takes them up. Control thread only. */
#pragma once

#include "base/alarms.h"
#include "watch/table.h"
#include "watch/instance.h"

struct store;
struct value;
struct reconciler;

enum operation { OPERATION_NONE, OPERATION_REGISTER, OPERATION_RENEW, OPERATION_DEREGISTER };

struct desired_entry {
  struct reconciler *owner;
  struct instance *instance; /* a reference; NULL: only its lease is known */
  enum status status;
  bool wanted;
  bool unproven;       /* no check has said anything yet: not registered before that */
  struct value *lease; /* what the registry returned, plain data; NULL: none */
  double lease_ttl;    /* seconds, as it was asked for */
  uint64_t digest;     /* of what is wanted */
  uint64_t held;       /* of what the registry has; 0: unknown, or lost */
  uint64_t asked;      /* of what was sent in the operation that runs */
  enum operation busy;
  unsigned failures;  /* in a row */
  bool refused;       /* once since the last success */
  char *taken;        /* who has it in its place, in the registry's words; NULL: nobody else */
  int64_t doubted_ns; /* clock_now_ns; somebody may have changed it there */
  struct alarm due;   /* the next look at it; while it is busy: it hangs from then on */
  struct desired_entry *next_ready;
  bool ready;    /* in the queue of those that are due */
  bool hangs;    /* its operation has run for long */
  bool listed;   /* by the audit that runs, or not its to judge */
  bool attended; /* somebody watches whether it is changed there */
  char key[];    /* desired_key */
};

struct desired {
  struct table table;
  struct store *store;
  char *registry;
};

/* SERVICE/ID. A "/" in the service is %2F and a "%" is %25: no two instances have one key. Returns
 * `key`. */
enum { DESIRED_KEY_MAX = 3 * 255 + 1 + 255 + 1 };
const char *desired_key(char key[DESIRED_KEY_MAX], const char *service, const char *id);
/* The service of a key; returns the id, in the key. */
const char *desired_key_parse(const char *key, char service[256]);

/* 0 or -ENOMEM. `store` outlives it. */
int desired_init(struct desired *d, const char *registry, struct store *store);
void desired_clear(struct desired *d); /* the entries' alarms are the owner's to clear first */

struct desired_entry *desired_find(const struct desired *d, const char *service, const char *id);
struct desired_entry *desired_get(struct desired *d, const char *service, const char *id);
/* Takes the facts over; `heard`: its checks have said something (without checks: always). Before
 * that, what the registry has keeps its status. False: nothing has changed, also for want of
 * memory. */
bool desired_set(struct desired_entry *e, const struct instance *in, enum status status,
                 bool heard);
void desired_forget(struct desired *d, struct desired_entry *e); /* it stays in the store */
void desired_remove(struct desired *d, struct desired_entry *e); /* also from the store */

/* What the registry gave. Takes `lease` over. */
void desired_hold(struct desired *d, struct desired_entry *e, struct value *lease, double ttl);
/* Reads back what desired_hold stored, as entries that nobody wants yet. At start, before the first
 * change. 0 or negative errno. */
int desired_recall(struct desired *d);
/* The registries of which leases are remembered: `each` once for each lease. Forgets those of a
 * registry for which it returns false. At start, before any change. 0 or negative errno. */
int desired_recall_registries(struct store *store, bool (*each)(void *arg, const char *registry),
                              void *arg);

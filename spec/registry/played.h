/* A registry that the test plays, for reconcilers: a map from keys to leases, which may fail, lose
 * things and be wiped. Time is the test's own. */
#pragma once

#include "registry/fixture.h"

#include "base/value.h"
#include "registry/reconciler.h"

#include <errno.h>

enum { PLACES = 64, TTL = 10 };

/* One registered entry of the played registry. */
struct place {
  char key[600];
  int lease;
  int value; /* not 0: somebody else wrote it */
};

static struct {
  uv_loop_t loop;
  char dir[64];
  struct store *store;
  struct reconciler *reconciler;
  struct place places[PLACES];
  int leases, operations, most_at_once;
  int status;        /* what every operation ends with, */
  const char *only;  /* or those of this key alone */
  const char *hangs; /* operations on keys that begin so are not answered */
  bool lists;
  struct {
    struct desired_entry *entry;
    enum operation op;
    int lease; /* 0: a new one is asked for */
    double ttl;
  } running[PLACES];
  int running_count;
  bool listing, stopped;
  int refused;   /* operations that ended with `status` */
  int to_attend; /* how often it was told that something is not attended */
  int attended, gone;
} t;

static inline int do_operate(void *arg, struct desired_entry *e, enum operation op,
                             const struct value *lease, double ttl) {
  t.running[t.running_count].entry = e;
  t.running[t.running_count].op = op;
  t.running[t.running_count].lease = (int)value_as_number(value_get(lease, "id"), 0);
  t.running[t.running_count].ttl = ttl;
  t.running_count++;
  t.operations++;
  if (t.running_count > t.most_at_once)
    t.most_at_once = t.running_count;
  return 0;
}

static inline int do_list(void *arg) {
  t.listing = true;
  return 0;
}

static inline void do_attend(void *arg) {
  t.to_attend++;
}

static inline void do_gone(void *arg, const struct desired_entry *e) {
  t.gone++;
}

static const struct reconciler_registry played = {
    .operate = do_operate, .list = do_list, .attend = do_attend, .gone = do_gone};

static inline void count_attended(void *arg, const struct desired_entry *e) {
  t.attended++;
}

static inline void attend(void) {
  t.attended = 0;
  reconciler_attend_all(t.reconciler, count_attended, NULL);
}

static inline struct place *place_of(const char *key) {
  for (int i = 0; i < PLACES; i++)
    if (strcmp(t.places[i].key, key) == 0)
      return &t.places[i];
  return NULL;
}

static inline struct value *lease_value(int id, int value) {
  struct value *lease = value_table();
  value_set(lease, "id", value_number(id));
  value_set(lease, "ttl", value_number(TTL));
  value_set(lease, "value", value_number(value));
  return lease;
}

static inline void answer_one(struct desired_entry *e, enum operation op, int lease) {
  struct place *at = place_of(e->key);
  if (t.status != 0 && (!t.only || strcmp(t.only, e->key) == 0)) {
    t.refused++;
    reconciler_done(t.reconciler, e, t.status, "played", NULL, 0);
  } else if (op == OPERATION_REGISTER) {
    if (!at)
      at = place_of("");
    snprintf(at->key, sizeof at->key, "%s", e->key);
    at->lease = lease && at->lease == lease ? lease : ++t.leases;
    at->value = 0;
    reconciler_done(t.reconciler, e, 0, NULL, lease_value(at->lease, 0), TTL);
  } else if (op == OPERATION_RENEW) {
    reconciler_done(t.reconciler, e, 0, NULL, NULL, at && at->lease == lease ? TTL : 0);
  } else {
    if (at && at->lease == lease)
      *at = (struct place){0};
    reconciler_done(t.reconciler, e, 0, NULL, NULL, 0);
  }
}

static inline void answer_list(void) {
  struct value *list = value_table();
  t.listing = false;
  for (int i = 0; i < PLACES; i++) {
    char *slash = strchr(t.places[i].key, '/');
    if (!slash)
      continue;
    struct value *item = value_table();
    value_set(item, "service", value_text(t.places[i].key, (size_t)(slash - t.places[i].key)));
    value_set(item, "id", value_text(slash + 1, strlen(slash + 1)));
    value_set(item, "lease", lease_value(t.places[i].lease, t.places[i].value));
    value_append(list, item);
  }
  reconciler_listed(t.reconciler, !t.lists ? -ENOTSUP : t.only ? 0 : t.status, "played", list);
  value_unref(list);
}

static inline bool hangs(int i) {
  return t.hangs && strncmp(t.running[i].entry->key, t.hangs, strlen(t.hangs)) == 0;
}

/* The last of those that run and do not hang; -1: there is none. */
static inline int last_running(void) {
  int i = t.running_count - 1;
  while (i >= 0 && hangs(i))
    i--;
  return i;
}

static inline void answer_all(void) {
  for (int i = last_running(); i >= 0; i = last_running()) {
    struct desired_entry *e = t.running[i].entry;
    enum operation op = t.running[i].op;
    int lease = t.running[i].lease;
    t.running[i] = t.running[--t.running_count];
    answer_one(e, op, lease);
  }
}

/* Until nothing runs: what is due is begun, what runs is answered. */
static inline void settle(void) {
  reconciler_tick(t.reconciler);
  while (last_running() >= 0 || t.listing) {
    if (t.listing)
      answer_list();
    answer_all();
    reconciler_tick(t.reconciler);
  }
}

static inline void pass(double seconds) {
  for (double s = 0; s < seconds; s += 0.25) {
    advance(second / 4);
    settle();
  }
}

static inline void want(const char *service, const char *id, enum status status) {
  struct instance *in = instance_new(&(struct instance_draft){
      .id = id, .service = service, .address = "10.0.0.1", .port = 80, .weight = 1});
  reconciler_want(t.reconciler, in, status, true);
  instance_unref(in);
}

static inline struct reconciler_stats stats(void) {
  struct reconciler_stats s;
  reconciler_stats(t.reconciler, &s);
  return s;
}

static inline void begin(void) {
  t.reconciler = reconciler_new(&t.loop, "etcd", TTL, t.store, &played, NULL);
  assert_non_null(t.reconciler);
}

static inline void finish(void) {
  t.running_count = 0;
  t.listing = false;
  reconciler_free(t.reconciler);
  uv_run(&t.loop, UV_RUN_NOWAIT);
}

/* The next agent, with what the one before left on the disk. */
static inline void restart(void) {
  struct fault f;
  finish();
  close_store(&t.loop, t.store);
  assert_int_equal(store_open(&t.loop, t.dir, &t.store, &f), 0);
  begin();
}

static inline int setup(void **state) {
  struct fault f;
  memset(&t, 0, sizeof t);
  clock_use(&fixture_clock);
  log_set_level(LOG_LEVEL_ERROR + 1);
  uv_loop_init(&t.loop);
  scratch_make(t.dir);
  t.lists = true;
  assert_int_equal(store_open(&t.loop, t.dir, &t.store, &f), 0);
  begin();
  return 0;
}

static inline int teardown(void **state) {
  finish();
  close_store(&t.loop, t.store);
  close_loop(&t.loop);
  scratch_remove(t.dir);
  clock_use(NULL);
  return 0;
}

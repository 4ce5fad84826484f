/* What the specs of sets share: a catalog that writes down what it is given, fails when told to and
 * counts slots; a clock that stands still; a fixture of one set. */
#pragma once

#include "watch/set.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "catalog/live.h"
#include "catalog/writer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the catalog that these sets are linked with ---- */

enum { SLOTS = 4096 };

static struct {
  int fail; /* what catalog_publish and catalog_slot_take answer */
  int publishes, withdrawals, attempts;
  bool taken[SLOTS];
  struct catalog_slot live[SLOTS];
  int slots;
  char adoptable[64]; /* an id that an earlier agent gave slot 4000 */
  uint64_t version;
  int64_t publish_at;
  bool same_tables; /* what catalog_build_begin finds */
  struct catalog_snapshot last;
  struct catalog_endpoint rows[SLOTS];
  char service[64], ids[SLOTS * 16];
} fake;

int catalog_slot_take(struct catalog_writer *w, uint32_t *slot, uint32_t *generation) {
  if (fake.fail)
    return fake.fail;
  for (uint32_t i = 0; i < SLOTS; i++) {
    if (!fake.taken[i]) {
      fake.taken[i] = true;
      fake.slots++;
      *slot = i;
      *generation = 7;
      return 0;
    }
  }
  return -ENOSPC;
}

void catalog_slot_free(struct catalog_writer *w, uint32_t slot) {
  assert_true(fake.taken[slot]);
  fake.taken[slot] = false;
  fake.slots--;
}

int catalog_slot_adopt(struct catalog_writer *w, const char *service, const char *id,
                       uint32_t *slot, uint32_t *generation) {
  if (strcmp(fake.adoptable, id) != 0)
    return -ENOENT;
  fake.taken[4000] = true;
  fake.slots++;
  *slot = 4000;
  *generation = 3;
  return 0;
}

struct catalog_slot *catalog_live_slot(const struct catalog_writer *w, uint32_t slot) {
  return &fake.live[slot];
}

int catalog_publish(struct catalog_writer *w, const struct catalog_snapshot *snapshot,
                    uint64_t *version) {
  fake.attempts++;
  if (fake.fail)
    return fake.fail;
  fake.publishes++;
  fake.last = *snapshot;
  fake.ids[0] = '\0';
  for (size_t i = 0; i < snapshot->count; i++) {
    fake.rows[i] = snapshot->endpoints[i];
    assert_true(fake.taken[fake.rows[i].slot]); /* nobody is published without a slot */
    strcat(strcat(fake.ids, fake.rows[i].id), " ");
  }
  fake.version += snapshot->moves_version != 0;
  *version = fake.version;
  return 0;
}

struct catalog_build {
  struct catalog_snapshot snapshot;
  bool ran;
};

int catalog_build_begin(struct catalog_writer *w, const struct catalog_snapshot *snapshot,
                        struct catalog_build **build) {
  *build = fake.same_tables ? NULL : malloc(sizeof **build);
  if (*build)
    **build = (struct catalog_build){.snapshot = *snapshot};
  return 0;
}

void catalog_build_run(struct catalog_build *build) {
  build->ran = true;
}

int catalog_build_publish(struct catalog_writer *w, struct catalog_build *build,
                          uint64_t *version) {
  assert_true(build->ran);
  return catalog_publish(w, &build->snapshot, version);
}

void catalog_build_end(struct catalog_build *build) {
  free(build);
}

int64_t catalog_publish_at(const struct catalog_writer *w, const char *service) {
  return fake.publish_at;
}

int catalog_withdraw(struct catalog_writer *w, const char *service) {
  if (fake.fail)
    return fake.fail;
  fake.withdrawals++;
  fake.version++;
  return 0;
}

uint64_t catalog_version(const struct catalog_writer *w) {
  return fake.version;
}

/* ---- the clock ---- */

static int64_t now_ns = 1000;
static int64_t read_now(void *arg) {
  return now_ns;
}
static int64_t read_wall(void *arg) {
  return now_ns / 1000;
}
static uint64_t read_random(void *arg) {
  return 4; /* as fair as any */
}
static const struct clock_source still = {read_now, read_wall, read_random, NULL};

/* ---- */

struct told {
  int count, gone;
  size_t rows;
  char service[64];
  bool stale;
};

static void on_published(void *arg, const struct set_published *what) {
  struct told *t = arg;
  t->count++;
  t->gone += what->gone;
  t->rows = what->count;
  t->stale = what->stale;
  snprintf(t->service, sizeof t->service, "%s", what->service);
}

struct fixture {
  struct sets *all;
  struct set *web;
  struct told told;
};

static inline int setup(void **state) {
  struct fixture *fx = calloc(1, sizeof *fx);
  memset(&fake, 0, sizeof fake);
  clock_use(&still);
  log_set_level(LOG_LEVEL_ERROR + 1);
  fx->all = sets_new(NULL, on_published, &fx->told);
  fx->web = sets_open(fx->all, "web");
  assert_non_null(fx->web);
  *state = fx;
  return 0;
}

static inline int teardown(void **state) {
  struct fixture *fx = *state;
  sets_free(fx->all);
  free(fx);
  return 0;
}

static inline struct instance *make(const char *id, uint16_t port) {
  return instance_new(&(struct instance_draft){
      .id = id, .service = "web", .address = "10.0.0.1", .port = port, .weight = 1});
}

static inline int put(struct set *s, const char *id, uint16_t port, enum status status) {
  struct instance *in = make(id, port);
  int rc = set_put(s, in, status);
  instance_unref(in);
  return rc;
}

/* "a b c": passing, on port 1. */
static inline int replace(struct set *s, const char *ids) {
  struct instance *list[64];
  size_t count = 0;
  char text[256], *rest = text, *id;
  snprintf(text, sizeof text, "%s", ids);
  while ((id = strtok_r(rest, " ", &rest)))
    list[count++] = make(id, 1);
  int rc = set_replace(s, list, NULL, count);
  for (size_t i = 0; i < count; i++)
    instance_unref(list[i]);
  return rc;
}

#include "registry/inside.h"

#include "base/clock.h"
#include "base/log.h"
#include "registry/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the store's ---- */

enum { BOOT_ID = 36 };

/* A start time counts from the boot: in another boot it names nobody. */
static void read_boot_id(char id[BOOT_ID + 1]) {
  memset(id, 0, BOOT_ID + 1);
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
  if (!file)
    return;
  if (fread(id, 1, BOOT_ID, file) != BOOT_ID)
    id[0] = '\0';
  fclose(file);
}

struct deadline {
  char *id;
  struct deadline_record at;
};

struct restoring {
  struct embedded *all;
  char boot[BOOT_ID + 1];
  bool same_boot;
  struct deadline *deadlines; /* by id, as the registrations come */
  size_t deadline_count, deadline_room, deadline_next;
  char **gone; /* ids whose records are to be deleted: not while they are being read */
  size_t gone_count, gone_room;
};

static void *grow(void *array, size_t count, size_t *room, size_t size) {
  if (count < *room)
    return array;
  size_t more = *room ? *room * 2 : 64;
  void *grown = realloc(array, more * size);
  if (grown)
    *room = more;
  return grown;
}

static int note_gone(struct restoring *rs, const char *id) {
  char **grown = grow(rs->gone, rs->gone_count, &rs->gone_room, sizeof *grown);
  char *copy = strdup(id);
  rs->gone = grown ? grown : rs->gone;
  if (!grown || !copy) {
    free(copy);
    return -ENOMEM;
  }
  rs->gone[rs->gone_count++] = copy;
  return 0;
}

static int on_meta(void *arg, const char *key, const void *value, size_t length) {
  struct restoring *r = arg;
  if (strcmp(key, "boot") == 0)
    r->same_boot = length == BOOT_ID && memcmp(value, r->boot, BOOT_ID) == 0;
  return 0;
}

static int on_deadline(void *arg, const char *key, const void *value, size_t length) {
  struct restoring *rs = arg;
  struct deadline_record at;
  if (length != sizeof at)
    return 0;
  memcpy(&at, value, sizeof at);
  struct deadline *grown =
      grow(rs->deadlines, rs->deadline_count, &rs->deadline_room, sizeof *grown);
  char *copy = strdup(key);
  rs->deadlines = grown ? grown : rs->deadlines;
  if (!grown || !copy) {
    free(copy);
    return -ENOMEM;
  }
  rs->deadlines[rs->deadline_count++] = (struct deadline){copy, at};
  return 0;
}

/* What is left of its lease, <= 0: it ran out. After another boot only the wall clock can tell,
 * which may have been set back meanwhile: never more than the whole lease, which is also what is
 * left when the deadline's record is damaged. */
static int64_t lease_left_ns(struct restoring *rs, const struct registration *r) {
  int64_t whole_us = r->lease_ms * 1000, left_us = whole_us;
  int order = -1;
  while (rs->deadline_next < rs->deadline_count &&
         (order = strcmp(rs->deadlines[rs->deadline_next].id, r->instance->id)) < 0)
    rs->deadline_next++;
  const struct deadline_record *at = order == 0 ? &rs->deadlines[rs->deadline_next].at : NULL;
  if (at)
    left_us = rs->same_boot ? (at->now_ns - clock_now_ns()) / 1000 : at->wall_us - clock_wall_us();
  return (left_us < whole_us ? left_us : whole_us) * 1000;
}

static int take_up(struct restoring *rs, const struct registration *r, struct fault *f) {
  int64_t left_ns = r->lease_ms ? lease_left_ns(rs, r) : 0;
  if (r->lease_ms && left_ns <= 0) {
    rs->all->stats.expired++;
    return fault_set(f, -ETIME, "its lease ran out");
  }
  if (r->owner_pid && !rs->same_boot)
    return fault_set(f, -ESRCH, "its owner was of another boot");
  struct entry *en = entry_get(rs->all, r->instance->id);
  if (!en)
    return fault_set(f, -ENOMEM, "out of memory");
  int rc = entry_hold(en, r, true, f);
  if (rc) {
    entry_drop(en);
    return rc;
  }
  entry_lease(en, left_ns ? clock_now_ns() + left_ns : 0);
  rs->all->stats.restored++;
  return 0;
}

static int on_registration(void *arg, const char *key, const void *value, size_t length) {
  struct restoring *rs = arg;
  struct registration *r = NULL;
  struct fault f = {0};
  int rc = registration_decode(value, length, &r);
  if (rc == 0 && strcmp(r->instance->id, key) != 0)
    rc = -EPROTO;
  if (rc == -EPROTO) {
    rs->all->stats.unreadable++;
    log_error("a registration in the store cannot be read: left there", LOG_S("id", key));
    rc = 0;
  } else if (rc == 0 && (rc = take_up(rs, r, &f)) != 0) {
    log_info("not restored", LOG_S("id", key), LOG_S("reason", f.text));
    rc = rc == -ESRCH || rc == -EEXIST || rc == -ETIME ? note_gone(rs, key) : rc;
  }
  registration_unref(r);
  return rc;
}

int embedded_restore(struct embedded *e) {
  struct restoring rs = {.all = e};
  read_boot_id(rs.boot);
  int rc = store_each(e->store, "meta", on_meta, &rs);
  if (rc == 0)
    rc = store_each(e->store, "deadline", on_deadline, &rs);
  if (rc == 0)
    rc = store_each(e->store, "registration", on_registration, &rs);
  for (size_t i = 0; i < rs.gone_count; i++) {
    record_delete(e, rs.gone[i]);
    free(rs.gone[i]);
  }
  free(rs.gone);
  for (size_t i = 0; i < rs.deadline_count; i++)
    free(rs.deadlines[i].id);
  free(rs.deadlines);
  if (rs.boot[0] && !rs.same_boot)
    store_put(e->store, "meta", "boot", rs.boot, BOOT_ID, NULL, NULL);
  schedule(e);
  return rc;
}

/* ---- the configuration's ---- */

static const char *id_of(const void *item) {
  return ((const struct registration *)item)->instance->id;
}

static int list_check(struct registration *const *list, size_t count, struct table *ids) {
  for (size_t i = 0; i < count; i++) {
    struct fault f = {0};
    int rc = registration_check(list[i], &f);
    if (rc == 0 && list[i]->origin != ORIGIN_CONFIGURATION)
      rc = fault_set(&f, -EINVAL, "instance %s: not of the configuration", id_of(list[i]));
    if (rc == 0 && (rc = table_add(ids, list[i])) == -EEXIST)
      rc = fault_set(&f, -EINVAL, "instance %s: the id is there twice", id_of(list[i]));
    if (rc) {
      log_error("the configuration's services are not applied", LOG_S("error", f.text));
      return rc;
    }
  }
  return 0;
}

static void end_missing(struct embedded *e, const struct table *ids) {
  for (uint32_t i = e->entries.count; i-- > 0;) { /* what ends is replaced by the last one */
    struct entry *en = e->entries.items[i];
    if (en->state && en->state->registration->origin == ORIGIN_CONFIGURATION &&
        !table_find(ids, en->id))
      entry_end(en);
  }
}

static int configure_one(struct embedded *e, const struct registration *r) {
  struct fault f = {.text = "out of memory"};
  struct entry *en = entry_get(e, r->instance->id);
  if (en && en->state && registration_equal(en->state->registration, r))
    return 0;
  bool recorded = en && en->state && en->state->registration->origin != ORIGIN_CONFIGURATION;
  int rc = en ? entry_hold(en, r, false, &f) : -ENOMEM;
  if (rc == 0) {
    entry_lease(en, 0);
    if (recorded)
      record_delete(e, en->id);
    return 0;
  }
  log_error("a service of the configuration is left out", LOG_S("error", f.text));
  if (en)
    entry_drop(en);
  return rc;
}

int embedded_configure(struct embedded *e, struct registration *const *list, size_t count) {
  struct table ids = {.key = id_of};
  int first = list_check(list, count, &ids);
  if (first == 0) {
    end_missing(e, &ids);
    for (size_t i = 0; i < count; i++) {
      int rc = configure_one(e, list[i]);
      first = first ? first : rc;
    }
  }
  table_free(&ids);
  schedule(e);
  return first;
}

void embedded_leave(struct embedded *e) {
  e->leaving = true;
  for (uint32_t i = e->entries.count; i-- > 0;) {
    struct entry *en = e->entries.items[i];
    if (!en->state)
      continue;
    if (en->state->registration->origin != ORIGIN_CONFIGURATION)
      record_delete(e, en->id);
    entry_end(en);
  }
  schedule(e);
}

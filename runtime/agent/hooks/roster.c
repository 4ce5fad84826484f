#include "agent/hooks/roster.h"

#include "watch/set.h"

#include <stdlib.h>
#include <string.h>

struct member {
  struct instance *instance;
  enum status status;
};

struct roster {
  char *service;
  size_t count;
  struct member members[]; /* by id */
};

struct roster *roster_new(struct sets *sets, const char *service) {
  struct set *s = sets_find(sets, service);
  const struct set_row *rows = s ? set_rows(s) : NULL;
  size_t count = s ? set_count(s) : 0;
  struct roster *r = calloc(1, sizeof *r + count * sizeof r->members[0]);
  if (!r || !(r->service = strdup(service))) {
    free(r);
    return NULL;
  }
  r->count = count;
  for (size_t i = 0; i < count; i++)
    r->members[i] = (struct member){instance_ref(rows[i].instance), rows[i].status};
  return r;
}

void roster_free(struct roster *r) {
  if (!r)
    return;
  for (size_t i = 0; i < r->count; i++)
    instance_unref(r->members[i].instance);
  free(r->service);
  free(r);
}

const char *roster_service(const void *roster) {
  return ((const struct roster *)roster)->service;
}

size_t roster_count(const struct roster *r) {
  return r->count;
}

enum change { ADDED, REMOVED, CHANGED, CHANGES };

/* The lists are on top, in the order of `enum change`. */
struct lists {
  lua_State *L;
  int told[CHANGES];
};

static void add(struct lists *l, enum change to, const struct member *m) {
  if (l->told[to] == ROSTER_TOLD_MAX)
    return;
  lua_pushstring(l->L, m->instance->id);
  lua_rawseti(l->L, (int)to - CHANGES - 1, ++l->told[to]);
}

static bool is_same(const struct member *a, const struct member *b) {
  return a->status == b->status &&
         (a->instance == b->instance || instance_equal(a->instance, b->instance));
}

void roster_push_changes(lua_State *L, const struct roster *before, const struct roster *now) {
  static const char *const names[] = {"added", "removed", "changed"};
  static const struct roster nobody;
  struct lists l = {.L = L};
  if (!before)
    before = &nobody;
  for (int i = 0; i < CHANGES; i++)
    lua_newtable(L);
  for (size_t i = 0, k = 0; i < before->count || k < now->count;) {
    const struct member *was = &before->members[i], *is = &now->members[k];
    int order = i == before->count ? 1
                : k == now->count  ? -1
                                   : strcmp(was->instance->id, is->instance->id);
    if (order < 0)
      add(&l, REMOVED, was);
    else if (order > 0)
      add(&l, ADDED, is);
    else if (!is_same(was, is))
      add(&l, CHANGED, is);
    i += order <= 0;
    k += order >= 0;
  }
  for (int i = CHANGES; i-- > 0;)
    lua_setfield(L, -(i + 2), names[i]);
}

#include "agent/registries/attends.h"

#include "base/clock.h"
#include "registry/desired.h"
#include "vm/plugin.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>

/* After one that failed, a quarter more or less: renewals see to the entry meanwhile. */
static const double in_vain_ns = 30e9;

struct attend {
  struct attend *next, **link;
  struct attends *all;
  struct desired_entry *entry;
  struct call *call;
  int64_t not_before_ns;
};

static void attend_free(struct attend *a) {
  if (a->call)
    call_cancel(a->call);
  a->all->count--;
  *a->link = a->next;
  if (a->next)
    a->next->link = a->link;
  free(a);
}

static struct attend *find(const struct attends *all, const struct desired_entry *e) {
  struct attend *a = all->first;
  while (a && a->entry != e)
    a = a->next;
  return a;
}

static int push_arguments(lua_State *L, void *arg) {
  const struct attend *a = arg;
  lua_rawgeti(L, LUA_REGISTRYINDEX, a->all->connection);
  push_value(L, a->entry->lease);
  return 2;
}

static void on_returned(void *arg, const struct call_result *result) {
  struct attend *a = arg;
  struct attends *all = a->all;
  struct desired_entry *e = a->entry;
  a->call = NULL;
  if (result->status == -ECANCELED)
    return;
  if (result->status == 0 && result->results > 0 && lua_toboolean(result->L, -result->results)) {
    attend_free(a);
    all->changed(all->arg, e);
  } else {
    a->not_before_ns = clock_now_ns() + (int64_t)(in_vain_ns * (0.75 + 0.5 * clock_random_unit()));
  }
}

void attends_begin(struct attends *all, struct desired_entry *e) {
  struct attend *a = find(all, e);
  if (!all->attachment || !e->lease || (a && (a->call || a->not_before_ns > clock_now_ns())))
    return;
  if (!a) {
    a = all->count < ATTENDS_MOST ? calloc(1, sizeof *a) : NULL;
    if (!a)
      return; /* renewals see to it */
    all->count++;
    *a = (struct attend){.next = all->first, .link = &all->first, .all = all, .entry = e};
    if (a->next)
      a->next->link = &a->next;
    all->first = a;
  }
  if (attachment_call(all->attachment, "attend", push_arguments, on_returned, a, 0, &a->call) != 0)
    attend_free(a);
}

void attends_end(struct attends *all, const struct desired_entry *e) {
  struct attend *a = find(all, e);
  if (a)
    attend_free(a);
}

void attends_clear(struct attends *all) {
  while (all->first)
    attend_free(all->first);
}

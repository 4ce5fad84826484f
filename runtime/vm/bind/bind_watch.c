/* perigee.watch(target, ...): what other registries have of a service, for a registry plugin that
 * makes one of several. Gives a generic `for` its function and its object: each turn of the loop
 * waits until one of the targets says something new, the first until each has spoken, and has a
 * list of instances for each target, with
 *
 *     list.known    it was reached at least once
 *     list.stale    it cannot be reached now; the list is its last word
 *
 * The watch ends with the task that waits for it. A target that cannot be watched is an error, as
 * a `for` has no use for a message. */
#include "vm/bind/bind_io.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"
#include "vm/isolate/border.h"
#include "vm/isolate/script.h"
#include "watch/instances.h"

#include <lauxlib.h>
#include <stdlib.h>

#define WATCH_TYPE "watch"

struct watching;
struct watched {
  struct watching *of;
  void *host; /* what `unwatch` takes; NULL: not watched */
  struct instances has;
  bool known, stale;
};

struct watching {
  struct handle handle;
  struct vm *vm;
  struct task_wait *wait; /* NULL: nobody waits */
  struct alarm alarm;     /* set while there is something to wake who waits for */
  bool news, closed;
  int count;
  struct watched targets[];
};

static void watching_free(struct watching *w) {
  for (int i = 0; i < w->count; i++)
    instances_free(&w->targets[i].has);
  free(w);
}

/* ---- who waits ---- */

static bool has_news(const struct watching *w) {
  bool news = w->news;
  for (int i = 0; i < w->count; i++)
    news = news && (w->targets[i].known || w->targets[i].stale);
  return news || w->closed;
}

/* Not at once: who tells is not done yet, and what is woken may end the watch. */
static void wake_soon(struct watching *w) {
  if (w->wait && !alarm_is_set(&w->alarm) && has_news(w))
    due_start(w->vm, &w->alarm, 0); /* for want of memory: with the next news */
}

static void push_list(lua_State *L, const struct watched *t) {
  lua_createtable(L, (int)t->has.count, 2);
  for (size_t i = 0; i < t->has.count; i++) {
    push_instance(L, t->has.items[i]);
    lua_pushstring(L, status_name(t->has.statuses[i]));
    lua_setfield(L, -2, "status");
    lua_rawseti(L, -2, (int)i + 1);
  }
  lua_pushboolean(L, t->known);
  lua_setfield(L, -2, "known");
  lua_pushboolean(L, t->stale);
  lua_setfield(L, -2, "stale");
}

static int push_lists(lua_State *L, void *arg) {
  const struct watching *w = arg;
  for (int i = 0; i < w->count; i++)
    push_list(L, &w->targets[i]);
  return w->count;
}

static void on_due(struct alarm *a) {
  struct watching *w = (struct watching *)((char *)a - offsetof(struct watching, alarm));
  struct task_wait *wait = w->wait;
  due_stop(w->vm, a);
  w->wait = NULL;
  w->news = false;
  bool closed = w->closed; /* then nobody else has it */
  task_wake(wait, closed ? NULL : push_lists, w);
  if (closed)
    watching_free(w);
}

/* The task that waited has ended, and with it the watch. */
static void forget(void *operation) {
  struct watching *w = operation;
  if (alarm_is_set(&w->alarm))
    due_stop(w->vm, &w->alarm);
  w->wait = NULL;
  if (w->closed)
    watching_free(w);
  else
    handle_close(&w->handle);
}

static int next_call(lua_State *L) {
  struct watching *w = (struct watching *)handle_check(L, 1, WATCH_TYPE);
  if (w->wait)
    return luaL_error(L, "watch: another task waits for it");
  wait_check(L);
  task_keep(L, 1);
  int yields = task_wait(L, w, forget, &w->wait);
  wake_soon(w);
  return yields;
}

/* ---- what is watched ---- */

static void on_told(void *to, const struct set_published *what) {
  struct watched *t = to;
  if (what->known && instances_copy(&t->has, what->rows, what->count) != 0)
    return; /* what it said before stays */
  t->known |= what->known;
  t->stale = what->stale;
  t->of->news = true;
  wake_soon(t->of);
}

static void watching_close(struct handle *h) {
  struct watching *w = (struct watching *)h;
  const struct vm_registry *r = vm_registry(w->vm);
  for (int i = 0; i < w->count; i++)
    if (w->targets[i].host)
      r->unwatch(w->targets[i].host);
  handle_gone(h);
  w->closed = true;
  if (w->wait)
    wake_soon(w);
  else
    watching_free(w);
}

static int watch_call(lua_State *L) {
  const struct vm_registry *r = vm_registry(isolate_vm(isolate_of(L)));
  int count = lua_gettop(L);
  luaL_argcheck(L, count >= 1 && count <= TASK_VALUES_MAX, 1, "1 to 16 targets are expected");
  for (int i = 1; i <= count; i++)
    luaL_checkstring(L, i);
  if (scripted(L)) {
    script_tell(L, "targets", count, 1);
    return 1;
  }
  if (!r)
    return luaL_error(L, "there are no registries here");
  lua_pushcfunction(L, next_call);
  struct watching *w = calloc(1, sizeof *w + (size_t)count * sizeof w->targets[0]);
  if (!w)
    return luaL_error(L, "out of memory");
  w->vm = isolate_vm(isolate_of(L));
  w->alarm.fire = on_due;
  w->count = count;
  handle_push(L, &w->handle, WATCH_TYPE, watching_close);
  for (int i = 0; i < count; i++) {
    struct fault f = {0};
    struct watched *t = &w->targets[i];
    t->of = w;
    int rc = r->watch(r->arg, lua_tostring(L, i + 1), isolate_of(L), on_told, t, &t->host, &f);
    if (rc != 0) {
      handle_close(&w->handle);
      return luaL_error(L, "%s", f.text);
    }
  }
  return 2;
}

int open_watch(lua_State *L) {
  handle_type(L, WATCH_TYPE, NULL);
  lua_pushcfunction(L, watch_call);
  return 1;
}

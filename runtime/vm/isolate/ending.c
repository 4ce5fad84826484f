/* ending: the heap of an isolate that has ended. To free a full one takes tens of milliseconds, so
 * nothing refers to any of it any more, and it is collected a millisecond at a time, on the thread
 * that it was on, where what it finalizes belongs. */
#include "base/clock.h"
#include "base/value.h"
#include "vm/isolate/inside.h"

#include <lauxlib.h>
#include <stdlib.h>

enum { SLICE_NS = 1000 * 1000 };
/* To close what is left takes no time to speak of. */
enum { LITTLE = 512 * 1024 };
/* The first was under way, and what the second finalizes is freed by the third. */
enum { CYCLES = 3 };

static void heap_close(struct isolate *iso) {
  lua_close(iso->L);
  pool_free(&iso->pool);
  while (iso->required) {
    struct required *r = iso->required;
    iso->required = r->next;
    value_unref(r->text);
    free(r->name);
    free(r);
  }
  value_unref(iso->parts);
  value_unref((struct value *)iso->limits.grant);
  free(iso->own_library);
  free(iso->name);
  free(iso);
}

/* Sets the field whose name and value are on top to nil, and leaves the name. */
static void field_drop(lua_State *L, int table) {
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_pushnil(L);
  lua_rawset(L, table);
}

static bool finalizes(lua_State *L) {
  if (!lua_istable(L, -1))
    return false;
  lua_pushliteral(L, "__gc");
  lua_rawget(L, -2);
  bool found = !lua_isnil(L, -1);
  lua_pop(L, 1);
  return found;
}

/* Finalizers ask the registry for their types. */
static int forget_all(lua_State *L) {
  lua_pushnil(L);
  while (lua_next(L, LUA_GLOBALSINDEX))
    field_drop(L, LUA_GLOBALSINDEX);
  lua_pushnil(L);
  while (lua_next(L, LUA_REGISTRYINDEX))
    if (finalizes(L))
      lua_pop(L, 1);
    else
      field_drop(L, LUA_REGISTRYINDEX);
  return 0;
}

static int collect_step(lua_State *L) {
  struct isolate *iso = isolate_of(L);
  iso->cycles += lua_gc(L, LUA_GCSTEP, 0);
  return 0;
}

static void heap_shrink(struct vm *vm, int64_t until_ns) {
  struct isolate *iso = vm->ending;
  int status = 0;
  while (status == 0 && iso->cycles < CYCLES && iso->memory > LITTLE && clock_now_ns() < until_ns)
    status = lua_cpcall(iso->L, collect_step, NULL);
  if (status == 0 && iso->cycles < CYCLES && iso->memory > LITTLE)
    return;
  vm->ending = iso->next;
  heap_close(iso);
}

static void on_slice(struct alarm *a) {
  struct vm *vm = (struct vm *)((char *)a - offsetof(struct vm, endings));
  due_stop(vm, a);
  heap_shrink(vm, clock_now_ns() + SLICE_NS);
  if (vm->ending && due_start(vm, a, 0) != 0)
    heaps_end(vm);
}

void heap_end(struct isolate *iso) {
  struct vm *vm = iso->vm;
  const struct value *grant = iso->limits.grant;
  bool foreign = value_as_boolean(value_get(grant, "ffi"), false); /* its finalizers are its own */
  vm->memory -= iso->memory;
  iso->heap_ends = true;
  vm->endings.fire = on_slice;
  if (iso->dead || foreign || vm->scripted || iso->memory <= LITTLE ||
      (!alarm_is_set(&vm->endings) && due_start(vm, &vm->endings, 0) != 0)) {
    heap_close(iso);
    return;
  }
  iso->cycles = lua_cpcall(iso->L, forget_all, NULL) == 0 ? 0 : CYCLES;
  iso->next = vm->ending;
  vm->ending = iso;
}

void heaps_end(struct vm *vm) {
  if (alarm_is_set(&vm->endings))
    due_stop(vm, &vm->endings);
  while (vm->ending) {
    struct isolate *iso = vm->ending;
    vm->ending = iso->next;
    heap_close(iso);
  }
}

#include "base/value.h"
#include "vm/isolate/inside.h"

#include <errno.h>
#include <lauxlib.h>
#include <luajit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_PANIC = -1 }; /* beside Lua's own */
enum { CALLERS_MAX = 4 };

struct entry {
  int (*body)(lua_State *L, void *arg);
  void *arg;
  int result;
};
struct resumption {
  lua_State *L;
  int arguments;
};

struct isolate *isolate_of(lua_State *L) {
  void *iso;
  lua_getallocf(L, &iso);
  return iso;
}

/* LuaJIT calls this when nothing protects L; returning would end the process. */
static int on_panic(lua_State *L) {
  struct isolate *iso = isolate_of(L);
  if (iso->fence)
    longjmp(*iso->fence, 1);
  return 0;
}

/* Lists the Lua functions below the one that raised: its own place is in the message already. */
static void name_callers(struct isolate *iso, lua_State *L) {
  lua_Debug at;
  size_t used = 0;
  int named = -1;
  iso->callers[0] = '\0';
  for (int level = 0; named < CALLERS_MAX && lua_getstack(L, level, &at); level++) {
    if (!lua_getinfo(L, "Sl", &at) || at.currentline <= 0 || ++named == 0)
      continue;
    int n = snprintf(iso->callers + used, sizeof iso->callers - used, "%s%s:%d",
                     used ? ", " : " (called from ", at.short_src, at.currentline);
    if (n < 0 || used + (size_t)n >= sizeof iso->callers - 2) {
      iso->callers[used] = '\0';
      break;
    }
    used += (size_t)n;
  }
  if (used)
    memcpy(iso->callers + used, ")", 2);
}

/* The message handler: allocates nothing, as memory may be what is missing. */
static int explain_call(lua_State *L) {
  struct isolate *iso = isolate_of(L);
  name_callers(iso, L);
  if (fuel_is_spent(iso) && !iso->where[0])
    turn_name_place(iso, L);
  return 1;
}

static int body_call(lua_State *L) {
  struct entry *e = lua_touserdata(L, 1);
  lua_settop(L, 0);
  e->result = e->body(L, e->arg);
  return 0;
}

/* Runs `run` as a turn behind a fence: a panic comes out as STATUS_PANIC, and the isolate is dead.
 */
static int fence(struct isolate *iso, int (*run)(struct isolate *iso, void *arg), void *arg,
                 struct turn_share *share, bool *killed) {
  struct turn turn;
  jmp_buf here, *outer = iso->fence;
  unsigned in_lua = iso->in_lua;
  struct task *running = iso->running;
  volatile int status = STATUS_PANIC;
  turn_begin(&turn, iso, share);
  iso->fence = &here;
  if (setjmp(here) == 0)
    status = run(iso, arg);
  else
    iso->dead = true;
  iso->fence = outer;
  iso->in_lua = in_lua;
  iso->running = running;
  *killed = turn_end(&turn, iso, share);
  if (iso->dead && outer)
    longjmp(*outer, 1); /* the state is broken: nobody below may go on in it */
  return status;
}

static int run_entry(struct isolate *iso, void *arg) {
  lua_State *L = iso->L;
  iso->in_lua = 0;
  iso->running = NULL; /* what runs in here is no task's: it cannot wait */
  lua_rawgeti(L, LUA_REGISTRYINDEX, iso->ref_explain);
  int handler = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, iso->ref_body);
  lua_pushlightuserdata(L, arg);
  return lua_pcall(L, 1, 0, handler);
}

int isolate_enter_slice(struct isolate *iso, int (*body)(lua_State *L, void *arg), void *arg,
                        struct turn_share *share, struct fault *f) {
  if (iso->dead || iso->ending)
    return fault_set(f, -ECANCELED, "%s: its isolate has ended", iso->name);
  struct entry e = {body, arg, 0};
  bool killed;
  isolate_hold(iso);
  int top = lua_gettop(iso->L);
  int status = fence(iso, run_entry, &e, share, &killed);
  if (status != 0 || killed)
    e.result = isolate_explain(iso, iso->L, status, killed, f);
  if (!iso->dead)
    lua_settop(iso->L, top);
  isolate_release(iso);
  return e.result;
}

int isolate_enter(struct isolate *iso, int (*body)(lua_State *L, void *arg), void *arg,
                  struct fault *f) {
  return isolate_enter_slice(iso, body, arg, NULL, f);
}

static int run_function(struct isolate *iso, void *arg) {
  lua_State *L = iso->L;
  iso->in_lua = 1;
  iso->running = NULL;
  lua_rawgeti(L, LUA_REGISTRYINDEX, iso->ref_explain);
  lua_rawgeti(L, LUA_REGISTRYINDEX, *(const int *)arg);
  int status = lua_pcall(L, 0, 1, -2);
  lua_remove(L, -2);
  return status;
}

int isolate_run(struct isolate *iso, int reference, int64_t turn_ns, struct fault *f) {
  if (iso->dead || iso->ending)
    return fault_set(f, -ECANCELED, "%s: its isolate has ended", iso->name);
  bool killed;
  int code = 0;
  isolate_hold(iso);
  int top = lua_gettop(iso->L);
  int64_t outer_ns = iso->turn_ns;
  iso->turn_ns = turn_ns;
  int status = fence(iso, run_function, &reference, NULL, &killed);
  if (status != 0 || killed) {
    code = isolate_explain(iso, iso->L, status, killed, f);
    if (!iso->dead)
      lua_settop(iso->L, top);
  }
  iso->turn_ns = outer_ns;
  isolate_release(iso);
  return code;
}

static int run_resumption(struct isolate *iso, void *arg) {
  struct resumption *r = arg;
  iso->in_lua = 1;
  return lua_resume(r->L, r->arguments);
}

int isolate_resume(struct isolate *iso, lua_State *L, int arguments, struct turn_share *share,
                   bool *killed) {
  struct resumption r = {L, arguments};
  int status = fence(iso, run_resumption, &r, share, killed);
  if (status > LUA_YIELD)
    name_callers(iso, L);
  return status;
}

void isolate_call(lua_State *L, int arguments, int results) {
  struct isolate *iso = isolate_of(L);
  unsigned before = iso->in_lua; /* what raises ends at the fence, which restores it too */
  iso->in_lua = 1;
  lua_call(L, arguments, results);
  iso->in_lua = before;
}

int isolate_explain(struct isolate *iso, lua_State *L, int status, bool killed, struct fault *f) {
  iso->errors++;
  if (status == STATUS_PANIC)
    return fault_set(f, -EFAULT, "%s: its memory reserve is exhausted: %zu bytes in use", iso->name,
                     iso->memory);
  if (killed && iso->limits.compiled)
    return fault_set(f, -ETIME, "killed: took more than %d steps or %d ms, at %s",
                     (int)iso->limits.steps, (int)(iso->turn_ns / 1000000),
                     iso->where[0] ? iso->where : "?");
  if (killed)
    return fault_set(f, -ETIME, "killed: ran for more than %d ms %s, at %s",
                     (int)((iso->stuck ? turn_patience_ns(iso) : iso->limits.turn_ns) / 1000000),
                     iso->stuck ? "where it cannot give way to others" : "without waiting",
                     iso->where[0] ? iso->where : "?");
  if (status == LUA_ERRMEM)
    return fault_set(f, -ENOMEM,
                     "out of memory: %zu of %zu bytes in use, at most %zu of them at once",
                     iso->memory, iso->limits.memory_hard, memory_most_at_once(iso));
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  if (!text)
    return fault_set(f, -EFAULT, "raised a %s%s", luaL_typename(L, -1), iso->callers);
  return fault_set(f, -EFAULT, "%s%s", text, iso->callers);
}

static int open_state(lua_State *L) {
  struct isolate *iso = isolate_of(L);
  lua_gc(L, LUA_GCSTOP, 0); /* nothing of what is made here is garbage */
  lua_pushcfunction(L, body_call);
  iso->ref_body = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushcfunction(L, explain_call);
  iso->ref_explain = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushcfunction(L, handle_udata);
  iso->ref_udata = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushcfunction(L, border_read);
  iso->ref_read = luaL_ref(L, LUA_REGISTRYINDEX);
  sandbox_open(L);
  namespaces_open(L);
  lua_gc(L, LUA_GCRESTART, 0);
  lua_gc(L, LUA_GCSETPAUSE, 125);
  lua_gc(L, LUA_GCSETSTEPMUL, 400);
  return 0;
}

static void limits_default(struct isolate_limits *l) {
  if (!l->memory_hard)
    l->memory_hard = 16u << 20;
  if (!l->memory_soft || l->memory_soft > l->memory_hard)
    l->memory_soft = l->memory_hard / 2;
  if (!l->steps)
    l->steps = 250 * 1000;
  if (!l->turn_ns)
    l->turn_ns = 100 * 1000 * 1000;
  if (!l->log_lines_per_s)
    l->log_lines_per_s = 100;
  if (!l->max_tasks)
    l->max_tasks = 10000;
  if (!l->max_handles)
    l->max_handles = 1000;
}

int isolate_new(struct vm *vm, const char *name, const struct isolate_limits *limits,
                struct isolate **out, struct fault *f) {
  struct isolate *iso = calloc(1, sizeof *iso);
  if (!iso || !(iso->name = strdup(name))) {
    free(iso);
    return fault_set(f, -ENOMEM, "%s: out of memory", name);
  }
  iso->vm = vm;
  if (limits)
    iso->limits = *limits;
  limits_default(&iso->limits);
  iso->limits.grant = iso->limits.grant ? value_ref(iso->limits.grant) : NULL;
  iso->collect_at = iso->limits.memory_soft;
  iso->turn_ns = iso->limits.turn_ns;
  iso->tasks_ready_last = &iso->tasks_ready;
  iso->log_tokens = iso->limits.log_lines_per_s;
  iso->L = lua_newstate(memory_account, iso);
  if (!iso->L) {
    pool_free(&iso->pool);
    value_unref((struct value *)iso->limits.grant);
    free(iso->name);
    free(iso);
    return fault_set(f, -ENOMEM, "%s: out of memory", name);
  }
  lua_atpanic(iso->L, on_panic);
  if (!iso->limits.compiled)
    luaJIT_setmode(iso->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
  iso->next = vm->first;
  iso->link = &vm->first;
  if (iso->next)
    iso->next->link = &iso->next;
  vm->first = iso;
  vm->isolates++;
  int status = lua_cpcall(iso->L, (lua_CFunction)open_state, NULL);
  if (status != 0) {
    int code = isolate_explain(iso, iso->L, status, false, f);
    isolate_free(iso);
    return code;
  }
  *out = iso;
  return 0;
}

static void isolate_end(struct isolate *iso) {
  struct vm *vm = iso->vm;
  iso->depth++; /* what ends below must not end it again */
  tasks_end(iso);
  iso->closing = true;
  handles_end(iso);
  log_budget_settle(iso);
  lua_close(iso->L);
  pool_free(&iso->pool);
  vm->isolates--;
  *iso->link = iso->next;
  if (iso->next)
    iso->next->link = iso->link;
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

void isolate_free(struct isolate *iso) {
  if (!iso || iso->ending)
    return;
  iso->ending = true;
  if (iso->depth == 0)
    isolate_end(iso);
}

void isolate_hold(struct isolate *iso) {
  iso->depth++;
}

void isolate_release(struct isolate *iso) {
  if (iso->depth == 1)
    memory_settle(iso);
  if (--iso->depth == 0 && iso->ending)
    isolate_end(iso);
}

const struct isolate_limits *isolate_limits(const struct isolate *iso) {
  return &iso->limits;
}

struct vm *isolate_vm(const struct isolate *iso) {
  return iso->vm;
}

bool isolate_busy(const struct isolate *iso) {
  return iso->sliced != NULL;
}

bool isolate_dead(const struct isolate *iso) {
  return iso->dead;
}

void isolate_stats(const struct isolate *iso, struct isolate_stats *out) {
  *out = (struct isolate_stats){
      .memory = iso->memory,
      .memory_peak = iso->memory_peak,
      .tasks = iso->task_count,
      .handles = iso->handle_count,
      .turns = iso->turns,
      .killed = iso->kills,
      .errors = iso->errors,
      .log_suppressed = iso->log_suppressed,
  };
}

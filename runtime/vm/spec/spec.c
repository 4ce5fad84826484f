#include "vm/spec/spec.h"
#include "base/clock.h"
#include "base/value.h"
#include "vm/isolate/grant.h"
#include "vm/isolate/inside.h"
#include "vm/isolate/script.h"
#include "vm/spec/spec_bench.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_NS 86400e9
enum { STEPS_A_LOOK = 4096 }; /* between two looks at how long it takes */

/* ---- the clock, and chance ---- */

struct own_time {
  int64_t now_ns;
  uint64_t random;
};

static const int64_t began_ns = 3600 * INT64_C(1000000000);
static const int64_t began_us = INT64_C(1767225600) * 1000000; /* 2026-01-01T00:00:00Z */

static int64_t own_now(void *arg) {
  return ((struct own_time *)arg)->now_ns;
}

static int64_t own_wall(void *arg) {
  return began_us + (((struct own_time *)arg)->now_ns - began_ns) / 1000;
}

static uint64_t own_random(void *arg) { /* splitmix64, as clock.c's */
  uint64_t z = ((struct own_time *)arg)->random += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static double real_now(void) {
  return (double)clock_real_ns() / 1e9;
}

/* ---- loading ---- */

struct spec {
  const struct spec_options *options;
  struct vm *vm;
  struct own_time time;
  struct spec_bench bench;
  struct value *declared; /* { names = { ... }, grant = { ... } or nil }, as the file says */
  struct fault *fault;
};

/* Pushes the function `name` of lua/perigee/test.lua. */
static void push_runner(lua_State *L, const char *name) {
  lua_getfield(L, LUA_REGISTRYINDEX, "spec");
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
}

static int declare_body(lua_State *L, void *arg) {
  struct spec *s = arg;
  lua_gc(L, LUA_GCSETPAUSE, 300); /* what is marked is mostly the library; more leaves the cache */
  push_runner(L, "declare");
  if (luaL_loadfilex(L, s->options->spec, "t") != 0)
    return lua_error(L);
  push_runner(L, "words");
  lua_setfenv(L, -2);
  isolate_call(L, 1, 1);
  value_unref(s->declared);
  s->declared = NULL;
  return read_value(L, -1, &s->declared, s->fault);
}

/* The plugin and its spec in a fresh isolate. */
static int load(struct spec *s) {
  const struct spec_options *o = s->options;
  struct value *grant = NULL;
  if (!o->ships && grant_value(o->kind, value_get(s->declared, "grant"), &grant) != 0)
    return fault_set(s->fault, -ENOMEM, "out of memory");
  struct isolate_limits limits = {.grant = grant};
  int code = plugin_load(s->vm, o->kind, o->name, o->plugin, &limits, &s->bench.plugin, s->fault);
  value_unref(grant);
  if (code == 0)
    code = isolate_enter(plugin_isolate(s->bench.plugin), declare_body, s, s->fault);
  if (code != 0)
    bench_clear(&s->bench);
  return code;
}

/* ---- a test ---- */

struct run {
  struct task_watch watch; /* first: on_ended gets it */
  struct spec *spec;
  size_t number; /* 1-based */
  struct task *task;
  bool over;
};

static void on_ended(struct task_watch *w, struct task *t) {
  (void)t;
  ((struct run *)w)->over = true;
}

static int start_body(lua_State *L, void *arg) {
  struct run *r = arg;
  struct task_start start = {0};
  push_runner(L, "run");
  lua_pushinteger(L, (lua_Integer)r->number);
  r->task = task_spawn(L, 1, &start);
  if (!r->task)
    return fault_set(r->spec->fault, -EAGAIN, "too many tasks");
  task_ref(r->task);
  r->watch.ended = on_ended;
  task_watch(r->task, &r->watch);
  return 0;
}

/* Until the test is over; or what keeps it from that. */
static const char *drive(struct run *r) {
  struct spec *s = r->spec;
  double until = real_now() + s->options->patience_s;
  int64_t due_ns;
  for (unsigned steps = 1; !r->over; steps++) {
    if (steps % STEPS_A_LOOK == 0 && real_now() > until)
      return "it takes too long: more steps than a test can wait for";
    if (vm_step(s->vm, &due_ns))
      continue;
    if (due_ns == INT64_MAX)
      return "it waits for what never comes: nothing is due any more";
    s->time.now_ns = due_ns;
  }
  return NULL;
}

static const char *text_at(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
}

/* Its results: whether it passed, why not, and what the plugin logged. */
static void tell(const struct run *r, const char *stuck, struct spec_result *out) {
  const char *text;
  int status = stuck ? 0 : task_status(r->task, &text);
  if (stuck || status != 0) {
    out->text = stuck ? stuck : text;
    return;
  }
  lua_State *L = task_stack(r->task);
  out->passed = lua_toboolean(L, 1);
  out->text = text_at(L, 2);
  out->log = text_at(L, 3);
}

static int run_test(struct spec *s, size_t number, const char *name, spec_fn each, void *arg) {
  struct run r = {.spec = s, .number = number};
  struct spec_result result = {.name = name, .text = "", .log = ""};
  double from = real_now();
  s->time = (struct own_time){.now_ns = began_ns, .random = s->options->seed};
  int code = load(s);
  if (code == 0)
    code = isolate_enter(plugin_isolate(s->bench.plugin), start_body, &r, s->fault);
  if (code != 0) {
    bench_clear(&s->bench);
    return code;
  }
  const char *stuck = drive(&r);
  result.seconds = real_now() - from;
  result.days = (double)(s->time.now_ns - began_ns) / DAY_NS;
  tell(&r, stuck, &result);
  each(arg, &result);
  task_unwatch(&r.watch);
  task_unref(r.task);
  bench_clear(&s->bench);
  return 0;
}

static int run_all(struct spec *s, spec_fn each, void *arg) {
  int code = load(s);
  if (code != 0)
    return code;
  bench_clear(&s->bench);
  struct value *names = value_ref(value_get(s->declared, "names"));
  if (value_length(names) == 0)
    code = fault_set(s->fault, -ENOENT, "%s: no test in it: it(\"name\", function(t) ... end)",
                     s->options->spec);
  for (size_t i = 0; code == 0 && i < value_length(names); i++) {
    const char *name = value_as_text(value_at(names, i), ""), *filter = s->options->filter;
    if (!filter || strstr(name, filter))
      code = run_test(s, i + 1, name, each, arg);
  }
  value_unref(names);
  return code;
}

int spec_run(const struct spec_options *options, spec_fn each, void *arg, struct fault *f) {
  struct spec s = {.options = options, .fault = f, .time.now_ns = began_ns};
  struct clock_source own = {own_now, own_wall, own_random, &s.time};
  uv_loop_t loop;
  int code = uv_loop_init(&loop);
  if (code != 0)
    return fault_set(f, code, "%s", uv_strerror(code));
  clock_use(&own);
  struct vm_config config = {.loop = &loop, .library = options->library, .scripted = true};
  code = vm_new(&config, &s.vm, f);
  if (code == 0) {
    s.vm->bench = &s.bench;
    s.bench.vm = s.vm;
    code = run_all(&s, each, arg);
    vm_free(s.vm);
  }
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
  clock_use(NULL);
  value_unref(s.declared);
  return code;
}

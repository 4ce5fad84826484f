/* attachment: one use of a plugin, and the calls that are under way in it. */
#include "base/schema.h"
#include "base/value.h"
#include "vm/bindings.h"
#include "vm/inside.h"
#include "vm/plugin.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

struct attachment {
  struct plugin *plugin;
  struct value *options;
  char *subject;
  int ref_options, ref_ctx;
  struct call *calls;
  bool ending;
};

struct call {
  struct task_watch watch; /* first: on_ended gets it */
  struct call *next, **link;
  struct isolate *isolate;
  call_done_fn done;
  void *arg;
};

/* ctx is small, as there may be ten thousand of them: what all share is in the metatable's own
 * table (upvalue 1), and `state` and `log` are made when they are first asked for. */
static int ctx_index(lua_State *L) {
  const char *key = lua_tostring(L, 2);
  if (key && strcmp(key, "state") == 0) {
    lua_newtable(L);
  } else if (key && strcmp(key, "log") == 0) {
    lua_getfield(L, 1, "service");
    push_service_log(L, lua_tostring(L, -1));
  } else {
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
  }
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_rawset(L, 1);
  return 1;
}

static void copy_field(lua_State *L, const char *table, const char *field, const char *as) {
  lua_getglobal(L, "perigee");
  if (table) {
    lua_getfield(L, -1, table);
    lua_remove(L, -2);
  }
  lua_getfield(L, -1, field);
  lua_setfield(L, -3, as);
  lua_pop(L, 1);
}

static void push_ctx_metatable(lua_State *L) {
  if (!luaL_newmetatable(L, "ctx"))
    return;
  lua_newtable(L);
  push_value(L, isolate_vm(isolate_of(L))->host);
  lua_setfield(L, -2, "host");
  copy_field(L, "time", "now", "now");
  copy_field(L, NULL, "random", "random");
  lua_pushcclosure(L, ctx_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "ctx");
  lua_setfield(L, -2, "__metatable");
}

static int attach_body(lua_State *L, void *arg) {
  struct attachment *a = arg;
  push_value(L, a->options);
  a->ref_options = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  push_ctx_metatable(L);
  lua_setmetatable(L, -2);
  a->ref_ctx = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

int plugin_attach(struct plugin *p, const struct value *options, const char *path,
                  struct attachment **out, struct findings *findings) {
  struct attachment *a = calloc(1, sizeof *a);
  struct fault f;
  if (!a)
    return -ENOMEM;
  a->plugin = p;
  a->ref_options = a->ref_ctx = LUA_NOREF;
  if (schema_check(p->schema, options, path, findings, &a->options) > 0) {
    free(a);
    return -EINVAL;
  }
  int code = isolate_enter(p->isolate, attach_body, a, &f);
  if (code != 0) {
    findings_add(findings, options, path, "%s", f.text);
    attachment_free(a);
    return code;
  }
  *out = a;
  return 0;
}

struct plugin *attachment_plugin(const struct attachment *a) {
  return a->plugin;
}

const struct value *attachment_options(const struct attachment *a) {
  return a->options;
}

struct naming {
  struct attachment *attachment;
  const char *service;
};

static int service_body(lua_State *L, void *arg) {
  struct naming *n = arg;
  lua_rawgeti(L, LUA_REGISTRYINDEX, n->attachment->ref_ctx);
  lua_pushstring(L, n->service);
  lua_setfield(L, -2, "service");
  lua_pushnil(L);
  lua_setfield(L, -2, "log"); /* made anew when it is next asked for */
  return 0;
}

int attachment_service(struct attachment *a, const char *service) {
  struct naming n = {a, service};
  return isolate_enter(a->plugin->isolate, service_body, &n, NULL);
}

int attachment_subject(struct attachment *a, const char *address) {
  char *copy = strdup(address);
  if (!copy)
    return -ENOMEM;
  free(a->subject); /* no call is under way, whose tasks would have it */
  a->subject = copy;
  return 0;
}

static void call_unlink(struct call *c) {
  *c->link = c->next;
  if (c->next)
    c->next->link = c->link;
}

static void on_ended(struct task_watch *w, struct task *t) {
  struct call *c = (struct call *)w;
  struct isolate *iso = c->isolate;
  struct fault fault = {0};
  const char *text;
  fault.code = task_status(t, &text);
  if (fault.code != 0)
    fault_set(&fault, fault.code, "%s", text);
  struct call_result result = {.status = fault.code, .L = task_stack(t), .fault = &fault};
  result.results = fault.code == 0 ? lua_gettop(result.L) : 0;
  call_unlink(c);
  isolate_hold(iso); /* `done` may free the plugin */
  c->done(c->arg, &result);
  free(c);
  isolate_release(iso);
}

struct starting {
  struct attachment *attachment;
  const char *name;
  int (*push)(lua_State *L, void *arg);
  void *arg;
  int64_t deadline_ns;
  struct task *task;
};

static int start_body(lua_State *L, void *arg) {
  struct starting *s = arg;
  struct task_start start = {.deadline_ns = s->deadline_ns, .subject = s->attachment->subject};
  if (!plugin_push_function(L, s->attachment->plugin, s->name))
    return -ENOSYS;
  int pushed = s->push ? s->push(L, s->arg) : 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->attachment->ref_options);
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->attachment->ref_ctx);
  s->task = task_spawn(L, pushed + 2, &start);
  return s->task ? 0 : -EAGAIN;
}

int attachment_call(struct attachment *a, const char *name, int (*push)(lua_State *L, void *arg),
                    call_done_fn done, void *arg, int64_t deadline_ns, struct call **out) {
  struct starting s = {a, name, push, arg, deadline_ns, NULL};
  if (a->ending)
    return -ECANCELED;
  struct call *c = calloc(1, sizeof *c);
  if (!c)
    return -ENOMEM;
  c->isolate = a->plugin->isolate;
  int code = isolate_enter(c->isolate, start_body, &s, NULL);
  if (code != 0) {
    free(c);
    return code;
  }
  c->done = done;
  c->arg = arg;
  c->watch.ended = on_ended;
  task_watch(s.task, &c->watch);
  c->next = a->calls;
  c->link = &a->calls;
  if (c->next)
    c->next->link = &c->next;
  a->calls = c;
  if (out)
    *out = c;
  return 0;
}

struct running {
  struct attachment *attachment;
  const char *name;
  const struct attachment_turn *turn;
};

static int run_body(lua_State *L, void *arg) {
  struct running *r = arg;
  int bottom = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->attachment->ref_ctx);
  if (!plugin_push_function(L, r->attachment->plugin, r->name))
    return -ENOSYS;
  int pushed = r->turn->push(L, bottom + 1, r->turn->arg);
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->attachment->ref_options);
  lua_pushvalue(L, bottom + 1);
  isolate_call(L, pushed + 2, LUA_MULTRET);
  return r->turn->take(L, lua_gettop(L) - bottom - 1, r->turn->arg);
}

int attachment_run(struct attachment *a, const char *name, const struct attachment_turn *turn,
                   struct fault *f) {
  struct running r = {a, name, turn};
  if (a->ending)
    return fault_set(f, -ECANCELED, "the plugin's use has ended");
  if (isolate_busy(a->plugin->isolate))
    return fault_set(f, -EAGAIN, "the plugin is in the middle of something else");
  return isolate_enter(a->plugin->isolate, run_body, &r, f);
}

void call_cancel(struct call *c) {
  struct isolate *iso = c->isolate;
  struct task *t = task_ref(c->watch.task);
  isolate_hold(iso);
  call_unlink(c);
  task_unwatch(&c->watch);
  task_end(t, -ECANCELED, "cancelled");
  task_unref(t);
  free(c);
  isolate_release(iso);
}

void attachment_free(struct attachment *a) {
  if (!a)
    return;
  struct isolate *iso = a->plugin->isolate;
  isolate_hold(iso);
  a->ending = true;
  while (a->calls) {
    struct call *c = a->calls;
    struct fault fault;
    struct task *t = task_ref(c->watch.task);
    struct call_result result = {.L = task_stack(t), .fault = &fault};
    result.status = fault_set(&fault, -ECANCELED, "the plugin's use has ended");
    call_unlink(c);
    task_unwatch(&c->watch);
    task_end(t, -ECANCELED, fault.text); /* a running one ends when it comes back */
    task_unref(t);
    c->done(c->arg, &result);
    free(c);
  }
  if (!isolate_dead(iso)) {
    luaL_unref(iso->L, LUA_REGISTRYINDEX, a->ref_options);
    luaL_unref(iso->L, LUA_REGISTRYINDEX, a->ref_ctx);
  }
  value_unref(a->options);
  free(a->subject);
  free(a);
  isolate_release(iso);
}

/* attachment: one use of a plugin, and the calls that are under way in it. */
#include "base/fault.h"
#include "base/log.h"
#include "base/schema.h"
#include "base/value.h"
#include "vm/bind/bindings.h"
#include "vm/plugin/plugin_inside.h"
#include "vm/isolate/script.h"
#include "vm/plugin/secrets.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

struct call {
  struct task_watch watch; /* first: on_ended gets it */
  struct call *next, **link;
  struct edition *edition;
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

/* What moves is read when it is asked for: `load`, the run queue's average of the last minute. */
static int host_index(lua_State *L) {
  double load;
  const char *key = lua_tostring(L, 2);
  if (!key || strcmp(key, "load") != 0 || getloadavg(&load, 1) != 1)
    return 0;
  lua_pushnumber(L, load);
  return 1;
}

static void push_host(lua_State *L) {
  const struct value *facts = isolate_vm(isolate_of(L))->host;
  if (scripted(L)) {
    script_tell(L, "host", 0, 1);
    return;
  }
  if (value_kind(facts) == VALUE_TABLE)
    push_value(L, facts);
  else
    lua_newtable(L);
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, host_index);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "host");
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
}

static void push_ctx_metatable(lua_State *L) {
  if (!luaL_newmetatable(L, "ctx"))
    return;
  lua_newtable(L);
  push_host(L);
  lua_setfield(L, -2, "host");
  copy_field(L, "time", "now", "now");
  copy_field(L, NULL, "random", "random");
  lua_pushcclosure(L, ctx_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "ctx");
  lua_setfield(L, -2, "__metatable");
}

static int host_body(lua_State *L, void *arg) {
  (void)arg;
  luaL_getmetatable(L, "ctx");
  if (lua_isnil(L, -1)) /* nothing is attached to it yet */
    return 0;
  lua_getfield(L, -1, "__index");
  lua_getupvalue(L, -1, 1);
  push_host(L);
  lua_setfield(L, -2, "host");
  return 0;
}

void vm_host(struct vm *vm, const struct value *host) {
  struct value *old = vm->host;
  struct fault f;
  vm->host = value_ref(host);
  value_unref(old);
  for (struct isolate *iso = vm->first; iso; iso = iso->next)
    if (!iso->dead && isolate_enter(iso, host_body, NULL, &f) != 0)
      log_error("a plugin is not told what the host is now", LOG_S("plugin", iso->name),
                LOG_S("error", f.text));
}

struct making {
  struct use *use;
  const char *service;
};

static int use_body(lua_State *L, void *arg) {
  const struct making *m = arg;
  push_value(L, m->use->options);
  m->use->ref_options = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  push_ctx_metatable(L);
  lua_setmetatable(L, -2);
  if (m->service) {
    lua_pushstring(L, m->service);
    lua_setfield(L, -2, "service");
  }
  m->use->ref_ctx = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

int use_make(struct attachment *a, const struct edition *e, struct use *out,
             struct findings *findings) {
  struct fault f;
  struct making m = {out, a->service};
  *out = (struct use){.ref_options = LUA_NOREF, .ref_ctx = LUA_NOREF};
  if (secrets_note(a->written, &out->secrets) != 0)
    return -ENOMEM;
  if (schema_check(e->schema, a->written, a->path, findings, &out->options) > 0) {
    use_clear(out, e);
    return -EINVAL;
  }
  int code = isolate_enter(e->isolate, use_body, &m, &f);
  out->made = true;
  if (code == 0)
    return 0;
  findings_add(findings, a->written, a->path, "%s", f.text);
  use_clear(out, e);
  return code;
}

void use_clear(struct use *u, const struct edition *e) {
  if (u->made && !isolate_dead(e->isolate)) {
    luaL_unref(e->isolate->L, LUA_REGISTRYINDEX, u->ref_options);
    luaL_unref(e->isolate->L, LUA_REGISTRYINDEX, u->ref_ctx);
  }
  value_unref(u->options);
  secrets_free(u->secrets);
  *u = (struct use){0};
}

int plugin_attach(struct plugin *p, const struct value *options, const char *path,
                  struct attachment **out, struct findings *findings) {
  struct attachment *a = calloc(1, sizeof *a);
  if (!a || !(a->path = strdup(path))) {
    free(a);
    return -ENOMEM;
  }
  a->plugin = p;
  a->written = options ? value_ref(options) : NULL;
  a->next = p->attachments;
  a->link = &p->attachments;
  if (a->next)
    a->next->link = &a->next;
  p->attachments = a;
  int code = use_make(a, p->editions[NOW], &a->uses[NOW], findings);
  if (code == 0)
    *out = a;
  else
    attachment_free(a);
  return code;
}

struct plugin *attachment_plugin(const struct attachment *a) {
  return a->plugin;
}

const struct value *attachment_written(const struct attachment *a) {
  return a->written;
}

const struct value *attachment_options(const struct attachment *a) {
  return a->uses[NOW].options;
}

bool attachment_may_age(const struct attachment *a) {
  return a->uses[NOW].secrets != NULL;
}

bool attachment_aged(const struct attachment *a) {
  return secrets_changed(a->uses[NOW].secrets);
}

void attachment_follow(struct attachment *a, const struct attachment_events *events, void *arg) {
  a->events = events;
  a->events_arg = arg;
}

struct naming {
  const struct use *use;
  const char *service;
};

static int service_body(lua_State *L, void *arg) {
  struct naming *n = arg;
  lua_rawgeti(L, LUA_REGISTRYINDEX, n->use->ref_ctx);
  lua_pushstring(L, n->service);
  lua_setfield(L, -2, "service");
  lua_pushnil(L);
  lua_setfield(L, -2, "log"); /* made anew when it is next asked for */
  return 0;
}

int attachment_service(struct attachment *a, const char *service) {
  char *copy = strdup(service);
  int code = copy ? 0 : -ENOMEM;
  for (int i = 0; code == 0 && i < PLACES; i++) {
    struct naming n = {&a->uses[i], service};
    if (a->uses[i].made)
      code = isolate_enter(a->plugin->editions[i]->isolate, service_body, &n, NULL);
  }
  free(code == 0 ? a->service : copy);
  if (code == 0)
    a->service = copy;
  return code;
}

int attachment_subject(struct attachment *a, const char *address) {
  char *copy = strdup(address);
  if (!copy)
    return -ENOMEM;
  free(a->subject); /* no call is under way, whose tasks would have it */
  a->subject = copy;
  return 0;
}

/* Whose call's `done` runs just now. */
static _Thread_local const struct edition *telling;

bool plugin_told_by_old(const struct plugin *p) {
  return telling && telling->plugin == p && telling != p->editions[NOW];
}

static void call_unlink(struct call *c) {
  *c->link = c->next;
  if (c->next)
    c->next->link = c->link;
}

/* Tells its owner, who may free the plugin, and ends it. */
static void call_tell(struct call *c, const struct call_result *result) {
  struct edition *e = c->edition;
  const struct edition *outer = telling;
  telling = e;
  c->done(c->arg, result);
  telling = outer;
  free(c);
  edition_release(e);
}

static void on_ended(struct task_watch *w, struct task *t) {
  struct call *c = (struct call *)w;
  struct plugin *p = c->edition->plugin;
  struct fault fault = {0};
  const char *text;
  fault.code = task_status(t, &text);
  if (fault.code != 0)
    fault_set(&fault, fault.code, "%s", text);
  struct call_result result = {.status = fault.code, .L = task_stack(t), .fault = &fault};
  result.results = fault.code == 0 ? lua_gettop(result.L) : 0;
  call_unlink(c);
  if (p->called && c->edition == p->editions[NOW] && fault.code != -ECANCELED)
    p->called(p->called_arg, p, fault.code != 0 && fault.code != -ETIMEDOUT);
  call_tell(c, &result);
}

struct starting {
  const struct edition *edition;
  const struct use *use;
  const char *subject;
  const struct call_start *how;
  struct fault *fault;
  struct task *task;
};

static int start_body(lua_State *L, void *arg) {
  struct starting *s = arg;
  const struct call_start *how = s->how;
  struct task_start start = {
      .deadline_ns = how->deadline_ns, .subject = s->subject, .pace = how->pace};
  if (!edition_push_function(L, s->edition, how->name))
    return fault_set(s->fault, -ENOSYS, "the plugin has no function \"%s\"", how->name);
  int pushed = how->push ? how->push(L, how->arg) : 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->use->ref_options);
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->use->ref_ctx);
  s->task = task_spawn(L, pushed + 2, &start);
  return s->task ? 0 : fault_set(s->fault, -EAGAIN, "the plugin has too many tasks");
}

int call_start(struct attachment *a, const struct call_start *how, struct call **out,
               struct fault *f) {
  struct edition *e = a->plugin->editions[how->place];
  struct starting s = {e, &a->uses[how->place], a->subject, how, f, NULL};
  if (a->ending)
    return fault_set(f, -ECANCELED, "the plugin's use has ended");
  if (!a->uses[how->place].made)
    return fault_set(f, -EINVAL, "the plugin's new version does not take these options");
  struct call *c = calloc(1, sizeof *c);
  if (!c)
    return fault_set(f, -ENOMEM, "out of memory");
  int code = isolate_enter(e->isolate, start_body, &s, f);
  if (code != 0) {
    free(c);
    return code;
  }
  *c = (struct call){.edition = e, .done = how->done, .arg = how->arg, .watch.ended = on_ended};
  e->calls++;
  task_watch(s.task, &c->watch);
  c->next = a->calls;
  c->link = &a->calls;
  if (c->next)
    c->next->link = &c->next;
  a->calls = c;
  if (out)
    *out = c;
  if (how->pace != TASK_WAITS)
    task_begin(s.task);
  return 0;
}

int attachment_call(struct attachment *a, const char *name, int (*push)(lua_State *L, void *arg),
                    call_done_fn done, void *arg, int64_t deadline_ns, struct call **out) {
  const struct call_start how = {NOW, TASK_WAITS, name, push, done, arg, deadline_ns};
  return call_start(a, &how, out, NULL);
}

const char *call_text(const struct call_result *r, int number) {
  int at = number - 1 - r->results;
  return at < 0 && lua_type(r->L, at) == LUA_TSTRING ? lua_tostring(r->L, at) : NULL;
}

void call_cancel(struct call *c) {
  struct edition *e = c->edition;
  struct task *t = task_ref(c->watch.task);
  call_unlink(c);
  task_unwatch(&c->watch);
  task_end(t, -ECANCELED, "cancelled");
  task_unref(t);
  free(c);
  edition_release(e);
}

void calls_cancel(struct attachment *a, const struct edition *e) {
  for (struct call *c = a->calls, *next; c; c = next) {
    next = c->next;
    if (c->edition == e)
      call_cancel(c);
  }
}

void attachment_free(struct attachment *a) {
  if (!a)
    return;
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
    call_tell(c, &result);
  }
  for (int i = 0; i < PLACES; i++)
    use_clear(&a->uses[i], a->plugin->editions[i]);
  *a->link = a->next;
  if (a->next)
    a->next->link = a->link;
  value_unref(a->written);
  free(a->path);
  free(a->service);
  free(a->subject);
  free(a);
}

/* What lua/perigee/test.lua is made of: a plugin's spec calls the plugin as the agent would.
 *
 *     use(options): its number; or nil and what is wrong with the options
 *     about(use, service, address): what its calls are about from now on
 *     call(use, function, seconds, ...): true and what the plugin returned; false, message, code
 *         for a fault of the plugin's: it raised, was killed, was late
 *     plan(use, service, list): see bind_spec_plan.c
 *     seconds(duration), provides(function), every(): the plugin's own
 *     as_instance(table, service): an instance as plugins are handed it; or nil, message
 *     set(service): a set; rows(service): the instances in it, each with its `status`
 *     stale(service[, true]): whether that set is stale; makes it so
 *     nearest(word, list): the word of the list that was meant, or nil
 *     publish(): what changed in the sets can be picked
 *     signal(), response(request, reply): see script.h and script_http.c */
#include "base/buf.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/text.h"
#include "base/value.h"
#include "vm/bind/bind_io.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"
#include "vm/bind/read_instance.h"
#include "vm/isolate/script.h"
#include "vm/plugin/plugin_inside.h"
#include "vm/spec/spec_bench.h"
#include "watch/set.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

enum {
  EVERY_S = 10
}; /* a watch that returned true is called again, where the plugin says nothing */

static struct spec_bench *bench_of(lua_State *L) {
  struct spec_bench *b = isolate_of(L)->vm->bench;
  if (!b || !b->plugin)
    luaL_error(L, "only inside of a test: it(name, function(t) ... end)");
  return b;
}

static int push_findings(lua_State *L, struct findings *findings) {
  struct buf *text = push_buf(L);
  findings_print(findings, text);
  findings_free(findings);
  if (text->length && text->data[text->length - 1] == '\n')
    text->length--;
  lua_pushnil(L);
  lua_pushlstring(L, text->data ? text->data : "", text->length);
  return 2;
}

static int use_call(lua_State *L) {
  struct spec_bench *b = bench_of(L);
  struct value *options = NULL;
  struct findings findings = {0};
  struct fault f = {0};
  luaL_argcheck(L, b->use_count < BENCH_USES_MAX, 1, "too many uses of the plugin in one test");
  int code = lua_isnil(L, 1) ? 0 : read_value(L, 1, &options, &f);
  if (code != 0)
    return push_error(L, code, "%s", f.text);
  code = plugin_attach(b->plugin, options, "options", &b->uses[b->use_count], &findings);
  value_unref(options);
  if (code != 0)
    return push_findings(L, &findings);
  lua_pushinteger(L, (lua_Integer)++b->use_count);
  return 1;
}

/* ---- calling the plugin ---- */

struct calling {
  struct call *call;
  struct task_wait *wait;
  lua_State *from; /* who calls: arguments are taken from here */
  int first, count;
};

static int push_arguments(lua_State *L, void *arg) {
  const struct calling *c = arg;
  luaL_checkstack(L, c->count, "too many arguments");
  luaL_checkstack(c->from, c->count, "too many arguments");
  for (int i = 0; i < c->count; i++)
    lua_pushvalue(c->from, c->first + i);
  lua_xmove(c->from, L, c->count);
  return c->count;
}

static int push_outcome(lua_State *L, void *arg) {
  const struct call_result *r = arg;
  if (r->status != 0) {
    push_error(L, r->status, "%s", r->fault->text);
    lua_pushboolean(L, 0);
    lua_replace(L, -4);
    return 3;
  }
  luaL_checkstack(L, r->results + 1, "too many results");
  lua_pushboolean(L, 1);
  for (int i = 1; i <= r->results; i++) {
    lua_pushvalue(r->L, i);
    lua_xmove(r->L, L, 1);
  }
  return r->results + 1;
}

static void on_done(void *arg, const struct call_result *result) {
  struct calling *c = arg;
  struct task_wait *w = c->wait;
  free(c);
  if (w)
    task_wake(w, push_outcome, (void *)result);
}

static void calling_cancel(void *operation) {
  struct calling *c = operation;
  call_cancel(c->call);
  free(c);
}

struct attachment *bench_use(lua_State *L, int index) {
  struct spec_bench *b = bench_of(L);
  lua_Integer use = luaL_checkinteger(L, index);
  luaL_argcheck(L, use >= 1 && (size_t)use <= b->use_count, index, "no such use");
  return b->uses[use - 1];
}

static int about_call(lua_State *L) {
  struct attachment *a = bench_use(L, 1);
  const char *address = luaL_checkstring(L, 3);
  if (attachment_service(a, luaL_checkstring(L, 2)) != 0 || attachment_subject(a, address) != 0)
    return luaL_error(L, "out of memory");
  return 0;
}

static int call_call(lua_State *L) {
  struct attachment *a = bench_use(L, 1);
  const char *name = luaL_checkstring(L, 2);
  int64_t deadline_ns = duration_check(L, 3);
  wait_check(L);
  struct calling *c = calloc(1, sizeof *c);
  if (!c)
    return luaL_error(L, "out of memory");
  *c = (struct calling){.from = L, .first = 4, .count = lua_gettop(L) - 3};
  int code = attachment_call(a, name, push_arguments, on_done, c, deadline_ns, &c->call);
  if (code != 0) {
    free(c);
    return luaL_error(L, code == -ENOSYS ? "the plugin has no function %s" : "cannot call %s",
                      name);
  }
  return task_wait(L, c, calling_cancel, &c->wait);
}

static int seconds_call(lua_State *L) {
  lua_pushnumber(L, (double)duration_check(L, 1) / 1e9);
  return 1;
}

static int provides_call(lua_State *L) {
  lua_pushboolean(L, plugin_push_function(L, bench_of(L)->plugin, luaL_checkstring(L, 1)));
  return 1;
}

static int every_call(lua_State *L) {
  double every = plugin_every(bench_of(L)->plugin);
  lua_pushnumber(L, every > 0 ? every : EVERY_S);
  return 1;
}

/* ---- what it is called with ---- */

static int instance_call(lua_State *L) {
  struct value *v = NULL;
  struct instance *in = NULL;
  enum status status;
  struct fault f = {0};
  int code = read_value(L, 1, &v, &f);
  if (v)
    code = read_instance(v, luaL_checkstring(L, 2), &in, &status, &f);
  value_unref(v);
  if (code != 0)
    return push_error(L, code, "%s", f.text);
  push_instance(L, in);
  instance_unref(in);
  return 1;
}

static int set_call(lua_State *L) {
  struct spec_bench *b = bench_of(L);
  luaL_argcheck(L, b->set_count < BENCH_SETS_MAX, 1, "too many sets in one test");
  struct fault f = {0};
  struct sets *sets = bench_sets(b, &f);
  struct set *s = sets ? sets_open(sets, luaL_checkstring(L, 1)) : NULL;
  if (!s)
    return luaL_error(L, "%s", sets ? "out of memory" : f.text);
  b->bindings[b->set_count++] = push_set(L, s);
  return 1;
}

static int publish_call(lua_State *L) {
  struct spec_bench *b = bench_of(L);
  lua_pushinteger(L, b->sets ? (lua_Integer)sets_flush(b->sets) : 0);
  return 1;
}

static int rows_call(lua_State *L) {
  struct spec_bench *b = bench_of(L);
  push_rows(L, b->sets ? sets_find(b->sets, luaL_checkstring(L, 1)) : NULL);
  return 1;
}

/* stale(service[, true]): whether the set of this service is, from now on with `true`. */
static int stale_call(lua_State *L) {
  struct spec_bench *b = bench_of(L);
  struct set *s = b->sets ? sets_find(b->sets, luaL_checkstring(L, 1)) : NULL;
  if (s && lua_toboolean(L, 2))
    set_stale(s, true);
  lua_pushboolean(L, s && set_stale_ns(s) != 0);
  return 1;
}

/* nearest(word, list): the word of the list that was meant, or nil. */
static int nearest_call(lua_State *L) {
  enum { KNOWN_MAX = 64 };
  const char *known[KNOWN_MAX];
  const char *word = luaL_checkstring(L, 1);
  size_t count = lua_objlen(L, 2);
  luaL_argcheck(L, count <= KNOWN_MAX, 2, "too many words");
  luaL_checkstack(L, (int)count, "words");
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 2, (int)i + 1);
    known[i] = luaL_checkstring(L, -1);
  }
  lua_pushstring(L, nearest_word(word, known, count));
  return 1;
}

void open_spec(lua_State *L, int host) {
  static const struct luaL_Reg verbs[] = {{"use", use_call},         {"about", about_call},
                                          {"call", call_call},       {"plan", spec_plan},
                                          {"seconds", seconds_call}, {"provides", provides_call},
                                          {"every", every_call},     {"as_instance", instance_call},
                                          {"set", set_call},         {"rows", rows_call},
                                          {"publish", publish_call}, {"stale", stale_call},
                                          {"nearest", nearest_call}, {NULL, NULL}};
  lua_pushvalue(L, host);
  luaL_register(L, NULL, verbs);
  open_signal(L);
  lua_setfield(L, -2, "signal");
  open_http_response(L);
  lua_setfield(L, -2, "response");
  lua_pop(L, 1);
}

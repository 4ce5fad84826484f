/* set: where a registry plugin puts what it finds: set:put{...}, set:remove(id), set:replace{...}.
 * All return true, or nil, message, code; nothing changes then. set:replace(list, { lenient = true
 * }) leaves out what is no instance, as one bad entry of somebody must not hide the others, and
 * returns true, how many, and what was wrong with the first. Of two with one id the last counts,
 * and the log says so once. set:current() says that what is in the set is how things are, as
 * set:replace does: the service is not stale any more. set:stale(why[, age]) says that it may be
 * otherwise by now. set:batch(): see bind_batch.c. set:replace_json(body, map[, options]) is
 * set:replace of a whole answer, which is decoded outside Lua (json_map.h says what a map is); the
 * body is one that stayed outside Lua, or a text. */
#include "base/clock.h"
#include "base/log.h"
#include "base/value.h"
#include "io/fetch.h"
#include "vm/bind/bind_batch.h"
#include "vm/bind/bind_http.h"
#include "vm/bind/bind_io.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"
#include "vm/isolate/border.h"
#include "vm/bind/read_instance.h"
#include "watch/json_instances.h"
#include "watch/json_map.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#define SET_TYPE "set"

struct set_binding {
  struct handle handle;
  struct set *set;
  bool owned;   /* the host has not revoked it yet, and keeps the memory */
  bool current; /* since it was pushed, the plugin has said what is */
};

static int answer(lua_State *L, int code, const struct fault *f) {
  if (code != 0)
    return push_error(L, code, "%s", f->text);
  lua_pushboolean(L, 1);
  return 1;
}

static struct set *set_check(lua_State *L) {
  return ((struct set_binding *)handle_check(L, 1, SET_TYPE))->set;
}

static int put_call(lua_State *L) {
  struct set *s = set_check(L);
  struct value *v = NULL;
  struct instance *in = NULL;
  enum status status = STATUS_PASSING;
  struct fault f = {0};
  int code = read_value(L, 2, &v, &f);
  if (v)
    code = read_instance(v, set_service(s), &in, &status, &f);
  value_unref(v);
  if (in) {
    code = set_put(s, in, status);
    instance_unref(in);
    if (code != 0)
      fault_set(&f, code, "the set does not take it: %s", strerror(-code));
  }
  return answer(L, code, &f);
}

static int remove_call(lua_State *L) {
  struct set *s = set_check(L);
  const char *id = luaL_checkstring(L, 2);
  struct fault f = {0};
  int code = set_remove(s, id);
  if (code != 0)
    fault_set(&f, code, "%.200s: %s", id, code == -ENOENT ? "not in the set" : strerror(-code));
  return answer(L, code, &f);
}

/* Whether what is no instance is left out; how many were, and why the first was. */
struct leniency {
  bool wanted;
  struct json_left_out out;
};

/* What one entry says, added. */
static int add_one(struct set *s, const struct value *entry, struct instances *out,
                   struct fault *f) {
  struct instance *in = NULL;
  enum status status = STATUS_PASSING;
  int code = read_instance(entry, set_service(s), &in, &status, f);
  if (code == 0 && instances_add(out, in, status) != 0)
    code = fault_set(f, -ENOMEM, "out of memory");
  instance_unref(in);
  return code;
}

static int read_all(struct set *s, const struct value *list, struct leniency *lenient,
                    struct instances *out, struct fault *f) {
  for (size_t i = 0; i < value_length(list); i++) {
    struct fault why = {0};
    int code = add_one(s, value_at(list, i), out, &why);
    if (code == 0)
      continue;
    fault_set(f, code, "instance %zu: %.400s", i + 1, why.text);
    if (!lenient->wanted || code != -EINVAL)
      return code;
    if (lenient->out.count++ == 0)
      lenient->out.first = *f;
  }
  return 0;
}

static int replace_from(struct set *s, const struct value *list, struct leniency *lenient,
                        struct fault *f) {
  struct instances all = {0};
  if (value_kind(list) != VALUE_TABLE || value_fields(list) > 0)
    return fault_set(f, -EINVAL, "a list of instances is expected");
  int code = read_all(s, list, lenient, &all, f);
  code = code ? code : take_instances(s, &all, f);
  instances_free(&all);
  return code;
}

static int current_call(lua_State *L) {
  struct set_binding *b = (struct set_binding *)handle_check(L, 1, SET_TYPE);
  set_current(b->set);
  b->current = true;
  lua_pushboolean(L, 1);
  return 1;
}

static int stale_call(lua_State *L) {
  struct set_binding *b = (struct set_binding *)handle_check(L, 1, SET_TYPE);
  const char *why = luaL_checkstring(L, 2);
  int64_t age_ns = lua_isnoneornil(L, 3) ? 0 : duration_check(L, 3);
  if (!set_stale_ns(b->set))
    log_warn("what is known is stale", LOG_S("service", set_service(b->set)), LOG_S("why", why));
  set_stale_since(b->set, true, clock_now_ns() - age_ns);
  lua_pushboolean(L, 1);
  return 1;
}

static int via_call(lua_State *L) {
  set_via(set_check(L), luaL_optstring(L, 2, NULL));
  lua_pushboolean(L, 1);
  return 1;
}

/* The options at `index`. */
static struct leniency leniency_read(lua_State *L, int index) {
  static const char *const options[] = {"lenient", NULL};
  options_check(L, index, options);
  return (struct leniency){.wanted = option_flag(L, index, "lenient")};
}

static int replaced(lua_State *L, int code, const struct fault *f, const struct leniency *lenient) {
  if (code != 0)
    return answer(L, code, f);
  current_call(L);
  if (lenient->out.count == 0)
    return 1;
  lua_pushinteger(L, (lua_Integer)lenient->out.count);
  lua_pushstring(L, lenient->out.first.text);
  return 3;
}

static int replace_call(lua_State *L) {
  struct set *s = set_check(L);
  struct value *list = NULL;
  struct fault f = {0};
  struct leniency lenient = leniency_read(L, 3);
  int code = 0;
  if (lua_isuserdata(L, 2)) {
    code = batch_replace(L, 2, s, &f);
  } else if ((code = read_value(L, 2, &list, &f)) == 0) {
    code = replace_from(s, list, &lenient, &f);
    value_unref(list);
  }
  return replaced(L, code, &f, &lenient);
}

/* A body that lies outside Lua, or a text in a copy, which has room behind it. Raises. */
static const char *json_body(lua_State *L, int index, size_t *length) {
  static_assert((int)FETCH_PADDING >= (int)JSON_PADDING, "a body can be read as JSON");
  if (lua_type(L, index) != LUA_TSTRING)
    return http_body_check(L, index, length);
  const char *text = lua_tolstring(L, index, length);
  char *copy = lua_newuserdata(L, *length + JSON_PADDING);
  memcpy(copy, text, *length);
  return copy;
}

static int decode_into(struct set *s, const struct json_answer *wanted, struct leniency *lenient,
                       struct fault *f) {
  struct instances list = {0};
  int code = json_instances(wanted, &list, &lenient->out, f);
  code = code ? code : take_instances(s, &list, f);
  instances_free(&list);
  return code;
}

static int replace_json_call(lua_State *L) {
  struct set *s = set_check(L);
  struct value *declared = NULL;
  struct json_map *map = NULL;
  struct fault f = {0};
  struct leniency lenient = leniency_read(L, 4);
  struct json_answer wanted = {.service = set_service(s), .lenient = lenient.wanted};
  wanted.bytes = json_body(L, 2, &wanted.length);
  int code = read_value(L, 3, &declared, &f);
  if (code == 0)
    code = json_map_new(declared, &map, &f);
  value_unref(declared);
  if (code == 0) {
    struct turn aside;
    wanted.map = map;
    turn_aside(&aside, L);
    code = decode_into(s, &wanted, &lenient, &f);
    turn_resume(&aside);
  }
  json_map_free(map);
  return replaced(L, code, &f, &lenient);
}

static int changes_call(lua_State *L) {
  lua_pushnumber(L, (lua_Number)set_changes(set_check(L)));
  return 1;
}

static int batch_call(lua_State *L) {
  push_batch(L, set_service(set_check(L)));
  return 1;
}

static int service_call(lua_State *L) {
  lua_pushstring(L, set_service(set_check(L)));
  return 1;
}

static void binding_close(struct handle *h) {
  struct set_binding *b = (struct set_binding *)h;
  handle_gone(h);
  b->set = NULL;
  if (!b->owned)
    free(b);
}

struct set_binding *push_set(lua_State *L, struct set *s) {
  struct set_binding *b = calloc(1, sizeof *b);
  if (!b) {
    luaL_error(L, "out of memory");
    return NULL;
  }
  b->set = s;
  handle_push(L, &b->handle, SET_TYPE, binding_close);
  b->owned = true;
  return b;
}

bool set_binding_current(const struct set_binding *b) {
  return b->current;
}

void set_binding_revoke(struct set_binding *b) {
  if (!b)
    return;
  b->owned = false;
  if (b->handle.closing)
    free(b); /* the plugin or its isolate was first */
  else
    handle_close(&b->handle);
}

int open_set(lua_State *L) {
  static const struct luaL_Reg methods[] = {{"put", put_call},
                                            {"remove", remove_call},
                                            {"replace", replace_call},
                                            {"replace_json", replace_json_call},
                                            {"changes", changes_call},
                                            {"service", service_call},
                                            {"current", current_call},
                                            {"batch", batch_call},
                                            {"stale", stale_call},
                                            {"via", via_call},
                                            {NULL, NULL}};
  handle_type(L, SET_TYPE, methods);
  open_batch(L);
  return 0;
}

/* set: where a registry plugin puts what it finds: set:put{...}, set:remove(id), set:replace{...}.
 * All return true, or nil, message, code; nothing changes then. set:replace(list, { lenient = true
 * }) leaves out what is no instance, as one bad entry of somebody must not hide the others, and
 * returns true, how many, and what was wrong with the first. set:current() says that what is in the
 * set is how things are, as set:replace does: the service is not stale any more. set:batch(): see
 * bind_batch.c. */
#include "base/value.h"
#include "vm/bind_batch.h"
#include "vm/bind_io.h"
#include "vm/bindings.h"
#include "vm/inside.h"
#include "vm/plugin.h"
#include "vm/read_instance.h"
#include "watch/set.h"

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

/* How many were left out, and why the first was. */
struct leniency {
  bool wanted;
  size_t skipped;
  struct fault first;
};

static int replace_all(struct set *s, const struct value *list, struct leniency *lenient,
                       struct instance **instances, enum status *statuses, struct fault *f) {
  size_t count = value_length(list), made = 0;
  for (size_t i = 0; i < count; i++) {
    struct fault why = {0};
    int code =
        read_instance(value_at(list, i), set_service(s), &instances[made], &statuses[made], &why);
    if (code == 0) {
      made++;
      continue;
    }
    fault_set(f, code, "instance %zu: %.400s", i + 1, why.text);
    if (!lenient->wanted || code != -EINVAL)
      return code;
    if (lenient->skipped++ == 0)
      lenient->first = *f;
  }
  int code = set_replace(s, instances, statuses, made);
  return code == 0 ? 0 : fault_set(f, code, "the set does not take them: %s", strerror(-code));
}

static int replace_from(struct set *s, const struct value *list, struct leniency *lenient,
                        struct fault *f) {
  size_t count = value_length(list);
  if (value_kind(list) != VALUE_TABLE || value_fields(list) > 0)
    return fault_set(f, -EINVAL, "a list of instances is expected");
  struct instance **instances = calloc(count + 1, sizeof(struct instance *));
  enum status *statuses = calloc(count + 1, sizeof *statuses);
  int code = instances && statuses ? replace_all(s, list, lenient, instances, statuses, f)
                                   : fault_set(f, -ENOMEM, "out of memory");
  for (size_t i = 0; instances && instances[i]; i++)
    instance_unref(instances[i]);
  free(instances);
  free(statuses);
  return code;
}

static int current_call(lua_State *L) {
  struct set_binding *b = (struct set_binding *)handle_check(L, 1, SET_TYPE);
  set_current(b->set);
  b->current = true;
  lua_pushboolean(L, 1);
  return 1;
}

static int replace_call(lua_State *L) {
  static const char *const options[] = {"lenient", NULL};
  struct set *s = set_check(L);
  struct value *list = NULL;
  struct fault f = {0};
  options_check(L, 3, options);
  struct leniency lenient = {.wanted = option_flag(L, 3, "lenient")};
  int code = 0;
  if (lua_isuserdata(L, 2)) {
    code = batch_replace(L, 2, s, &f);
  } else if ((code = read_value(L, 2, &list, &f)) == 0) {
    code = replace_from(s, list, &lenient, &f);
    value_unref(list);
  }
  if (code != 0)
    return answer(L, code, &f);
  current_call(L);
  if (lenient.skipped == 0)
    return 1;
  lua_pushinteger(L, (lua_Integer)lenient.skipped);
  lua_pushstring(L, lenient.first.text);
  return 3;
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
                                            {"service", service_call},
                                            {"current", current_call},
                                            {"batch", batch_call},
                                            {NULL, NULL}};
  handle_type(L, SET_TYPE, methods);
  open_batch(L);
  return 0;
}

/* set: where a registry plugin puts what it finds: set:put{...}, set:remove(id), set:replace{...}.
 * All return true, or nil, message, code; nothing changes then. set:replace(list, { lenient = true
 * }) leaves out what is no instance, as one bad entry of somebody must not hide the others, and
 * returns true, how many, and what was wrong with the first. set:current() says that what is in the
 * set is how things are, as set:replace does: the service is not stale any more. */
#include "base/text.h"
#include "base/value.h"
#include "vm/bind_io.h"
#include "vm/bindings.h"
#include "vm/inside.h"
#include "vm/plugin.h"
#include "watch/instance.h"
#include "watch/set.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SET_TYPE "set"

struct set_binding {
  struct handle handle;
  struct set *set;
  bool owned;   /* the host has not revoked it yet, and keeps the memory */
  bool current; /* since it was pushed, the plugin has said what is */
};

static const char *const known[] = {"id",   "address", "port",   "ports",  "tags",
                                    "meta", "zone",    "weight", "status", "service"};

static int read_text(const struct value *v, const char *name, const char **out, struct fault *f) {
  const struct value *field = value_get(v, name);
  if (value_kind(field) == VALUE_NIL)
    return 0;
  if (value_kind(field) != VALUE_TEXT)
    return fault_set(f, -EINVAL, "%s: a text is expected", name);
  *out = value_as_text(field, "");
  return 0;
}

static int read_port(const struct value *v, const char *name, uint16_t *out, struct fault *f) {
  double n = value_as_number(v, -1);
  if (value_kind(v) == VALUE_NIL)
    return 0;
  if (n != floor(n) || n < 0 || n > 65535)
    return fault_set(f, -EINVAL, "%s: a number from 0 to 65535 is expected", name);
  *out = (uint16_t)n;
  return 0;
}

/* The arrays of a draft, for as long as its instance is being made. */
struct arrays {
  struct instance_port *ports;
  const char **tags;
  struct instance_pair *meta;
};

static int read_arrays(const struct value *v, struct instance_draft *d, struct arrays *a,
                       struct fault *f) {
  const struct value *ports = value_get(v, "ports"), *tags = value_get(v, "tags"),
                     *meta = value_get(v, "meta");
  size_t port_count = value_fields(ports), tag_count = value_length(tags),
         meta_count = value_fields(meta);
  if (port_count > 1000 || tag_count > 1000 || meta_count > 1000)
    return fault_set(f, -EINVAL, "more than 1000 ports, tags or meta keys");
  a->ports = calloc(port_count + 1, sizeof *a->ports);
  a->tags = calloc(tag_count + 1, sizeof *a->tags);
  a->meta = calloc(meta_count + 1, sizeof *a->meta);
  if (!a->ports || !a->tags || !a->meta)
    return fault_set(f, -ENOMEM, "out of memory");
  for (size_t i = 0; i < port_count; i++) {
    const struct value *port = value_field(ports, i, &a->ports[i].name);
    int code = read_port(port, "ports", &a->ports[i].port, f);
    if (code != 0)
      return code;
  }
  for (size_t i = 0; i < tag_count; i++) {
    a->tags[i] = value_as_text(value_at(tags, i), NULL);
    if (!a->tags[i])
      return fault_set(f, -EINVAL, "tags: a list of texts is expected");
  }
  for (size_t i = 0; i < meta_count; i++) {
    const struct value *text = value_field(meta, i, &a->meta[i].key);
    a->meta[i].value = value_as_text(text, NULL);
    if (!a->meta[i].value)
      return fault_set(f, -EINVAL, "meta.%s: a text is expected", a->meta[i].key);
  }
  d->ports = a->ports;
  d->tags = a->tags;
  d->meta = a->meta;
  d->port_count = (uint16_t)port_count;
  d->tag_count = (uint16_t)tag_count;
  d->meta_count = (uint16_t)meta_count;
  return 0;
}

static int read_fields(const struct value *v, struct instance_draft *d, enum status *status,
                       struct fault *f) {
  const char *word = "passing";
  if (value_kind(v) != VALUE_TABLE)
    return fault_set(f, -EINVAL, "an instance is a table");
  for (size_t i = 0; i < value_fields(v); i++) {
    const char *key;
    bool found = false;
    value_field(v, i, &key);
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
      found = found || strcmp(key, known[k]) == 0;
    if (!found) {
      const char *near = nearest_word(key, known, sizeof known / sizeof *known);
      return fault_set(f, -EINVAL, "%s: an instance has no such field%s%s%s", key,
                       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
  }
  const struct value *weight = value_get(v, "weight");
  d->weight = value_kind(weight) == VALUE_NIL ? 1 : value_as_number(weight, -1);
  if (!(d->weight >= 0) || !isfinite(d->weight))
    return fault_set(f, -EINVAL, "weight: a finite number from 0 is expected");
  int code = read_text(v, "id", &d->id, f);
  code = code ? code : read_text(v, "address", &d->address, f);
  code = code ? code : read_text(v, "zone", &d->zone, f);
  code = code ? code : read_text(v, "status", &word, f);
  code = code ? code : read_port(value_get(v, "port"), "port", &d->port, f);
  if (code == 0 && status_parse(word, status) != 0)
    code = fault_set(f, -EINVAL, "status: passing, warning or critical, not \"%s\"", word);
  return code;
}

/* One instance of `service` from its table; *out is the caller's. */
static int read_instance(const struct value *v, const char *service, struct instance **out,
                         enum status *status, struct fault *f) {
  struct instance_draft d = {.service = service};
  struct arrays a = {0};
  struct instance *in = NULL;
  int code = read_fields(v, &d, status, f);
  code = code ? code : read_arrays(v, &d, &a, f);
  if (code == 0 && !(in = instance_new(&d)))
    code = fault_set(f, -ENOMEM, "out of memory");
  free(a.ports);
  free(a.tags);
  free(a.meta);
  if (!in)
    return code;
  code = instance_check(in, f);
  if (code != 0)
    instance_unref(in);
  else
    *out = in;
  return code;
}

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
  int code = read_value(L, 2, &list, &f);
  if (code == 0) {
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
  static const struct luaL_Reg methods[] = {{"put", put_call},         {"remove", remove_call},
                                            {"replace", replace_call}, {"service", service_call},
                                            {"current", current_call}, {NULL, NULL}};
  handle_type(L, SET_TYPE, methods);
  return 0;
}

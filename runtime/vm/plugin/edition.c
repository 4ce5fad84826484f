/* edition: one version of a plugin's file, loaded into an isolate of its own. */
#include "base/buf.h"
#include "base/schema.h"
#include "base/value.h"
#include "vm/plugin/plugin_inside.h"
#include "vm/plugin/target_form.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loading {
  struct edition *edition;
  struct declaration declaration;
  struct fault *fault;
};

static int take_source(struct edition *e, const struct value *parts, struct fault *f) {
  const struct value *given = value_get(parts, "source");
  struct buf source = {0};
  int code = 0;
  if (given)
    buf_add(&source, value_as_text(given, ""), value_text_length(given));
  else
    code = source_read(e->path, &source, f);
  if (code == 0 && (source.failed || buf_reserve(&source, 1) != 0))
    code = fault_set(f, -ENOMEM, "%s: out of memory", e->path);
  if (code != 0) {
    buf_free(&source);
    return code;
  }
  source.data[source.length] = '\0';
  e->source = source.data;
  e->source_length = source.length;
  return 0;
}

/* Where what it requires is looked for: DIR/lua of DIR/plugins/KIND/NAME.lua, and of DIR/NAME.lua,
 * which the configuration gives by its path. */
static char *own_library(const char *path, const char *kind) {
  const char *slash = strrchr(path, '/');
  size_t length = slash ? (size_t)(slash - path) : 0, end;
  char tail[50], *library = NULL;
  snprintf(tail, sizeof tail, "plugins/%s", kind);
  end = strlen(tail);
  if (length >= end && memcmp(path + length - end, tail, end) == 0)
    length -= end;
  else if (slash)
    length++;
  return asprintf(&library, "%.*slua", (int)length, path) < 0 ? NULL : library;
}

/* Of the source, or where it has required others of all of them. */
static void version_of(struct edition *e) {
  struct buf all = {0};
  buf_text(&all, e->hash);
  for (const struct required *r = e->isolate->required; r; r = r->next)
    buf_text(&all, r->hash);
  if (e->isolate->required && !all.failed)
    source_hash(all.data, all.length, e->version);
  else
    memcpy(e->version, e->hash, sizeof e->version);
  buf_free(&all);
}

static int load_body(lua_State *L, void *arg) {
  struct loading *l = arg;
  struct edition *e = l->edition;
  if (e->source_length > 0 && e->source[0] == LUA_SIGNATURE[0])
    return fault_set(l->fault, -EINVAL, "%s: bytecode is refused, a plugin is source", e->path);
  lua_pushfstring(L, "@%s", e->path);
  if (chunk_load(L, e->source, e->source_length, lua_tostring(L, -1)) != 0)
    return lua_error(L);
  isolate_call(L, 0, 1);
  int code = declaration_read(L, e, &l->declaration, l->fault);
  if (code == 0)
    e->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return code;
}

static void edition_free(struct edition *e) {
  isolate_free(e->isolate);
  schema_free(e->schema);
  value_unref(e->standin);
  target_form_free(e->target);
  free(e->path);
  free(e->summary);
  free(e->moves_keys);
  free(e->source);
  free(e);
}

static int load(struct vm *vm, struct plugin *p, const char *path, const struct value *parts,
                const struct isolate_limits *limits, struct edition **out, struct fault *f) {
  struct edition *e = calloc(1, sizeof *e);
  if (!e || !(e->path = strdup(path))) {
    free(e);
    return fault_set(f, -ENOMEM, "%s: out of memory", path);
  }
  e->plugin = p;
  e->kind = p->kind;
  e->name = p->name;
  e->ref = LUA_NOREF;
  struct loading l = {.edition = e, .fault = f};
  int code = take_source(e, parts, f);
  if (code == 0) {
    source_hash(e->source, e->source_length, e->hash);
    code = isolate_new(vm, p->name, limits, &e->isolate, f);
  }
  if (code == 0 && !(e->isolate->own_library = own_library(path, p->kind)))
    code = fault_set(f, -ENOMEM, "%s: out of memory", path);
  if (code == 0 && value_get(parts, "library"))
    e->isolate->parts = value_ref(value_get(parts, "library"));
  if (code == 0)
    code = isolate_enter(e->isolate, load_body, &l, f);
  declaration_clear(&l.declaration);
  if (code == 0) {
    version_of(e);
    *out = e;
  } else {
    edition_free(e);
  }
  return code;
}

struct value *edition_parts(const struct edition *e) {
  struct value *all = value_table(), *library = value_table();
  int code = value_set(all, "source", value_text(e->source, e->source_length));
  for (const struct required *r = e->isolate->required; code == 0 && r; r = r->next)
    code = r->text ? value_set(library, r->name, value_ref(r->text)) : 0;
  int set = value_set(all, "library", library);
  if (code == 0 && set == 0)
    return all;
  value_unref(all);
  return NULL;
}

/* A balancer that picks is loaded as all who pick will load it: compiled, and without what waits;
 * but not for a test, where nobody picks.
 */
int edition_load(struct vm *vm, struct plugin *p, const char *path, const struct value *parts,
                 const struct isolate_limits *limits, struct edition **out, struct fault *f) {
  struct edition *first = NULL;
  int code = load(vm, p, path, parts, limits, &first, f);
  if (code != 0)
    return code;
  bool picks = strcmp(p->kind, "balancer") == 0 && edition_provides(first, "pick");
  if (!picks || first->isolate->limits.compiled || vm->scripted) {
    *out = first;
    return 0;
  }
  struct isolate_limits compiled = limits ? *limits : (struct isolate_limits){0};
  compiled.compiled = true;
  struct value *same = edition_parts(first);
  code = same ? load(vm, p, path, same, &compiled, out, f)
              : fault_set(f, -ENOMEM, "%s: out of memory", path);
  value_unref(same);
  edition_free(first);
  return code;
}

void edition_retire(struct edition *e) {
  if (!e)
    return;
  e->retired = true;
  if (e->calls == 0)
    edition_free(e);
}

void edition_release(struct edition *e) {
  if (--e->calls == 0 && e->retired)
    edition_free(e);
}

bool edition_push_function(lua_State *L, const struct edition *e, const char *name) {
  const char *dot = strchr(name, '.');
  lua_rawgeti(L, LUA_REGISTRYINDEX, e->ref);
  if (dot) {
    lua_pushlstring(L, name, (size_t)(dot - name));
    lua_rawget(L, -2);
    lua_remove(L, -2);
    name = dot + 1;
  }
  if (lua_istable(L, -1)) {
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    lua_remove(L, -2);
  }
  if (lua_isfunction(L, -1))
    return true;
  lua_pop(L, 1);
  lua_pushnil(L);
  return false;
}

struct question {
  const struct edition *edition;
  const char *function;
};

static int provides_body(lua_State *L, void *arg) {
  struct question *q = arg;
  return edition_push_function(L, q->edition, q->function) ? 0 : -ENOSYS;
}

bool edition_provides(const struct edition *e, const char *function) {
  struct question q = {e, function};
  return isolate_enter(e->isolate, provides_body, &q, NULL) == 0;
}

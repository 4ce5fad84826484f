
#include "base/schema.h"
#include "base/fault.h"
#include "vm/plugin/plugin_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int plugin_load(struct vm *vm, const char *kind, const char *name, const char *path,
                const struct isolate_limits *limits, struct plugin **out, struct fault *f) {
  return plugin_load_parts(vm, kind, name, path, NULL, limits, out, f);
}

int plugin_load_parts(struct vm *vm, const char *kind, const char *name, const char *path,
                      const struct value *parts, const struct isolate_limits *limits,
                      struct plugin **out, struct fault *f) {
  struct fault ignored;
  struct plugin *p = calloc(1, sizeof *p);
  f = f ? f : &ignored;
  if (!p)
    return fault_set(f, -ENOMEM, "%s: out of memory", path);
  p->kind = strdup(kind);
  p->name = strdup(name);
  int code = p->kind && p->name ? 0 : fault_set(f, -ENOMEM, "%s: out of memory", path);
  if (code == 0)
    code = edition_load(vm, p, path, parts, limits, &p->editions[NOW], f);
  if (code == 0)
    *out = p;
  else
    plugin_free(p);
  return code;
}

void plugin_free(struct plugin *p) {
  if (!p)
    return;
  for (int i = 0; i < PLACES; i++)
    edition_retire(p->editions[i]);
  free(p->kind);
  free(p->name);
  free(p);
}

bool plugin_push_function(lua_State *L, const struct plugin *p, const char *name) {
  return edition_push_function(L, p->editions[NOW], name);
}

bool plugin_provides(const struct plugin *p, const char *function) {
  return edition_provides(p->editions[NOW], function);
}

const char *plugin_name(const struct plugin *p) {
  return p->name;
}

const char *plugin_kind(const struct plugin *p) {
  return p->kind;
}

const char *plugin_path(const struct plugin *p) {
  return p->editions[NOW]->path;
}

const char *plugin_hash(const struct plugin *p) {
  return p->editions[NOW]->hash;
}

const char *plugin_version(const struct plugin *p) {
  return p->editions[NOW]->version;
}

void plugin_each_required(const struct plugin *p, void (*each)(void *arg, const char *path),
                          void *arg) {
  for (const struct required *r = p->editions[NOW]->isolate->required; r; r = r->next)
    each(arg, r->path);
}

struct value *plugin_parts(const struct plugin *p) {
  return edition_parts(p->editions[NOW]);
}

const char *plugin_summary(const struct plugin *p) {
  return p->editions[NOW]->summary;
}

bool plugin_is_attached(const struct plugin *p) {
  return p->attachments != NULL;
}

struct isolate *plugin_isolate(const struct plugin *p) {
  return p->editions[NOW]->isolate;
}

unsigned plugin_changes(const struct plugin *p) {
  return p->editions[NOW]->changes;
}

const char *plugin_moves_keys(const struct plugin *p) {
  return p->editions[NOW]->moves_keys;
}

const struct target_form *plugin_target(const struct plugin *p) {
  return p->editions[NOW]->target;
}

const struct value *plugin_default(const struct plugin *p, const char *option) {
  return schema_default(p->editions[NOW]->schema, option);
}

const struct value *plugin_standin(const struct plugin *p) {
  return p->editions[NOW]->standin;
}

double plugin_every(const struct plugin *p) {
  return p->editions[NOW]->every;
}

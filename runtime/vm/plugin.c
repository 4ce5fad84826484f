#include "vm/plugin.h"
#include "base/buf.h"
#include "base/schema.h"
#include "vm/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SOURCE_MAX = 1 << 20 }; /* as the sandbox's load: parsing is not interrupted */

struct loading {
  struct plugin *plugin;
  struct buf source;
  struct fault *fault;
};

static int source_read(const char *path, struct buf *source, struct fault *f) {
  struct stat st;
  ssize_t n = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return fault_set(f, -errno, "%s: %s", path, strerror(errno));
  int code = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 0 : -EINVAL;
  if (code != 0)
    fault_set(f, code, "%s: not a file", path);
  while (code == 0) {
    if (buf_reserve(source, 65536) != 0)
      code = fault_set(f, -ENOMEM, "%s: out of memory", path);
    else if ((n = read(fd, source->data + source->length, 65536)) <= 0)
      break;
    source->length += (size_t)n;
    if (source->length > SOURCE_MAX)
      code = fault_set(f, -E2BIG, "%s: more than %d bytes of source", path, SOURCE_MAX);
  }
  if (code == 0 && n < 0)
    code = fault_set(f, -errno, "%s: %s", path, strerror(errno));
  close(fd);
  buf_char(source, '\0'); /* the source is searched for lines as a text */
  source->length--;
  return code;
}

static void hash_source(const struct buf *source, char hex[65]) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_Digest(source->data, source->length, digest, &length, EVP_sha256(), NULL);
  hex[0] = '\0';
  for (unsigned i = 0; i < length && i < 32; i++)
    snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static int load_body(lua_State *L, void *arg) {
  struct loading *l = arg;
  struct plugin *p = l->plugin;
  if (l->source.length > 0 && l->source.data[0] == LUA_SIGNATURE[0])
    return fault_set(l->fault, -EINVAL, "%s: bytecode is refused, a plugin is source", p->path);
  lua_pushfstring(L, "@%s", p->path);
  if (luaL_loadbufferx(L, l->source.data, l->source.length, lua_tostring(L, -1), "t") != 0)
    return lua_error(L);
  isolate_call(L, 0, 1);
  int code = declaration_read(L, p, l->source.data, l->fault);
  if (code == 0)
    p->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return code;
}

int plugin_load(struct vm *vm, const char *kind, const char *name, const char *path,
                const struct isolate_limits *limits, struct plugin **out, struct fault *f) {
  struct fault ignored;
  struct plugin *p = calloc(1, sizeof *p);
  struct loading l = {.plugin = p, .fault = f ? f : &ignored};
  if (!p)
    return fault_set(f, -ENOMEM, "%s: out of memory", path);
  p->ref = LUA_NOREF;
  p->kind = strdup(kind);
  p->name = strdup(name);
  p->path = strdup(path);
  int code = p->kind && p->name && p->path ? source_read(path, &l.source, l.fault)
                                           : fault_set(l.fault, -ENOMEM, "%s: out of memory", path);
  if (code == 0) {
    hash_source(&l.source, p->hash);
    code = isolate_new(vm, name, limits, &p->isolate, l.fault);
  }
  if (code == 0)
    code = isolate_enter(p->isolate, load_body, &l, l.fault);
  buf_free(&l.source);
  if (code != 0) {
    plugin_free(p);
    return code;
  }
  *out = p;
  return 0;
}

void plugin_free(struct plugin *p) {
  if (!p)
    return;
  isolate_free(p->isolate);
  schema_free(p->schema);
  free(p->kind);
  free(p->name);
  free(p->path);
  free(p->summary);
  free(p);
}

bool plugin_push_function(lua_State *L, const struct plugin *p, const char *name) {
  const char *dot = strchr(name, '.');
  lua_rawgeti(L, LUA_REGISTRYINDEX, p->ref);
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
  const struct plugin *plugin;
  const char *function;
};

static int provides_body(lua_State *L, void *arg) {
  struct question *q = arg;
  return plugin_push_function(L, q->plugin, q->function) ? 0 : -ENOSYS;
}

bool plugin_provides(const struct plugin *p, const char *function) {
  struct question q = {p, function};
  return isolate_enter(p->isolate, provides_body, &q, NULL) == 0;
}

const char *plugin_name(const struct plugin *p) {
  return p->name;
}

const char *plugin_kind(const struct plugin *p) {
  return p->kind;
}

const char *plugin_path(const struct plugin *p) {
  return p->path;
}

const char *plugin_hash(const struct plugin *p) {
  return p->hash;
}

const char *plugin_summary(const struct plugin *p) {
  return p->summary;
}

struct isolate *plugin_isolate(const struct plugin *p) {
  return p->isolate;
}

unsigned plugin_changes(const struct plugin *p) {
  return p->changes;
}

double plugin_every(const struct plugin *p) {
  return p->every;
}

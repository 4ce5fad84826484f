/* lua/perigee/meta/ is the one place that describes what plugins are given: the page REFERENCE.md
 * and editors' annotations come from it. It names every function that a real isolate has, and no
 * other. */
#include "fixture.h"
#include "vm/bind/bind_answer.h"
#include "vm/isolate/inside.h"

#include <lauxlib.h>

enum { NAMES_MAX = 1000 };

struct names {
  char *all[NAMES_MAX];
  size_t count;
};

static void names_add(struct names *n, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void names_add(struct names *n, const char *format, ...) {
  va_list ap;
  assert_true(n->count < NAMES_MAX);
  va_start(ap, format);
  assert_true(vasprintf(&n->all[n->count++], format, ap) > 0);
  va_end(ap);
}

static bool names_have(const struct names *n, const char *name) {
  for (size_t i = 0; i < n->count; i++)
    if (strcmp(n->all[i], name) == 0)
      return true;
  return false;
}

static void names_free(struct names *n) {
  for (size_t i = 0; i < n->count; i++)
    free(n->all[i]);
  n->count = 0;
}

/* A type as C names it, and the class that describes it. "": it is the host's own. */
static const struct {
  const char *type, *class;
} classes[] = {
    {"socket", "Socket"},
    {"server", "Server"},
    {"watcher", "Watcher"},
    {"watch", "Watch"},
    {"exchange", "Upload"},
    {"http stream", "Stream"},
    {"body", "Body"},
    {"set", "Set"},
    {"batch", "Batch"},
    {"task", "Task"},
    {"endpoints", "Endpoints"},
    {"instance", "Instance"},
    {"tries", ""},
    {"http headers", ""},
    {"signal", ""},
};

static const char *class_of(const char *type) {
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
    if (strcmp(classes[i].type, type) == 0)
      return classes[i].class;
  return type;
}

/* The functions of the table on top, as PREFIX.NAME; tables in it are walked too. */
static void add_functions(lua_State *L, struct names *n, const char *prefix, char between) {
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    if (lua_type(L, -2) == LUA_TSTRING && strncmp(lua_tostring(L, -2), "__", 2) != 0) {
      char name[200];
      snprintf(name, sizeof name, "%s%c%s", prefix, between, lua_tostring(L, -2));
      if (lua_isfunction(L, -1))
        names_add(n, "%s", name);
      else if (lua_istable(L, -1) && between == '.')
        add_functions(L, n, name, between);
    }
    lua_pop(L, 1);
  }
}

/* The methods of all types: their metatables are in the registry, by name. */
static void add_types(lua_State *L, struct names *n) {
  lua_pushnil(L);
  while (lua_next(L, LUA_REGISTRYINDEX)) {
    if (lua_type(L, -2) == LUA_TSTRING && lua_istable(L, -1)) {
      const char *class = class_of(lua_tostring(L, -2));
      lua_getfield(L, -1, "__index");
      if (lua_istable(L, -1) && *class)
        add_functions(L, n, class, ':');
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
}

/* What a closure in C keeps in tables: of types whose __index is a function. */
static void add_upvalues(lua_State *L, struct names *n, const char *type, const char *class,
                         char between) {
  luaL_getmetatable(L, type);
  lua_getfield(L, -1, "__index");
  for (int i = 1; lua_getupvalue(L, -1, i); i++) {
    if (lua_istable(L, -1))
      add_functions(L, n, class, between);
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
}

static const struct answer_events no_events;

static int enumerate(lua_State *L, void *arg) {
  struct names *n = arg;
  lua_getglobal(L, "perigee");
  add_functions(L, n, "perigee", '.');
  add_types(L, n);
  add_upvalues(L, n, "endpoint", "Endpoint", ':');
  add_upvalues(L, n, "ctx", "Context", '.');
  lua_newtable(L);
  struct answer_binding *b = push_answering(L, &no_events, NULL);
  add_functions(L, n, "Request", ':');
  answer_binding_revoke(b);
  return 0;
}

/* "function perigee.http.get(url, options) end" → perigee.http.get; of a method with the dot that
 * Lua also allows, as a colon. `as`: what the file calls the class. */
static void read_functions(struct names *n, const char *path, const char *from, const char *as) {
  char line[1000], name[200];
  size_t length = strlen(from);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "function %199[^(](", name) == 1) {
      if (!length)
        names_add(n, "%s", name);
      else if (strncmp(name, from, length) == 0)
        names_add(n, "%s:%s", as, name + length + 1);
    }
  fclose(file);
}

static void what_plugins_have_is_described_and_nothing_else(void **state) {
  struct fixture *fx = *state;
  struct names there = {.count = 0}, documented = {.count = 0};
  struct plugin *p = NULL;
  struct attachment *use = NULL;
  struct findings findings = {0};
  struct fault f = {0};
  size_t wrong = 0;
  assert_int_equal(load(fx, "check",
                        "return { kind = 'check', summary = 's', run = perigee.sleep }", NULL, &p,
                        &f),
                   0);
  assert_int_equal(plugin_attach(p, NULL, "test", &use, &findings), 0); /* makes ctx */
  if (isolate_enter(plugin_isolate(p), enumerate, &there, &f) != 0)
    fail_msg("%s", f.text);
  read_functions(&there, "lua/perigee/view.lua", "view",
                 "View"); /* of a worker's state: picker.c */
  read_functions(&documented, "lua/perigee/meta/library.lua", "", "");
  read_functions(&documented, "lua/perigee/meta/data.lua", "", "");
  read_functions(&documented, "lua/perigee/meta/values.lua", "", "");
  assert_true(there.count > 80);
  for (size_t i = 0; i < there.count; i++)
    if (!names_have(&documented, there.all[i]) && ++wrong)
      print_error("not described in lua/perigee/meta: %s\n", there.all[i]);
  for (size_t i = 0; i < documented.count; i++)
    if (!names_have(&there, documented.all[i]) && ++wrong)
      print_error("described, and not there: %s\n", documented.all[i]);
  attachment_free(use);
  plugin_free(p);
  names_free(&there);
  names_free(&documented);
  assert_int_equal(wrong, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(what_plugins_have_is_described_and_nothing_else),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

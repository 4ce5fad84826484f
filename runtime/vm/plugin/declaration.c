/* declaration: what a plugin's file may return. Every mistake is named with its file and, as Lua
 * keeps no lines for tables, the line of the source where its field is written (base/places.h). */
#include "base/buf.h"
#include "base/findings.h"
#include "base/places.h"
#include "base/schema.h"
#include "base/text.h"
#include "base/value.h"
#include "vm/plugin/plugin_inside.h"
#include "vm/plugin/reader.h"
#include "vm/plugin/target_form.h"
#include "watch/balancer.h"
#include "watch/stage.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

struct kind {
  const char *name;
  const char *fields[12]; /* functions, but for those of `plain` */
  const char *least;      /* what a plugin of the kind cannot do without, for the message */
  bool (*enough)(lua_State *L, int table);
};

static const char *const common[] = {"kind",  "summary", "options", "override", "every",
                                     "ready", "export",  "import",  NULL};
static const char *const reloading[] = {"ready", "export", "import", NULL}; /* vm/plugin/reload.h */
static const char *const plain[] = {"on",      "passive", "sets", "moves_keys",
                                    "standin", "target",  NULL};
static const char *const events[] = {"change", "status", "reload", "start", "stop", NULL};

static bool has(lua_State *L, int table, const char *field) {
  lua_getfield(L, table, field);
  bool there = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return there;
}

static bool registry_enough(lua_State *L, int table) {
  return has(L, table, "watch") || has(L, table, "list") || has(L, table, "register");
}

static bool check_enough(lua_State *L, int table) {
  return has(L, table, "run") != has(L, table, "passive");
}

static bool policy_enough(lua_State *L, int table) {
  return has(L, table, "decide");
}

static bool balancer_enough(lua_State *L, int table) {
  return has(L, table, "plan") != has(L, table, "pick");
}

static bool hook_enough(lua_State *L, int table) {
  return has(L, table, "on");
}

static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", NULL};

static bool route_enough(lua_State *L, int table) {
  for (const char *const *m = methods; *m; m++) {
    if (has(L, table, *m))
      return true;
  }
  return false;
}

static const struct kind kinds[] = {
    {"registry",
     {"open", "close", "register", "renew", "attend", "deregister", "list", "watch", "encode",
      "decode", "target"},
     "watch, list or register",
     registry_enough},
    {"check", {"run", "passive"}, "run, or else passive = true", check_enough},
    {"policy", {"decide"}, "decide", policy_enough},
    {"balancer",
     {"plan", "pick", "prepare", "sets", "moves_keys", "standin"},
     "one of plan and pick",
     balancer_enough},
    {"hook", {"on"}, "on", hook_enough},
    {"route",
     {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"},
     "a method: GET, ...",
     route_enough},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct declared {
  lua_State *L;
  int table;
  const struct kind *kind;
  struct edition *plugin;
  struct place_cursor at; /* the table */
  struct declaration *reading;
  struct fault *fault;
};

static int mistake(const struct declared *r, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* `field` "a.b" for one in a table; NULL: of the whole. */
static int mistake(const struct declared *r, const char *field, const char *format, ...) {
  char text[400];
  va_list ap;
  va_start(ap, format);
  vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  struct place_cursor at = r->at;
  char name[100];
  for (const char *part = field; part; part = strchr(part, '.') ? strchr(part, '.') + 1 : NULL) {
    snprintf(name, sizeof name, "%.*s", (int)strcspn(part, "."), part);
    at = place_field(at, name);
  }
  return fault_set(r->fault, -EINVAL, "%s:%d: %s", r->plugin->path, at.line, text);
}

static int refuse_word(const struct declared *r, const char *field, const char *what,
                       const char *word, const char *const *known, size_t count) {
  const char *near = nearest_word(word, known, count);
  return mistake(r, field, "%s \"%.100s\" is not known%s%s%s", what, word,
                 near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int read_kind(struct declared *r) {
  const char *names[KINDS];
  lua_getfield(r->L, r->table, "kind");
  const char *word = lua_tostring(r->L, -1);
  if (!word)
    return mistake(r, NULL, "kind is missing: kind = \"%s\"", r->plugin->kind);
  for (int i = 0; i < KINDS; i++) {
    names[i] = kinds[i].name;
    if (strcmp(kinds[i].name, word) == 0)
      r->kind = &kinds[i];
  }
  if (!r->kind)
    return refuse_word(r, "kind", "kind", word, names, KINDS);
  if (strcmp(word, r->plugin->kind) != 0)
    return mistake(r, "kind", "a %s plugin, where a %s is wanted", word, r->plugin->kind);
  return 0;
}

static int read_events(const struct declared *r, int on) {
  lua_State *L = r->L;
  char field[100];
  lua_pushnil(L);
  while (lua_next(L, on)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      return mistake(r, "on", "on: events are named");
    snprintf(field, sizeof field, "on.%.90s", lua_tostring(L, -2));
    if (!word_is_one_of(lua_tostring(L, -2), events))
      return refuse_word(r, field, "event", lua_tostring(L, -2), events, 5);
    if (!lua_isfunction(L, -1))
      return mistake(r, field, "%s must be a function", field);
    lua_pop(L, 1);
  }
  return 0;
}

static const char *const changes[] = {"weight", "tier", "drop", NULL};

/* What a plan sets, one or a list: `sets = "tier"`. */
static int read_sets(const struct declared *r, int value) {
  lua_State *L = r->L;
  unsigned all = 0;
  for (int i = 1;; i++) {
    if (lua_istable(L, value))
      lua_rawgeti(L, value, i);
    else
      lua_pushvalue(L, value);
    const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    unsigned bit = 0;
    while (word && changes[bit] && strcmp(changes[bit], word) != 0)
      bit++;
    if (word && !changes[bit])
      return refuse_word(r, "sets", "what a plan sets:", word, changes, 3);
    if (!word && (!lua_isnil(L, -1) || all == 0))
      return mistake(r, "sets", "sets is \"weight\", \"tier\", \"drop\" or a list of these");
    all |= word ? 1u << bit : 0;
    lua_pop(L, 1);
    if (!word || !lua_istable(L, value))
      break;
  }
  r->plugin->changes = all;
  return 0;
}

/* Why a plan may not stand before an algorithm that goes by key. */
static int read_moves_keys(const struct declared *r, int value) {
  const char *why = lua_type(r->L, value) == LUA_TSTRING ? lua_tostring(r->L, value) : "";
  if (!has(r->L, r->table, "plan") || !*why)
    return mistake(r, "moves_keys",
                   "moves_keys is for plugins that plan: how their plans move keys, in a sentence");
  r->plugin->moves_keys = strdup(why);
  return r->plugin->moves_keys ? 0 : fault_set(r->fault, -ENOMEM, "out of memory");
}

/* Who picks where a `pick` cannot: a stage, as in the configuration. */
static int read_standin(const struct declared *r, int value) {
  struct fault why;
  if (!has(r->L, r->table, "pick"))
    return mistake(r, "standin", "standin is for plugins that pick");
  if (read_value(r->L, value, &r->plugin->standin, &why) != 0)
    return mistake(r, "standin", "standin: %.300s", why.text);
  return 0;
}

static int read_target(const struct declared *r, int value) {
  struct value *declared = NULL;
  struct fault why;
  int code = read_value(r->L, value, &declared, &why);
  code = code ? code : target_form_new(declared, &r->plugin->target, &why);
  value_unref(declared);
  return code == 0 ? 0 : mistake(r, "target", "%s", why.text);
}

/* What a stage says besides the plugin's own options. */
static int check_reserved(const struct declared *r, const struct value *options) {
  static const char *const reserved[] = {"standin", "shadow"};
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
    if (strcmp(r->kind->name, "balancer") == 0 && value_get(options, reserved[i]))
      return mistake(r, "options", "options: `%s` is the host's own word in a balancer's stage",
                     reserved[i]);
  return 0;
}

/* A file of that name could never be meant. */
static int check_name(const struct declared *r) {
  if (strcmp(r->kind->name, "balancer") == 0 && stage_find(r->plugin->name))
    return mistake(r, NULL, "%s is a balancer of perigee's own: give the file another name",
                   r->plugin->name);
  return 0;
}

static int check_field(const struct declared *r, const char *name, int value) {
  lua_State *L = r->L;
  const char *known[20];
  size_t count = 0;
  if (word_is_one_of(name, common) && !word_is_one_of(name, reloading))
    return 0;
  if (!word_is_one_of(name, r->kind->fields) && !word_is_one_of(name, reloading)) {
    for (const char *const *k = common; *k; k++)
      known[count++] = *k;
    for (const char *const *k = r->kind->fields; *k; k++)
      known[count++] = *k;
    return refuse_word(r, name, "field", name, known, count);
  }
  if (!word_is_one_of(name, plain))
    return lua_isfunction(L, value) ? 0 : mistake(r, name, "%s must be a function", name);
  if (strcmp(name, "on") == 0)
    return lua_istable(L, value) ? read_events(r, value)
                                 : mistake(r, name, "on must be a table of functions");
  if (strcmp(name, "sets") == 0)
    return read_sets(r, value);
  if (strcmp(name, "moves_keys") == 0)
    return read_moves_keys(r, value);
  if (strcmp(name, "standin") == 0)
    return read_standin(r, value);
  if (strcmp(name, "target") == 0)
    return read_target(r, value);
  return lua_isboolean(L, value) ? 0 : mistake(r, name, "%s must be true or false", name);
}

static int check_fields(const struct declared *r) {
  lua_State *L = r->L;
  int code = 0;
  lua_pushnil(L);
  while (code == 0 && lua_next(L, r->table)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      return mistake(r, NULL, "a plugin's fields are named; this one has a numbered one");
    code = check_field(r, lua_tostring(L, -2), lua_gettop(L));
    lua_settop(L, lua_gettop(L) - 1);
  }
  if (code == 0 && !r->kind->enough(L, r->table))
    return mistake(r, NULL, "a %s plugin needs %s", r->kind->name, r->kind->least);
  return code;
}

static const double every_least_s = 0.01, every_most_s = 365 * 86400.0;

static int read_plain(struct declared *r) {
  lua_State *L = r->L;
  struct fault why;
  int64_t ns;
  lua_getfield(L, r->table, "summary");
  if (lua_type(L, -1) != LUA_TSTRING)
    return mistake(r, "summary", "summary is missing: what the plugin is for, in a line");
  r->plugin->summary = strdup(lua_tostring(L, -1));
  if (!r->plugin->summary)
    return fault_set(r->fault, -ENOMEM, "out of memory");
  lua_getfield(L, r->table, "every");
  if (lua_type(L, -1) == LUA_TNUMBER) {
    r->plugin->every = lua_tonumber(L, -1);
  } else if (lua_type(L, -1) == LUA_TSTRING) {
    if (duration_parse(lua_tostring(L, -1), &ns, &why) != 0)
      return mistake(r, "every", "every: %.300s", why.text);
    r->plugin->every = (double)ns / 1e9;
  } else if (!lua_isnil(L, -1)) {
    return mistake(r, "every", "every must be a duration");
  } else {
    return 0;
  }
  if (!(r->plugin->every >= every_least_s && r->plugin->every <= every_most_s))
    return mistake(r, "every", "every: from 10ms to a year of 365 days, not %.14g s",
                   r->plugin->every);
  return 0;
}

/* Of the options: reading one that Lua has no memory for may raise. */
struct options_reading {
  struct reader reader;
  struct value *into;
  struct place_cursor at;
};

static int call_reader(lua_State *L) {
  struct options_reading *o = lua_touserdata(L, 2);
  lua_settop(L, 1);
  reader_table(&o->reader, L, o->into, o->at);
  return 0;
}

/* An option that was given nil, as a global is that there is not, would be missed by nobody. */
static int check_written(const struct declared *r, const struct value *options,
                         struct place_cursor at) {
  const char *lost = place_without_value(at, options), *key;
  if (lost)
    return fault_set(r->fault, -EINVAL,
                     "%s:%d: option \"%.100s\": nil: leave it out, or give it a "
                     "type (is that a global that plugins do not have?)",
                     r->plugin->path, place_field(at, lost).line, lost);
  int code = 0;
  for (size_t i = 0; code == 0 && i < value_fields(options); i++) {
    const struct value *v = value_field(options, i, &key);
    if (value_kind(v) == VALUE_TABLE)
      code = check_written(r, v, place_field(at, key));
  }
  return code;
}

static int read_table(const struct declared *r, struct value *options) {
  lua_State *L = r->L;
  struct findings findings = {0};
  struct options_reading o = {.reader = {.file = r->plugin->path, .findings = &findings},
                              .into = options,
                              .at = place_field(r->at, "options")};
  lua_pushcfunction(L, call_reader);
  lua_pushvalue(L, -2);
  lua_pushlightuserdata(L, &o);
  int code = 0;
  if (lua_pcall(L, 2, 0, 0) != 0 || findings.failed)
    code = fault_set(r->fault, -ENOMEM, "%s: out of memory", r->plugin->path);
  findings_sort(&findings);
  if (code == 0 && findings.count)
    code = fault_set(r->fault, -EINVAL, "%s:%d: option \"%.100s\": %.200s", r->plugin->path,
                     findings.items[0].line, findings.items[0].path, findings.items[0].text);
  findings_free(&findings);
  return code == 0 ? check_written(r, options, o.at) : code;
}

static int read_options(struct declared *r) {
  lua_getfield(r->L, r->table, "options");
  if (lua_isnil(r->L, -1))
    return schema_new(NULL, &r->plugin->schema, r->fault);
  if (!lua_istable(r->L, -1))
    return mistake(r, "options", "options must be a table");
  struct value *options = r->reading->options = value_table();
  if (!options)
    return fault_set(r->fault, -ENOMEM, "%s: out of memory", r->plugin->path);
  int code = read_table(r, options);
  code = code ? code : check_reserved(r, options);
  return code ? code : schema_new(options, &r->plugin->schema, r->fault);
}

/* A file of the same kind and name in the library is what ships; to hide it must be meant. */
static int check_override(const struct declared *r) {
  const struct vm *vm = isolate_vm(r->plugin->isolate);
  char *own = realpath(r->plugin->path, NULL), *shipped = NULL;
  char path[4096];
  snprintf(path, sizeof path, "%s/plugins/%s/%s.lua", vm->directory, r->plugin->kind,
           r->plugin->name);
  shipped = realpath(path, NULL);
  bool hides = own && shipped && strcmp(own, shipped) != 0;
  free(own);
  free(shipped);
  if (hides && !has(r->L, r->table, "override"))
    return mistake(r, NULL, "hides the plugin that ships as %s; if that is meant: override = true",
                   path);
  return 0;
}

static int read_declared(struct declared *r) {
  if (!lua_istable(r->L, r->table))
    return mistake(r, NULL, "a plugin's file returns a table, this one a %s",
                   luaL_typename(r->L, r->table));
  int code = read_kind(r);
  if (!r->kind)
    return code;
  code = code ? code : check_name(r);
  code = code ? code : check_fields(r);
  code = code ? code : read_plain(r);
  code = code ? code : read_options(r);
  return code ? code : check_override(r);
}

int declaration_read(lua_State *L, struct edition *e, struct declaration *d, struct fault *f) {
  luaL_checkstack(L, 20, "declaration");
  d->places = places_read(e->source, e->source_length);
  if (!d->places)
    return fault_set(f, -ENOMEM, "%s: out of memory", e->path);
  struct declared r = {.L = L,
                       .table = lua_gettop(L),
                       .plugin = e,
                       .at = places_root(d->places),
                       .reading = d,
                       .fault = f};
  e->changes = PLAN_ALL;
  int code = read_declared(&r);
  lua_settop(L, r.table);
  return code;
}

void declaration_clear(struct declaration *d) {
  places_free(d->places);
  value_unref(d->options);
}

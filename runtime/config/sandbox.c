#include "config/sandbox.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/findings.h"
#include "base/text.h"
#include "base/value.h"
#include "base/places.h"
#include "vm/plugin/reader.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOOK_EVERY = 1000, FILE_MAX = 1 << 20 };

struct sandbox {
  const struct sandbox_source *source;
  struct findings *findings;
  struct places *places;
  struct value *value; /* what was read so far; here so that a Lua error does not lose it */
  size_t memory;
  int64_t instructions, deadline_ns;
  const char *stopped; /* why it was stopped; NULL: it was not */
  int stopped_line;
  struct buf reading; /* what `file` reads, until Lua has it */
};

/* Counts what Lua holds. A refusal is LuaJIT's "not enough memory". */
static void *allocate(void *arg, void *block, size_t old, size_t size) {
  struct sandbox *s = arg;
  if (size == 0) {
    s->memory -= block ? old : 0;
    free(block);
    return NULL;
  }
  size_t others = s->memory - (block ? old : 0);
  if (size > SANDBOX_MEMORY - others && size > old)
    return NULL;
  void *moved = realloc(block, size);
  if (moved)
    s->memory = others + size;
  return moved;
}

static struct sandbox *sandbox_of(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "sandbox");
  struct sandbox *s = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return s;
}

/* Raises at the limits; then again at each instruction, so that no pcall outlives it. */
static void on_count(lua_State *L, lua_Debug *d) {
  struct sandbox *s = sandbox_of(L);
  s->instructions += HOOK_EVERY;
  if (s->instructions > SANDBOX_INSTRUCTIONS)
    s->stopped = "it ran for more than 50 million instructions: an endless loop?";
  else if (clock_thread_ns() > s->deadline_ns)
    s->stopped = "it ran for more than 5 seconds";
  if (s->stopped) {
    lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
    if (!s->stopped_line && lua_getinfo(L, "l", d))
      s->stopped_line = d->currentline;
    luaL_error(L, "%s", s->stopped);
  }
}

static int call_env(lua_State *L) {
  const char *name = luaL_checkstring(L, 1), *text = getenv(name);
  if (text)
    lua_pushstring(L, text);
  else if (lua_gettop(L) >= 2)
    lua_settop(L, 2);
  else
    return luaL_error(
        L, "the environment variable %s is not set; env(\"%s\", DEFAULT) gives a default", name,
        name);
  return 1;
}

static int call_file(lua_State *L) {
  struct sandbox *s = sandbox_of(L);
  const char *name = luaL_checkstring(L, 1), *slash = strrchr(s->source->file, '/');
  char path[4096];
  int dir = *name != '/' && slash ? (int)(slash - s->source->file) + 1 : 0;
  if (snprintf(path, sizeof path, "%.*s%s", dir, s->source->file, name) >= (int)sizeof path)
    return luaL_error(L, "the file's name is too long");
  buf_clear(&s->reading);
  int status = file_read_whole(path, FILE_MAX, &s->reading, NULL);
  if (status < 0)
    return luaL_error(L, "cannot read %s: %s", path,
                      status == -EFBIG ? "larger than 1 MiB" : file_problem(status));
  size_t length = s->reading.length;
  if (s->source->on_read)
    s->source->on_read(s->source->arg, path, s->reading.data, length);
  if (length && s->reading.data[length - 1] == '\n')
    length--;
  lua_pushlstring(L, s->reading.data, length);
  buf_free(&s->reading);
  return 1;
}

/* A global that is not there is a mistake, not nil. */
static int call_missing_global(lua_State *L) {
  static const char *const known[] = {"env",      "file", "host",   "assert", "error",
                                      "ipairs",   "next", "pairs",  "pcall",  "select",
                                      "bit",      "math", "string", "table",  "tonumber",
                                      "tostring", "type", "unpack", "xpcall"};
  const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
  const char *near = nearest_word(name, known, sizeof known / sizeof *known);
  if (near)
    return luaL_error(L, "there is no global \"%s\" here; did you mean \"%s\"?", name, near);
  return luaL_error(L,
                    "there is no global \"%s\" here: a configuration has Lua's safe parts, env, "
                    "file and host",
                    name);
}

static void push_fact(lua_State *L, const struct value *v) {
  if (value_kind(v) == VALUE_TEXT)
    lua_pushstring(L, value_as_text(v, ""));
  else if (value_kind(v) == VALUE_NUMBER)
    lua_pushnumber(L, value_as_number(v, 0));
  else {
    lua_newtable(L);
    for (size_t i = 0; i < value_fields(v); i++) {
      const char *key;
      push_fact(L, value_field(v, i, &key));
      lua_setfield(L, -2, key);
    }
    for (size_t i = 0; i < value_length(v); i++) {
      push_fact(L, value_at(v, i));
      lua_rawseti(L, -2, (int)i + 1);
    }
  }
}

static void remove_fields(lua_State *L, const char *table, const char *const *names) {
  lua_getglobal(L, table);
  for (; *names; names++) {
    lua_pushnil(L);
    lua_setfield(L, -2, *names);
  }
  lua_pop(L, 1);
}

static void open_globals(lua_State *L, const struct sandbox_source *source) {
  static const luaL_Reg libraries[] = {{"", luaopen_base},
                                       {LUA_STRLIBNAME, luaopen_string},
                                       {LUA_TABLIBNAME, luaopen_table},
                                       {LUA_MATHLIBNAME, luaopen_math},
                                       {LUA_BITLIBNAME, luaopen_bit}};
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
    lua_pushcfunction(L, libraries[i].func);
    lua_pushstring(L, libraries[i].name);
    lua_call(L, 1, 0);
  }
  remove_fields(L, "_G",
                (const char *const[]){"load", "loadstring", "loadfile", "dofile", "print",
                                      "collectgarbage", "coroutine", "newproxy", "gcinfo",
                                      "getfenv", "setfenv", "module", "require", "package", "_G",
                                      NULL});
  remove_fields(L, "string", (const char *const[]){"dump", NULL});
  remove_fields(L, "math", (const char *const[]){"random", "randomseed", NULL});
  lua_pushcfunction(L, call_env);
  lua_setglobal(L, "env");
  lua_pushcfunction(L, call_file);
  lua_setglobal(L, "file");
  push_fact(L, source->host);
  lua_setglobal(L, "host");
  lua_newtable(L);
  lua_pushcfunction(L, call_missing_global);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, LUA_GLOBALSINDEX);
}

static void find_at(struct sandbox *s, int line, const char *text) {
  struct value *where = value_nil();
  value_place(where, s->source->file, line);
  findings_add(s->findings, where, "", "%s", text);
  value_unref(where);
}

/* The whole run, under one lua_cpcall. */
static int body(lua_State *L) {
  struct sandbox *s = lua_touserdata(L, 1);
  const struct sandbox_source *source = s->source;
  lua_pushlightuserdata(L, s);
  lua_setfield(L, LUA_REGISTRYINDEX, "sandbox");
  luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
  open_globals(L, source);
  if (source->length && source->text[0] == LUA_SIGNATURE[0])
    return luaL_error(L, "bytecode is not accepted: expected Lua source");
  /* A short name in messages, whatever the path: find_raised puts the real one in its place. */
  if (luaL_loadbuffer(L, source->text, source->length, "@:") != 0)
    return lua_error(L);
  lua_sethook(L, on_count, LUA_MASKCOUNT, HOOK_EVERY);
  lua_call(L, 0, 1);
  lua_sethook(L, NULL, 0, 0);
  struct place_cursor root = places_root(s->places);
  if (!lua_istable(L, -1)) {
    char text[120];
    snprintf(text, sizeof text, "the file returns %s: end it with return { ... }",
             lua_isnil(L, -1) ? "nothing" : luaL_typename(L, -1));
    find_at(s, root.line, text);
    return 0;
  }
  s->value = value_table();
  if (!s->value)
    return luaL_error(L, "not enough memory");
  struct reader r = {.file = source->file, .findings = s->findings};
  reader_table(&r, L, s->value, root);
  return 0;
}

/* A Lua error as a finding: ":12: text" has its line in front. */
static void find_raised(struct sandbox *s, const char *text) {
  int line = 0;
  if (text[0] == ':' && text[1] == ':' && isdigit((unsigned char)text[2])) {
    char *end;
    line = (int)strtol(text + 2, &end, 10);
    text = *end == ':' ? end + 1 + (end[1] == ' ') : end;
  }
  if (s->stopped) {
    text = s->stopped;
    line = s->stopped_line;
  }
  if (strstr(text, "not enough memory"))
    text = "it needs more than 64 MiB";
  find_at(s, line, text);
}

static int run(struct sandbox *s) {
  lua_State *L = lua_newstate(allocate, s);
  if (!L)
    return -ENOMEM;
  int status = lua_cpcall(L, body, s);
  if (status) {
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    find_raised(s, text ? text : "it raised an error that is no text");
  }
  lua_close(L);
  buf_free(&s->reading);
  return status;
}

struct value *sandbox_run(const struct sandbox_source *source, struct findings *findings) {
  struct sandbox s = {.source = source,
                      .findings = findings,
                      .places = places_read(source->text, source->length),
                      .deadline_ns = clock_thread_ns() + (int64_t)SANDBOX_SECONDS * 1000000000};
  size_t before = findings->count;
  int status = s.places ? run(&s) : -ENOMEM;
  places_free(s.places);
  if (status == 0 && findings->count == before && !findings->failed)
    return s.value;
  if (findings->count == before)
    findings_add(findings, NULL, "", "%s: out of memory", source->file);
  value_unref(s.value);
  return NULL;
}

struct value *sandbox_literal(const char *text) {
  struct findings none = {0};
  struct sandbox_source source = {.file = "perigee", .text = text, .length = strlen(text)};
  struct value *v = sandbox_run(&source, &none);
  findings_free(&none);
  return v;
}

/* perigee.process.run { "program", "argument", ..., timeout, stdin, env, cwd, output_limit }:
 * { code, signal, stdout, stderr, timed_out, truncated }; `signal` only where one ended it.
 *
 * `env` is the whole environment of the child, but that it has the agent's PATH unless it says
 * otherwise; without `env` the child has the agent's own. Of an isolate with grants it is the usual
 * variables and those that are granted, and `env` may name no others: with PATH or LD_PRELOAD in
 * its hand, a plugin that may run one program may run any. */
#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/process.h"
#include "io/io.h"
#include "vm/bind/bind_io.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/grant.h"
#include "vm/isolate/script.h"

enum { TIMEOUT_MS = 30000, ARGUMENTS_MAX = 1000, OUTPUT_MAX = 8 * 1024 * 1024 };

struct run {
  struct process *process;
  struct task_wait *wait;
};

static int push_result(lua_State *L, void *arg) {
  const struct process_result *r = arg;
  lua_createtable(L, 0, 6);
  lua_pushinteger(L, r->code);
  lua_setfield(L, -2, "code");
  if (r->signal) {
    lua_pushinteger(L, r->signal);
    lua_setfield(L, -2, "signal");
  }
  lua_pushlstring(L, r->out, r->out_length);
  lua_setfield(L, -2, "stdout");
  lua_pushlstring(L, r->err, r->err_length);
  lua_setfield(L, -2, "stderr");
  lua_pushboolean(L, r->timed_out);
  lua_setfield(L, -2, "timed_out");
  lua_pushboolean(L, r->truncated);
  lua_setfield(L, -2, "truncated");
  return 1;
}

static void on_exit_of(void *arg, const struct process_result *result) {
  struct run *run = arg;
  task_wake(run->wait, push_result, (void *)result);
  free(run);
}

static void run_cancel(void *operation) {
  struct run *run = operation;
  process_cancel(run->process);
  free(run);
}

/* The list part of the table at 1, as a C list that the collector owns. */
static const char **read_args(lua_State *L) {
  size_t count = lua_objlen(L, 1);
  if (count == 0 || count > ARGUMENTS_MAX)
    luaL_error(L, "process.run { program, arguments... }: from 1 to %d texts", ARGUMENTS_MAX);
  const char **args = lua_newuserdata(L, (count + 1) * sizeof *args);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 1, (int)i + 1);
    if (lua_type(L, -1) != LUA_TSTRING)
      luaL_error(L, "argument %d: text expected, not a %s", (int)i, luaL_typename(L, -1));
    args[i] = lua_tostring(L, -1);
    if (strlen(args[i]) != lua_objlen(L, -1))
      luaL_error(L, "argument %d: text without NUL bytes expected", (int)i);
    lua_pop(L, 1);
  }
  args[count] = NULL;
  return args;
}

/* The "NAME=value" lines of a child's environment; the collector's, in a table on the stack. */
struct environment {
  lua_State *L;
  int lines, count;
};

static void environment_add(struct environment *e, const char *line) {
  lua_pushstring(e->L, line);
  lua_rawseti(e->L, e->lines, ++e->count);
}

static const char **environment_list(struct environment *e) {
  const char **list = lua_newuserdata(e->L, (size_t)(e->count + 1) * sizeof *list);
  for (int i = 0; i < e->count; i++) {
    lua_rawgeti(e->L, e->lines, i + 1);
    list[i] = lua_tostring(e->L, -1);
    lua_pop(e->L, 1);
  }
  list[e->count] = NULL;
  return list;
}

static struct environment environment_new(lua_State *L) {
  lua_newtable(L);
  return (struct environment){.L = L, .lines = lua_gettop(L)};
}

static bool is_usual(const char *line) {
  static const char *const usual[] = {"PATH=", "HOME=", "USER=", "LANG=", "LC_", "TZ=", "TMPDIR="};
  for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
    if (strncmp(line, usual[i], strlen(usual[i])) == 0)
      return true;
  return false;
}

/* Of the agent's own environment, what an isolate with grants may hand on. */
static const char **inherited_env(lua_State *L) {
  struct environment e = environment_new(L);
  for (char **line = environ; *line; line++) {
    lua_pushlstring(L, *line, strcspn(*line, "="));
    if (is_usual(*line) || granted(L, GRANT_ENV, lua_tostring(L, -1)))
      environment_add(&e, *line);
    lua_pop(L, 1);
  }
  return environment_list(&e);
}

/* The table on top as the whole of it; NULL: it names a variable that is not granted. */
static const char **given_env(lua_State *L) {
  int from = lua_gettop(L);
  struct environment e = environment_new(L);
  const char *path = getenv("PATH");
  lua_getfield(L, from, "PATH");
  if (lua_isnil(L, -1) && path)
    environment_add(&e, lua_pushfstring(L, "PATH=%s", path));
  lua_settop(L, e.lines);
  lua_pushnil(L);
  while (lua_next(L, from)) {
    if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1) || strchr(lua_tostring(L, -2), '='))
      luaL_error(L, "env: { NAME = \"value\" } expected");
    if (!granted(L, GRANT_ENV, lua_tostring(L, -2)))
      return NULL;
    lua_pushfstring(L, "%s=%s", lua_tostring(L, -2), lua_tostring(L, -1));
    environment_add(&e, lua_tostring(L, -1));
    lua_pop(L, 2);
  }
  return environment_list(&e);
}

static int run_call(lua_State *L) {
  static const char *const known[] = {"timeout", "stdin", "env", "cwd", "output_limit", NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  options_check(L, 1, known);
  struct process_options options = {
      .cwd = option_text(L, 1, "cwd"),
      .timeout_ms = option_ms(L, 1, "timeout", TIMEOUT_MS),
      .output_limit = (size_t)option_integer(L, 1, "output_limit", 1, OUTPUT_MAX, PROCESS_OUTPUT),
      .args = read_args(L),
  };
  if (*options.args[0] != '/' && strchr(options.args[0], '/'))
    luaL_error(L, "process.run: \"%s\": a program is a name, or a whole path", options.args[0]);
  if (!granted(L, GRANT_RUN, options.args[0]))
    return push_ungranted(L);
  lua_getfield(L, 1, "env");
  if (!lua_isnil(L, -1)) {
    luaL_checktype(L, -1, LUA_TTABLE);
    options.env = given_env(L);
    if (!options.env)
      return push_ungranted(L);
  } else if (!granted_everything(L)) {
    options.env = inherited_env(L);
  }
  lua_getfield(L, 1, "stdin");
  options.input = luaL_optlstring(L, -1, "", &options.input_length);
  wait_check(L);
  if (scripted(L)) {
    lua_pushvalue(L, 1);
    lua_pushnumber(L, (double)options.timeout_ms / 1000);
    return script_ask(L, "run", 2, 0, "");
  }
  struct run *run = calloc(1, sizeof *run);
  if (!run)
    return push_error(L, -ENOMEM, "out of memory");
  int rc = process_start(io_of(L), &options, on_exit_of, run, &run->process);
  if (rc < 0) {
    free(run);
    return push_error(L, rc, "%s: %s", options.args[0], io_reason(rc));
  }
  return task_wait(L, run, run_cancel, &run->wait);
}

int open_process(lua_State *L) {
  lua_newtable(L);
  lua_pushcfunction(L, run_call);
  lua_setfield(L, -2, "run");
  return 1;
}

/* The checks of fuel.h, in any source and in generated programs. Even first byte: the rest is
 * source. What compiles without checks compiles with them, the source is still in it, and it comes
 * to an end. Odd: the rest chooses a program with all kinds of loops and calls, which gives the
 * same answer compiled with checks as it does interpreted without. */
#include "base/buf.h"
#include "vm/isolate/fuel.h"

#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH_MAX = 4, STATEMENTS_MAX = 60, INSTRUCTIONS_MAX = 200000, STEPS = 5000 };
static const char COUNTER[] = "_fuel_of_the_fuzzer";

/* ---- the states ---- */

static struct fuel fuel;

/* What of Lua cannot take long by itself. */
static lua_State *state_new(bool compiled) {
  lua_State *L = luaL_newstate();
  if (!L)
    abort();
  luaL_openlibs(L);
  if (!compiled)
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
  if (luaL_loadstring(
          L, "local kept = { 'pcall', 'xpcall', 'error', 'select', 'setmetatable', 'type', "
             "'pairs', 'ipairs', 'next', 'coroutine', 'tostring' }\n"
             "local ffi, env = require('ffi'), {}\n"
             "for _, name in ipairs(kept) do env[name] = _G[name] end\n"
             "getmetatable('').__index = nil\n"
             "counter, env_ = ffi.cast('" FUEL_CDEF "', ...), env") != 0)
    abort();
  lua_pushlightuserdata(L, &fuel);
  lua_call(L, 1, 0);
  return L;
}

static bool limited; /* a pcall may have kept the error */

static void on_count(lua_State *L, lua_Debug *unused) {
  (void)unused;
  limited = true;
  luaL_error(L, "over the limit");
}

static void set_environment(lua_State *L) {
  lua_getglobal(L, "env_");
  lua_setfenv(L, -2);
}

/* ---- any source ---- */

/* With the checks taken out it is the source, but for a header line. */
static void check_contents(const struct buf *out, const char *source, size_t length) {
  char check[200];
  struct buf bare = {0};
  int n = snprintf(check, sizeof check, " %s.left=%s.left-1 if %s.left<%s.floor then %s() end ",
                   COUNTER, COUNTER, COUNTER, COUNTER, COUNTER);
  for (size_t at = 0; at < out->length;) {
    if (out->length - at >= (size_t)n && memcmp(out->data + at, check, (size_t)n) == 0)
      at += (size_t)n;
    else
      buf_char(&bare, out->data[at++]);
  }
  static const char before[] = "local _fuel_of_the_fuzzer = ... return function(...)",
                    after[] = "\nend";
  size_t inside = bare.length - (sizeof before - 1) - (sizeof after - 1);
  if (memcmp(bare.data, before, sizeof before - 1) != 0 || inside > length ||
      memcmp(bare.data + sizeof before - 1, source + length - inside, inside) != 0)
    abort();
  buf_free(&bare);
}

static bool is_a_limit(const char *message) {
  return strstr(message, "too many") || strstr(message, "limit") || strstr(message, "too long") ||
         strstr(message, "too large") || strstr(message, "not enough memory");
}

static void push_counter(lua_State *L) {
  lua_getglobal(L, "counter");
}

static void try_source(const char *source, size_t length) {
  lua_State *L = state_new(true);
  struct buf out = {0};
  if (luaL_loadbufferx(L, source, length, "=source", "t") == 0) {
    fuel_rewrite(source, length, COUNTER, &out);
    check_contents(&out, source, length);
    fuel = (struct fuel){.left = STEPS};
    if (luaL_loadbufferx(L, out.data, out.length, "=source", "t") == 0) {
      push_counter(L);
      lua_call(L, 1, 1);
      set_environment(L);
      lua_pcall(L, 0, 0, 0); /* libFuzzer sees to it that this ends */
    } else if (!is_a_limit(lua_tostring(L, -1))) {
      abort();
    }
  }
  buf_free(&out);
  lua_close(L);
}

/* ---- generated programs ---- */

struct generator {
  const uint8_t *at, *end;
  struct buf out;
  int statements, names;
};

static unsigned choose(struct generator *g, unsigned count) {
  return g->at < g->end ? *g->at++ % count : 0;
}

static void expression(struct generator *g) {
  static const char *const simple[] = {"a",      "b",    "c",  "1",    "7",
                                       "0x1e+2", "3e+1", "#t", "t[1]", "(a < b and 1 or 2)"};
  buf_text(&g->out, simple[choose(g, sizeof simple / sizeof *simple)]);
  if (choose(g, 3) == 1) {
    buf_text(&g->out, choose(g, 2) ? " + " : " * ");
    buf_text(&g->out, simple[choose(g, 3)]);
    buf_text(&g->out, " % 101");
  }
}

static void assign(struct generator *g) {
  static const char *const names[] = {"a", "b", "c", "t[1]"};
  buf_format(&g->out, " %s = (", names[choose(g, 4)]);
  expression(g);
  buf_text(&g->out, ") % 1009");
}

static void block(struct generator *g, int depth);

/* Everything goes on at most a few times, but where `forever` says otherwise. */
static void statement(struct generator *g, int depth) {
  int n = g->names++;
  unsigned times = 1 + choose(g, 70); /* the more are compiled */
  struct buf *out = &g->out;
  if (depth >= DEPTH_MAX || ++g->statements > STATEMENTS_MAX) {
    assign(g);
    return;
  }
  if (depth > 1)
    times = 1 + times % 5;
  switch (choose(g, 14)) {
  case 0:
    buf_format(out, " for i%d = 1, %u do", n, times);
    block(g, depth + 1);
    buf_text(out, " end");
    break;
  case 1:
    buf_format(out, " local n%d = 0 while n%d < %u do n%d = n%d + 1", n, n, times, n, n);
    block(g, depth + 1);
    buf_text(out, " end");
    break;
  case 2:
    buf_format(out, " local n%d = 0 repeat local m%d = n%d n%d = m%d + 1", n, n, n, n, n);
    block(g, depth + 1);
    buf_format(out, " until m%d >= %u", n, times);
    break;
  case 3:
    buf_format(out, " for k%d, v%d in pairs(t) do a = a + v%d %% 3", n, n, n);
    block(g, depth + 1);
    buf_text(out, " break end");
    break;
  case 4:
    buf_format(out, " do local n%d = 0 ::top%d:: n%d = n%d + 1", n, n, n, n);
    block(g, depth + 1);
    buf_format(out, " if n%d < %u then goto top%d end end", n, times, n);
    break;
  case 5:
    buf_format(out, " for i%d = 1, %u do if i%d %% 2 == 0 then goto next%d end local x%d = i%d", n,
               times, n, n, n, n);
    block(g, depth + 1);
    buf_format(out, " c = c + x%d ::next%d:: end", n, n);
    break;
  case 6:
    buf_format(out, " local function f%d(x, ...) if x < 1 then return ... end", n);
    block(g, depth + 1);
    buf_format(out, " return f%d(x - 1, ...) end a = a + (f%d(%u, 5) or 0)", n, n, times);
    break;
  case 7:
    buf_format(out, " local ok%d = pcall(function(...) local x = ...", n);
    block(g, depth + 1);
    buf_format(out, " if a %% 2 == 0 then error(x) end end, b) b = ok%d and b + 1 or b", n);
    break;
  case 8:
    buf_format(out,
               " local m%d = setmetatable({}, { __index = function(_, k) return k end, __call = "
               "function(self, x)",
               n);
    block(g, depth + 1);
    buf_format(out, " return x end }) a = a + m%d[3] + m%d(b)", n, n);
    break;
  case 9:
    buf_format(out,
               " local co%d = coroutine.wrap(function(x) for i = 1, 3 do x ="
               " coroutine.yield(x + i) end",
               n);
    block(g, depth + 1);
    buf_format(out, " end) a = a + co%d(b) + co%d(c)", n, n);
    break;
  case 10:
    buf_format(out, " local goto = %u c = c + goto", times);
    break;
  case 11:
    buf_text(out,
             " --[==[ while do ]] function ]==] t['do'] = 'repeat' --\rlocal z = [[function(]]\n");
    break;
  case 12:
    buf_text(out, " if a > b then");
    block(g, depth + 1);
    buf_text(out, " elseif b > c then");
    block(g, depth + 1);
    buf_text(out, " else");
    block(g, depth + 1);
    buf_text(out, " end");
    break;
  default:
    assign(g);
  }
}

static void block(struct generator *g, int depth) {
  for (unsigned count = 1 + choose(g, 3); count > 0; count--)
    statement(g, depth);
}

/* What it answers, or NULL: it raised. */
static const char *answer(lua_State *L) {
  return lua_pcall(L, 0, 1, 0) == 0 ? lua_tostring(L, -1) : NULL;
}

static void try_program(const uint8_t *data, size_t size) {
  struct generator g = {.at = data, .end = data + size};
  struct buf out = {0};
  buf_text(&g.out, "local a, b, c, t = 1, 2, 3, { 4, 5 }");
  do
    block(&g, 0);
  while (g.at < g.end && g.statements < STATEMENTS_MAX);
  buf_text(&g.out, " return tostring(a) .. ' ' .. tostring(b) .. ' ' .. tostring(c) .. ' ' .. #t");
  lua_State *plain = state_new(false), *compiled = state_new(true);
  if (luaL_loadbufferx(plain, g.out.data, g.out.length, "=program", "t") != 0) {
    if (!is_a_limit(lua_tostring(plain, -1)))
      abort();
  } else {
    set_environment(plain);
    lua_sethook(plain, on_count, LUA_MASKCOUNT, INSTRUCTIONS_MAX);
    limited = false;
    const char *wanted = answer(plain);
    wanted = limited ? NULL : wanted;
    fuel_rewrite(g.out.data, g.out.length, COUNTER, &out);
    if (luaL_loadbufferx(compiled, out.data, out.length, "=program", "t") != 0)
      abort();
    push_counter(compiled);
    lua_call(compiled, 1, 1);
    set_environment(compiled);
    fuel = (struct fuel){.left = wanted ? INT32_MAX : STEPS};
    const char *got = answer(compiled);
    if (wanted && (!got || strcmp(wanted, got) != 0))
      abort();
  }
  lua_close(plain);
  lua_close(compiled);
  buf_free(&out);
  buf_free(&g.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2 || size > 20000)
    return 0;
  if (data[0] % 2)
    try_program(data + 1, size - 1);
  else
    try_source((const char *)data + 1, size - 1);
  return 0;
}

/* Patterns: what LuaJIT's own find, match, gmatch, gsub and sort answer, on a large generated set;
 * and that what backtracks for ever ends with its turn. */
#include "fixture.h"

#include <lauxlib.h>
#include <lualib.h>

#include "vm/isolate/inside.h"

/* Runs in a state of LuaJIT's own, with ours beside it: `theirs` and `ours`. Every error's text is
 * compared as well. */
static const char differential[] =
    "local pieces = { 'a', 'b', 'ab', '.', '%a', '%d', '%w+', '[ab]', '[^b]', '[a-c]', '[%d_]*', "
    "'%s',\n"
    "  '(', ')', '()', '(a)', '%1', '%2', '*', '+', '-', '?', '^', '$', '%', '%%', '%b()', '%bxy', "
    "'%b',\n"
    "  '%f[%a]', '%f', '[', ']', '[]]', '[^]', '[%', '%z', '\\0', '%g', '%W', '%P', 'x-y', '1', "
    "'\\255' }\n"
    "local letters = { 'a', 'b', 'c', '1', '2', ' ', '(', ')', 'x', 'y', '\\0', '%', '\\255', "
    "'ab', 'aa', '.' }\n"
    "local seed = 20261121\n"
    "local function chance(n) seed = (seed * 16807) % 2147483647 return seed % n + 1 end\n"
    "local function made(from, most)\n"
    "  local t = {} for i = 1, chance(most) - 1 do t[i] = from[chance(#from)] end return "
    "table.concat(t)\n"
    "end\n"
    "local function all(lib, text, pattern, init, with)\n"
    "  local out = {}\n"
    "  local function note(...)\n"
    "    for i = 1, select('#', ...) do\n"
    "      out[#out + 1] = tostring((select(i, ...))):gsub('^lua/perigee/text.lua:%d+: ', '')\n"
    "        :gsub('%?', ''):gsub(\"bad argument #%d to '[^']*'\", 'bad')\n"
    "    end\n"
    "    out[#out + 1] = '|'\n"
    "  end\n"
    "  note(pcall(lib.find, text, pattern, init)) note(pcall(lib.find, text, pattern, init, "
    "true))\n"
    "  note(pcall(lib.match, text, pattern, init))\n"
    "  note(pcall(lib.gsub, text, pattern, with)) note(pcall(lib.gsub, text, pattern, '<%0>', 2))\n"
    "  note(pcall(lib.gsub, text, pattern, function(c, d) return d or c ~= '' and c end))\n"
    "  note(pcall(lib.gsub, text, pattern, { a = 1, b = false, ab = 'X' }))\n"
    "  note(pcall(function() for a, b in lib.gmatch(text, pattern) do note(a, b) end end))\n"
    "  return table.concat(out, ' ')\n"
    "end\n"
    "for i = 1, 12000 do\n"
    "  local text, pattern, init = made(letters, 12), made(pieces, 6), chance(20) - 10\n"
    "  local with = made({ '%1', '%0', '%2', 'z', '%%', '%', '' }, 4)\n"
    "  local expected, got = all(theirs, text, pattern, init, with), all(ours, text, pattern, "
    "init, with)\n"
    "  if expected ~= got then\n"
    "    return ('text %q pattern %q init %d with %q\\nexpected %s\\ngot      %s'):format(text, "
    "pattern, init, with,\n"
    "      expected, got)\n"
    "  end\n"
    "end\n"
    "for i = 1, 200 do\n"
    "  local t, from, to = {}, chance(40) - 20, i * 37 - 20\n"
    "  for j = from, to do t[j] = j % 7 == 0 and j or 'x' .. j end\n"
    "  t[to - 10] = i % 9 ~= 0 and t[to - 10] or nil\n"
    "  for _, separator in ipairs({ '', ', ', 5 }) do\n"
    "    local ok, expected = pcall(their_concat, t, separator, from, to)\n"
    "    local same, got = pcall(our_concat, t, separator, from, to)\n"
    "    if ok ~= same or ok and expected ~= got then return ('concat %d to %d: %s'):format(from, "
    "to, got) end\n"
    "  end\n"
    "end\n"
    "for i = 1, 300 do\n"
    "  local a, b = {}, {}\n"
    "  for j = 1, chance(200) - 1 do a[j] = chance(50) b[j] = a[j] end\n"
    "  if i % 2 == 0 then their_sort(a) our_sort(b)\n"
    "  else\n"
    "    local function more(x, y) return x > y end\n"
    "    their_sort(a, more) our_sort(b, more)\n"
    "  end\n"
    "  if table.concat(a, ' ') ~= table.concat(b, ' ') then return 'sort: ' .. table.concat(b, ' "
    "') end\n"
    "end\n"
    "return 'same'\n";

static int copy_library(lua_State *L) {
  lua_newtable(L);
  lua_getglobal(L, "string");
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_settable(L, -5);
  }
  lua_pop(L, 1);
  return 1;
}

static void it_answers_as_luajit_does(void **state) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  copy_library(L);
  lua_setglobal(L, "theirs");
  assert_int_equal(luaL_dostring(L, "their_sort, their_concat = table.sort, table.concat"), 0);
  string_bound(L);
  assert_int_equal(luaL_dofile(L, "lua/perigee/sort.lua"), 0);
  assert_int_equal(luaL_dofile(L, "lua/perigee/text.lua"), 0);
  copy_library(L);
  lua_setglobal(L, "ours");
  /* The script itself must not stand on what is under test. */
  assert_int_equal(
      luaL_dostring(L,
                    "our_sort, our_concat = table.sort, table.concat "
                    "table.concat = their_concat for k, v in pairs(theirs) do string[k] = v end"),
      0);
  if (luaL_dostring(L, differential) != 0 || strcmp(lua_tostring(L, -1), "same") != 0)
    fail_msg("%s", lua_tostring(L, -1));
  lua_close(L);
}

static void it_ends_with_its_turn(void **state) {
  static const char *const endless[] = {
      "return (('a'):rep(5e5)):match('.-b')",
      "return (('a'):rep(3e4)):find(('a*'):rep(30) .. 'b')",
      "for _ in (('a'):rep(3e5)):gmatch('.-.-.-b') do end",
      "return (('a'):rep(3e5)):gsub('.-.-.-b', '')",
      "while true do pcall(string.match, ('a'):rep(5e5), '.-.-b') end",
      "local t, s = {}, ('x'):rep(1e5) for i = 1, 5e4 do t[i] = s .. i % 20 end table.sort(t)",
      "table.sort({1, 2, 3}, function() while true do end end)",
  };
  const struct isolate_limits limits = {.turn_ns = 30 * 1000 * 1000};
  for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
    const char *text = ask_within(*state, endless[i], &limits);
    if (strncmp(text, "!ETIME killed: ran for more than ", 33) != 0)
      fail_msg("%s\nanswered: %s", endless[i], text);
  }
}

static void what_is_large_but_quick_is_not_ended(void **state) {
  assert_string_equal(ask(*state, "local s = ('a'):rep(2e6)\n"
                                  "return #s:gsub('b', ''), s:find(s:sub(1, 1e6) .. 'b', 1, true)"),
                      "2000000|nil");
  assert_string_equal(ask(*state, "return (pcall(string.format, '%999d', 1)), (''):rep(2^31 - 1)"),
                      "false|");
}

static void a_lying_comparator_loses_nothing(void **state) {
  assert_string_equal(
      ask(*state, "local t, n = {}, 0 for i = 1, 1000 do t[i] = i end\n"
                  "table.sort(t, function() n = n + 1 return n % 7 ~= 0 end)\n"
                  "table.sort(t, function(a, b) if a then n = n + 1 end return n % 3 == 0 end)\n"
                  "local seen = 0 for i, x in ipairs(t) do seen = seen + x end\n"
                  "return #t, seen, (pcall(table.sort, { 1, 'x' })), (pcall(table.sort, 'x')),\n"
                  "  (pcall(table.sort, t, 'x'))"),
      "1000|500500|false|false|false");
}

static void equal_ones_keep_their_order(void **state) {
  assert_string_equal(
      ask(*state,
          "local t = {} for i = 1, 500 do t[i] = { i % 10, i } end\n"
          "table.sort(t, function(a, b) return a[1] < b[1] end)\n"
          "for i = 2, 500 do\n"
          "  local a, b = t[i - 1], t[i]\n"
          "  if a[1] > b[1] or a[1] == b[1] and a[2] > b[2] then return 'not at ' .. i end\n"
          "end return 'sorted'"),
      "sorted");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_answers_as_luajit_does),
      FIXTURE_TEST(it_ends_with_its_turn),
      FIXTURE_TEST(what_is_large_but_quick_is_not_ended),
      FIXTURE_TEST(a_lying_comparator_loses_nothing),
      FIXTURE_TEST(equal_ones_keep_their_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

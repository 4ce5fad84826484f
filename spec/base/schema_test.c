/* Each short form of schema.h: what passes, with its defaults, and what a mistake is told. */
#include "base/buf.h"
#include "base/fault.h"
#include "base/schema.h"
#include "base/value.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A Lua table as a value, so that the forms below read as a plugin's author writes them. */
static struct value *to_value(lua_State *L, int index) {
  size_t length;
  switch (lua_type(L, index)) {
  case LUA_TBOOLEAN:
    return value_boolean(lua_toboolean(L, index));
  case LUA_TNUMBER:
    return value_number(lua_tonumber(L, index));
  case LUA_TSTRING: {
    const char *text = lua_tolstring(L, index, &length);
    return value_text(text, length);
  }
  case LUA_TTABLE: {
    struct value *t = value_table();
    for (size_t i = 1; i <= lua_objlen(L, index); i++) {
      lua_rawgeti(L, index, (int)i);
      assert_int_equal(value_append(t, to_value(L, lua_gettop(L))), 0);
      lua_pop(L, 1);
    }
    lua_pushnil(L);
    while (lua_next(L, index)) {
      if (lua_type(L, -2) == LUA_TSTRING)
        assert_int_equal(value_set(t, lua_tostring(L, -2), to_value(L, lua_gettop(L))), 0);
      lua_pop(L, 1);
    }
    return t;
  }
  default:
    return value_nil();
  }
}

static struct value *lua(const char *expression) {
  lua_State *L = luaL_newstate();
  lua_pushfstring(L, "return %s", expression);
  if (luaL_dostring(L, lua_tostring(L, 1)))
    fail_msg("%s", lua_tostring(L, -1));
  struct value *v = to_value(L, lua_gettop(L));
  lua_close(L);
  return v;
}

static struct schema *schema_of(const char *declaration) {
  struct value *d = lua(declaration);
  struct schema *s = NULL;
  struct fault f = {0};
  if (schema_new(d, &s, &f) < 0)
    fail_msg("%s", f.text);
  value_unref(d);
  return s;
}

/* Checks and compares with the JSON of what comes out, or with the findings as printed. */
static void check_gives(const char *declaration, const char *options, const char *expected) {
  struct schema *s = schema_of(declaration);
  struct value *given = lua(options), *out = NULL;
  struct findings all = {0};
  struct buf text = {0};
  if (schema_check(s, given, "", &all, &out) == 0)
    value_to_json(out, &text);
  else
    findings_print(&all, &text);
  assert_string_equal(text.data ? text.data : "", expected);
  assert_int_equal(all.count == 0, out != NULL);
  buf_free(&text);
  findings_free(&all);
  value_unref(out);
  value_unref(given);
  schema_free(s);
}

static void declaration_fails(const char *declaration, const char *expected) {
  struct value *d = lua(declaration);
  struct schema *s = NULL;
  struct fault f = {0};
  assert_int_equal(schema_new(d, &s, &f), -EINVAL);
  assert_null(s);
  assert_string_equal(f.text, expected);
  value_unref(d);
}

static void declarations_that_contradict_themselves(void **state) {
  declaration_fails("{ a = { 'string', main = true }, b = { 'string', main = true } }",
                    "option \"b\": main: \"a\" is that already");
  declaration_fails("{ a = { 'number', min = 2, max = 1 } }",
                    "option \"a\": min is above max: nothing would pass");
  declaration_fails("{ a = { 'duration', min = '2s', max = '100ms' } }",
                    "option \"a\": min is above max: nothing would pass");
  declaration_fails("{ t = { a = { 'list', of = 'string', min = 3, max = 1 } } }",
                    "option \"a\": min is above max: nothing would pass");
}

static void plain_types(void **state) {
  check_gives("{ a = 'string' }", "{ a = 'x' }", "{\"a\":\"x\"}");
  check_gives("{ a = 'string' }", "{ a = 1 }", "a: expected a string, found the number 1\n");
  check_gives("{ a = 'string' }", "{}", "a: missing: expected a string\n");
  check_gives("{ a = { 'string', 'd' } }", "nil", "{\"a\":\"d\"}");
  check_gives("{ a = { 'string', optional = true } }", "{}", "{}");
  check_gives("{ a = { 'string', min = 1, max = 3 } }", "{ a = '' }",
              "a: expected a string from 1 to 3 bytes, found the text \"\"\n");
  check_gives("{ a = { 'number', 0.5, min = 0, max = 1 } }", "{}", "{\"a\":0.5}");
  check_gives("{ a = { 'number', 0.5, min = 0, max = 1 } }", "{ a = 1.5 }",
              "a: expected a number from 0 to 1, found the number 1.5\n");
  check_gives("{ a = 'number' }", "{ a = 0/0 }", "a: expected a number, found the number -nan\n");
  check_gives("{ a = { 'integer', min = 1 } }", "{ a = 2.5 }",
              "a: expected a whole number of at least 1, found the number 2.5\n");
  check_gives("{ a = 'boolean' }", "{ a = false }", "{\"a\":false}");
  check_gives("{ a = 'boolean' }", "{ a = 'yes' }",
              "a: expected true or false, found the text \"yes\"\n");
  check_gives("{ a = 'any' }", "{ a = { 1, { b = 2 } } }", "{\"a\":[1,{\"b\":2}]}");
}

static void quantities(void **state) {
  check_gives("{ a = { 'duration', '2s' } }", "{}", "{\"a\":2}");
  check_gives("{ a = 'duration' }", "{ a = '1m30s' }", "{\"a\":90}");
  check_gives("{ a = 'duration' }", "{ a = 5 }",
              "a: a duration has a unit: write \"5s\" for seconds\n");
  check_gives("{ a = 'duration' }", "{ a = '5' }",
              "a: \"5\" has no unit: write \"5s\" for seconds\n");
  check_gives("{ a = { 'duration', min = '100ms' } }", "{ a = '10ms' }",
              "a: expected a duration like \"2s\" of at least 0.1 s, found the text \"10ms\"\n");
  check_gives("{ a = 'size' }", "{ a = '16MiB' }", "{\"a\":16777216}");
  check_gives("{ a = 'size' }", "{ a = 512 }", "{\"a\":512}");
  check_gives("{ a = 'size' }", "{ a = '16MB' }",
              "a: \"16MB\" is not a size: write \"512KiB\", \"16MiB\" or bytes\n");
}

static void addresses_and_off(void **state) {
  check_gives("{ a = { 'address', ':80', off = true } }", "{}", "{\"a\":\":80\"}");
  check_gives("{ a = { 'address', ':80', off = true } }", "{ a = false }", "{\"a\":false}");
  check_gives("{ a = 'address' }", "{ a = false }",
              "a: expected an address like \"127.0.0.1:80\", found false\n");
  check_gives("{ a = 'address' }", "{ a = 'x:99999' }",
              "a: \"x:99999\" is not an address: a port is a number from 0 to 65535\n");
}

static void choices(void **state) {
  check_gives("{ a = { 'choice', 'GET', of = { 'GET', 'PUT' } } }", "{}", "{\"a\":\"GET\"}");
  check_gives("{ a = { 'choice', 'GET', of = { 'GET', 'PUT' } } }", "{ a = 'get' }",
              "a: expected one of \"GET\", \"PUT\", found the text \"get\"\n");
}

static void lists_and_maps(void **state) {
  check_gives("{ a = { 'list', of = 'string' } }", "{ a = { 'x', 'y' } }", "{\"a\":[\"x\",\"y\"]}");
  check_gives("{ a = { 'list', of = 'string' } }", "{ a = { 'x', 2, true } }",
              "a[2]: expected a string, found the number 2\na[3]: expected a string, found true\n");
  check_gives("{ a = { 'list', of = 'string' } }", "{ a = 'x' }",
              "a: expected a list, found the text \"x\"\n");
  check_gives("{ a = { 'list', of = 'string', single = true } }", "{ a = 'x' }", "{\"a\":[\"x\"]}");
  check_gives("{ a = { 'list', of = { p = 'integer' }, single = true } }", "{ a = { p = 1 } }",
              "{\"a\":[{\"p\":1}]}");
  check_gives("{ a = { 'list', of = 'string', max = 1 } }", "{ a = { 'x', 'y' } }",
              "a: expected a list of at most 1 item, found a list\n");
  check_gives("{ a = { 'map', of = 'string' } }", "{ a = { ['my key'] = 1 } }",
              "a[\"my key\"]: expected a string, found the number 1\n");
  check_gives("{ a = { 'map', {}, of = 'integer' } }", "{ a = { x = 1 } }", "{\"a\":{\"x\":1}}");
  check_gives("{ a = { 'map', {}, of = 'integer' } }", "{ a = { 7 } }",
              "a[1]: each entry has a name: NAME = ...\n");
}

static void nested_tables(void **state) {
  check_gives("{ tls = { ca = 'string', verify = { 'boolean', true } } }", "{ tls = { ca = 'f' } }",
              "{\"tls\":{\"ca\":\"f\",\"verify\":true}}");
  check_gives("{ tls = { ca = 'string' } }", "{}", "tls.ca: missing: expected a string\n");
  check_gives("{ tls = { verify = { 'boolean', true } } }", "{}", "{\"tls\":{\"verify\":true}}");
  check_gives("{ tls = { 'table', optional = true, of = { ca = 'string' } } }", "{}", "{}");
  check_gives("{ tls = { ca = 'string' } }", "{ tls = { ca = 'f', verfy = 1 } }",
              "tls.verfy: unknown key; known are ca\n");
  check_gives("{ interval = 'duration' }", "{ intervall = '2s' }",
              "intervall: unknown key; did you mean \"interval\"?\n"
              "interval: missing: expected a duration like \"2s\"\n");
  check_gives("{}", "{ x = 1 }", "x: unknown key; there are no options\n");
}

static void main_option(void **state) {
  check_gives("{ url = { 'string', main = true }, n = { 'integer', 1 } }", "'x'",
              "{\"n\":1,\"url\":\"x\"}");
  check_gives("{ url = 'string', n = { 'integer', 1 } }", "'x'", "{\"n\":1,\"url\":\"x\"}");
  check_gives("{ all = { 'list', of = 'string' } }", "{ 'x', 'y' }", "{\"all\":[\"x\",\"y\"]}");
  check_gives("{ a = { 'string', main = true, optional = true } }", "true", "{}");
  check_gives("{ on = 'boolean' }", "true", "{\"on\":true}");
  check_gives("{ a = 'string', b = 'string' }", "'x'", "expected a table, found the text \"x\"\n");
  check_gives("{ url = 'string', n = { 'integer', 1 } }", "{ 'x', n = 2 }",
              "{\"n\":2,\"url\":\"x\"}");
  check_gives("{ all = { 'list', of = 'string' }, n = { 'integer', 1 } }",
              "{ { 'x', 'y' }, n = 2 }", "{\"all\":[\"x\",\"y\"],\"n\":2}");
  check_gives("{ url = 'string', n = { 'integer', 1 } }", "{ 'x', url = 'y' }",
              "[1]: each entry has a name: NAME = ...; without one there is url alone, once, and "
              "first\n");
}

static void secrets(void **state) {
  char path[] = "/tmp/perigee-secret-XXXXXX", options[100];
  int fd = mkstemp(path);
  assert_int_equal(write(fd, "hunter2\n", 8), 8);
  close(fd);
  snprintf(options, sizeof options, "{ a = { file = '%s' } }", path);
  struct schema *s = schema_of("{ a = 'secret' }");
  struct value *given = lua(options), *out = NULL;
  struct findings all = {0};
  assert_int_equal(schema_check(s, given, "", &all, &out), 0);
  const struct value *secret = value_get(out, "a");
  assert_string_equal(value_as_text(secret, ""), "hunter2");
  assert_true(value_is_secret(secret));
  value_unref(out);
  value_unref(given);
  schema_free(s);
  unlink(path);
  setenv("PERIGEE_SPEC_SECRET", "x", 1);
  check_gives("{ a = 'secret' }", "{ a = { env = 'PERIGEE_SPEC_SECRET' } }",
              "{\"a\":\"(secret)\"}");
  check_gives("{ a = 'secret' }", "{ a = 'hidden' }", "{\"a\":\"(secret)\"}");
  check_gives("{ a = 'secret' }", "{ a = { env = 'PERIGEE_NOT_SET' } }",
              "a: the environment variable PERIGEE_NOT_SET is not set\n");
  check_gives("{ a = 'secret' }", "{ a = { file = '/nowhere/x' } }",
              "a: cannot read /nowhere/x: No such file or directory\n");
  check_gives("{ a = 'secret' }", "{ a = { fil = 'x' } }",
              "a: expected text, { file = \"...\" } or { env = \"...\" }, found a table\n");
}

static void bad_declarations(void **state) {
  declaration_fails("{ a = 'strin' }",
                    "option \"a\": unknown type \"strin\"; did you mean \"string\"?");
  declaration_fails("{ a = 7 }",
                    "option \"a\": expected a type (\"string\"), a form ({ \"number\", 1, "
                    "min = 0 }) or a table of options");
  declaration_fails("{ a = { 'number', 2, max = 1 } }",
                    "option \"a\": default: expected a number of at most 1, found the number 2");
  declaration_fails("{ a = { 'number', maxx = 1 } }",
                    "option \"a\": unknown key \"maxx\" in its form; did you mean \"max\"?");
  declaration_fails("{ a = 'list' }", "option \"a\": a list needs `of`");
  declaration_fails("{ a = { 'string', of = 'x' } }", "option \"a\": a string has no `of`");
  declaration_fails("{ a = { 'duration', '2' } }",
                    "option \"a\": default: \"2\" has no unit: write \"2s\" for seconds");
  declaration_fails("{ 'string' }", "options: each option has a name: { name = \"string\" }");
  declaration_fails("'string'", "options: expected a table of options");
  declaration_fails("{ t = { b = { c = 'sting' } } }",
                    "option \"c\": unknown type \"sting\"; did you mean \"string\"?");
}

static void all_findings_at_once(void **state) {
  struct schema *s = schema_of("{ a = 'string', b = 'integer', c = { d = 'boolean' } }");
  struct value *given = lua("{ a = 1, b = 'x', c = { d = 0 }, e = 1 }"), *out = NULL;
  struct findings all = {0};
  assert_int_equal(schema_check(s, given, "options", &all, &out), 4);
  assert_string_equal(all.items[0].path, "options.e");
  findings_free(&all);
  value_unref(given);
  schema_free(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(declarations_that_contradict_themselves),
      cmocka_unit_test(plain_types),
      cmocka_unit_test(quantities),
      cmocka_unit_test(addresses_and_off),
      cmocka_unit_test(choices),
      cmocka_unit_test(lists_and_maps),
      cmocka_unit_test(nested_tables),
      cmocka_unit_test(main_option),
      cmocka_unit_test(secrets),
      cmocka_unit_test(bad_declarations),
      cmocka_unit_test(all_findings_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

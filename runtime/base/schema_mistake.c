#include "base/schema_mistake.h"

#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool is_identifier(const char *name) {
  static const char letters[] = "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  return *name && !(*name >= '0' && *name <= '9') && name[strspn(name, letters)] == 0;
}

static void write_path(const struct spot *at, struct buf *out) {
  if (!at->up) {
    buf_text(out, at->name);
    return;
  }
  write_path(at->up, out);
  if (!at->name)
    buf_format(out, "[%zu]", at->index);
  else if (is_identifier(at->name))
    buf_format(out, "%s%s", out->length ? "." : "", at->name);
  else
    buf_format(out, "[\"%s\"]", at->name);
}

void mistake(struct checking *c, const struct value *where, const struct spot *at,
             const char *format, ...) {
  struct buf path = {0};
  write_path(at, &path);
  char line[600];
  va_list ap;
  va_start(ap, format);
  vsnprintf(line, sizeof line, format, ap);
  va_end(ap);
  findings_add(c->all, where, path.data, "%s", line);
  buf_free(&path);
}

/* What was found, in a few words; never more of a text than helps. */
static const char *describe(const struct value *v, char *out, size_t size) {
  switch (value_kind(v)) {
  case VALUE_NIL:
    return "nothing";
  case VALUE_BOOLEAN:
    return value_as_boolean(v, false) ? "true" : "false";
  case VALUE_NUMBER:
    snprintf(out, size, "the number %.14g", value_as_number(v, 0));
    return out;
  case VALUE_TEXT:
    snprintf(out, size, value_text_length(v) > 40 ? "the text \"%.40s...\"" : "the text \"%.40s\"",
             value_as_text(v, ""));
    for (char *p = out; *p; p++)
      if ((unsigned char)*p < ' ')
        *p = ' ';
    return out;
  case VALUE_TABLE:
    break;
  }
  return value_length(v) ? "a list" : "a table";
}

/* "a number from 0 to 1": what a rule expects, for people. */
static void expect(const struct rule *r, struct buf *out) {
  static const char *const words[] = {
      [RULE_STRING] = "a string",
      [RULE_NUMBER] = "a number",
      [RULE_INTEGER] = "a whole number",
      [RULE_BOOLEAN] = "true or false",
      [RULE_DURATION] = "a duration like \"2s\"",
      [RULE_SIZE] = "a size like \"16MiB\"",
      [RULE_ADDRESS] = "an address like \"127.0.0.1:80\"",
      [RULE_SERVER] = "a server like \"http://127.0.0.1:80\"",
      [RULE_CERTIFICATE] = "a file of certificates",
      [RULE_KEY] = "a file with a private key",
      [RULE_SECRET] = "text, { file = \"...\" } or { env = \"...\" }",
      [RULE_CHOICE] = "one of ",
      [RULE_LIST] = "a list",
      [RULE_MAP] = "a table",
      [RULE_TABLE] = "a table",
      [RULE_ANY] = "a value",
  };
  static const char *const units[] = {
      [RULE_STRING] = " byte", [RULE_DURATION] = " s", [RULE_LIST] = " item", [RULE_ANY] = ""};
  buf_text(out, words[r->type]);
  for (size_t i = 0; i < value_length(r->choices); i++)
    buf_format(out, "%s\"%s\"", i ? ", " : "", value_as_text(value_at(r->choices, i), ""));
  bool counted = r->type == RULE_STRING || r->type == RULE_LIST;
  double last = r->has_max ? r->max : r->min;
  if (r->has_min && r->has_max)
    buf_format(out, " from %.14g to %.14g", r->min, r->max);
  else if (r->has_min || r->has_max)
    buf_format(out, r->has_min ? " of at least %.14g" : " of at most %.14g", last);
  if (units[r->type] && (r->has_min || r->has_max))
    buf_format(out, "%s%s", units[r->type], counted && last > 1 ? "s" : "");
  if (r->off)
    buf_text(out, " (or false: off)");
}

void mismatch(struct checking *c, const struct rule *r, const struct value *where,
              const struct value *found, const struct spot *at) {
  char words[120];
  struct buf expected = {0};
  expect(r, &expected);
  if (found)
    mistake(c, where, at, "expected %s, found %s", expected.data ? expected.data : "",
            describe(found, words, sizeof words));
  else
    mistake(c, where, at, "missing: expected %s", expected.data ? expected.data : "");
  buf_free(&expected);
}

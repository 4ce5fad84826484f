/* A declaration → rules. Its errors are the plugin author's: the first one is enough. */
#include "base/fault.h"
#include "base/schema_rule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = {
    [RULE_STRING] = "string",   [RULE_NUMBER] = "number",     [RULE_INTEGER] = "integer",
    [RULE_BOOLEAN] = "boolean", [RULE_DURATION] = "duration", [RULE_SIZE] = "size",
    [RULE_ADDRESS] = "address", [RULE_SERVER] = "server",     [RULE_CERTIFICATE] = "certificate",
    [RULE_KEY] = "key",         [RULE_SECRET] = "secret",     [RULE_CHOICE] = "choice",
    [RULE_LIST] = "list",       [RULE_MAP] = "map",           [RULE_TABLE] = "table",
    [RULE_ANY] = "any",
};
enum { TYPES = sizeof type_names / sizeof *type_names };

static const char *const modifiers[] = {"optional", "main", "off",   "single",
                                        "min",      "max",  "about", "of"};
enum { MODIFIERS = sizeof modifiers / sizeof *modifiers };

/* Where a fault in the declaration is. */
struct spot {
  const struct value *declaration;
  const char *option; /* NULL: all of them */
  struct fault *f;
};

static int refuse(const struct spot *at, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int refuse(const struct spot *at, const char *format, ...) {
  char text[300];
  va_list ap;
  va_start(ap, format);
  vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  const char *file = value_file(at->declaration);
  char option[100] = "options";
  if (at->option)
    snprintf(option, sizeof option, "option \"%.80s\"", at->option);
  if (*file)
    return fault_set(at->f, -EINVAL, "%s:%d: %s: %s", file, value_line(at->declaration), option,
                     text);
  return fault_set(at->f, -EINVAL, "%s: %s", option, text);
}

static void rule_clear(struct rule *r) {
  size_t count = r->type == RULE_TABLE ? r->count : r->of ? 1 : 0;
  for (size_t i = 0; i < count; i++)
    rule_clear(&r->of[i]);
  free(r->of);
  free(r->names);
  value_unref(r->fallback);
  value_unref(r->choices);
}

static int read_rule(const struct value *form, struct rule *r, const struct spot *at);

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted by name: a Lua table has no order, and findings should come in the same one each time. */
static int read_fields(const struct value *form, struct rule *r, struct fault *f) {
  size_t count = value_fields(form);
  r->type = RULE_TABLE;
  if (!count)
    return 0;
  r->of = calloc(count, sizeof *r->of);
  r->names = calloc(count, sizeof *r->names);
  if (!r->of || !r->names)
    return fault_set(f, -ENOMEM, "out of memory");
  for (size_t i = 0; i < count; i++)
    value_field(form, i, &r->names[i]);
  qsort(r->names, count, sizeof *r->names, compare_names);
  for (size_t i = 0; i < count; i++) {
    const struct value *option = value_get(form, r->names[i]);
    struct spot at = {option, r->names[i], f};
    r->count = i + 1; /* so that a half-read one is cleared too */
    int status = read_rule(option, &r->of[i], &at);
    if (status < 0)
      return status;
    for (size_t k = 0; k < i; k++)
      if (r->of[i].main && r->of[k].main)
        return refuse(&at, "main: \"%s\" is that already", r->names[k]);
  }
  return 0;
}

static int read_type(const char *word, struct rule *r, const struct spot *at) {
  for (int i = 0; i < TYPES; i++)
    if (strcmp(type_names[i], word) == 0) {
      r->type = (enum rule_type)i;
      return 0;
    }
  const char *near = nearest_word(word, type_names, TYPES);
  return refuse(at, "unknown type \"%.40s\"%s%s%s", word, near ? "; did you mean \"" : "",
                near ? near : "", near ? "\"?" : "");
}

static int read_flag(const struct value *form, const char *name, bool *out, const struct spot *at) {
  const struct value *v = value_get(form, name);
  if (v && value_kind(v) != VALUE_BOOLEAN)
    return refuse(at, "%s is true or false", name);
  *out = value_as_boolean(v, false);
  return 0;
}

/* A bound is written as the option's own values are: a duration's as "100ms". */
static int read_bound(const struct value *form, const char *name, struct rule *r, bool *has,
                      double *out, const struct spot *at) {
  const struct value *v = value_get(form, name);
  if (!v)
    return 0;
  struct rule plain = {.type = r->type};
  if (r->type != RULE_DURATION && r->type != RULE_SIZE)
    plain.type = RULE_NUMBER;
  struct findings none = {0};
  struct value *read = NULL;
  size_t wrong = rule_check(&plain, v, name, &none, &read);
  *has = true;
  *out = value_as_number(read, 0);
  value_unref(read);
  int status =
      wrong ? refuse(at, "%s: %s", name, none.count ? none.items[0].text : "no memory") : 0;
  findings_free(&none);
  return status;
}

static int read_of(const struct value *form, struct rule *r, const struct spot *at) {
  const struct value *of = value_get(form, "of");
  if (r->type == RULE_KEY && of) {
    r->whose = value_as_text(of, NULL);
    return r->whose ? 0 : refuse(at, "`of` names the certificate whose key it is");
  }
  bool wants = r->type == RULE_CHOICE || r->type == RULE_LIST || r->type == RULE_MAP ||
               r->type == RULE_TABLE;
  if (wants != (of != NULL))
    return refuse(at, wants ? "a %s needs `of`" : "a %s has no `of`", type_names[r->type]);
  if (r->type == RULE_CHOICE) {
    for (size_t i = 0; i < value_length(of); i++)
      if (value_kind(value_at(of, i)) != VALUE_TEXT)
        return refuse(at, "the choices in `of` are text");
    r->choices = value_ref(of);
    return value_length(of) ? 0 : refuse(at, "`of` lists the choices");
  }
  if (r->type == RULE_TABLE)
    return value_kind(of) == VALUE_TABLE ? read_fields(of, r, at->f)
                                         : refuse(at, "`of` is a table of options");
  if (!wants)
    return 0;
  r->of = calloc(1, sizeof *r->of);
  return r->of ? read_rule(of, r->of, at) : fault_set(at->f, -ENOMEM, "out of memory");
}

/* A default must pass its own rule; `false` passes where `off` says so. */
static int read_default(const struct value *form, struct rule *r, const struct spot *at) {
  const struct value *v = value_at(form, 1);
  if (value_length(form) > 2)
    return refuse(at, "a form is { type, default, name = ... }");
  if (!v)
    return 0;
  struct findings none = {0};
  struct value *read = NULL;
  int status = 0;
  if (rule_check(r, v, "default", &none, &read))
    status = refuse(at, "default: %s", none.count ? none.items[0].text : "no memory");
  value_unref(read);
  findings_free(&none);
  r->fallback = value_ref(v);
  return status;
}

static int read_modifiers(const struct value *form, struct rule *r, const struct spot *at) {
  for (size_t i = 0; i < value_fields(form); i++) {
    const char *key;
    value_field(form, i, &key);
    size_t known = 0;
    while (known < MODIFIERS && strcmp(modifiers[known], key) != 0)
      known++;
    const char *near = nearest_word(key, modifiers, MODIFIERS);
    if (known == MODIFIERS)
      return refuse(at, "unknown key \"%.40s\" in its form%s%s%s", key,
                    near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
  }
  int status = read_flag(form, "optional", &r->optional, at);
  if (!status)
    status = read_flag(form, "main", &r->main, at);
  if (!status)
    status = read_flag(form, "off", &r->off, at);
  if (!status)
    status = read_flag(form, "single", &r->single, at);
  if (!status)
    status = read_bound(form, "min", r, &r->has_min, &r->min, at);
  if (!status)
    status = read_bound(form, "max", r, &r->has_max, &r->max, at);
  if (!status && r->has_min && r->has_max && r->min > r->max)
    return refuse(at, "min is above max: nothing would pass");
  return status;
}

static int read_rule(const struct value *form, struct rule *r, const struct spot *at) {
  static const char expected[] =
      "expected a type (\"string\"), a form ({ \"number\", 1, min = 0 }) or a table of options";
  if (value_kind(form) == VALUE_TEXT) {
    int status = read_type(value_as_text(form, ""), r, at);
    if (!status && (r->type >= RULE_CHOICE && r->type <= RULE_TABLE))
      return refuse(at, "a %s needs `of`", type_names[r->type]);
    return status;
  }
  if (value_kind(form) != VALUE_TABLE)
    return refuse(at, "%s", expected);
  if (value_length(form) == 0 && value_fields(form) > 0)
    return read_fields(form, r, at->f);
  if (value_kind(value_at(form, 0)) != VALUE_TEXT)
    return refuse(at, "%s", expected);
  int status = read_type(value_as_text(value_at(form, 0), ""), r, at);
  if (!status)
    status = read_modifiers(form, r, at);
  if (!status)
    status = read_of(form, r, at);
  return status ? status : read_default(form, r, at);
}

int schema_new(const struct value *declaration, struct schema **out, struct fault *f) {
  *out = NULL;
  if (value_kind(declaration) != VALUE_TABLE && value_kind(declaration) != VALUE_NIL)
    return fault_set(f, -EINVAL, "options: expected a table of options");
  if (value_length(declaration)) {
    struct spot at = {declaration, NULL, f};
    return refuse(&at, "each option has a name: { name = \"string\" }");
  }
  struct schema *s = calloc(1, sizeof *s);
  if (!s)
    return fault_set(f, -ENOMEM, "out of memory");
  s->declaration = value_ref(declaration);
  int status = read_fields(declaration, &s->root, f);
  if (status < 0) {
    schema_free(s);
    return status;
  }
  *out = s;
  return 0;
}

void schema_beside(struct schema *s, const char *const *words) {
  s->root.beside = words;
}

void schema_free(struct schema *s) {
  if (!s)
    return;
  rule_clear(&s->root);
  value_unref(s->declaration);
  free(s);
}

const struct rule *rule_main(const struct rule *table, const char **name) {
  const struct rule *required = NULL;
  size_t count = 0;
  for (size_t i = 0; i < table->count; i++) {
    const struct rule *r = &table->of[i];
    if (r->main) {
      *name = table->names[i];
      return r;
    }
    if (!r->optional && !r->fallback && r->type != RULE_TABLE) {
      required = r;
      *name = table->names[i];
      count++;
    }
  }
  return count == 1 ? required : NULL;
}

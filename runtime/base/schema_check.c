/* Values against rules. Every mistake becomes a finding; what is right is copied with its defaults.
 * Recursion is as deep as the declaration, never as deep as the value. */
#include "base/buf.h"
#include "base/fault.h"
#include "base/schema_mistake.h"
#include "base/schema_rule.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct value *placed(struct checking *c, struct value *made, const struct value *as) {
  if (!made)
    c->failed = 1;
  else if (as)
    value_place(made, value_file(as), value_line(as));
  return made;
}

static bool in_bounds(const struct rule *r, double n) {
  return !(r->has_min && n < r->min) && !(r->has_max && n > r->max);
}

static struct value *check_number(struct checking *c, const struct rule *r, const struct value *v,
                                  const struct spot *at) {
  double n = value_as_number(v, NAN);
  if (isfinite(n) && in_bounds(r, n) && (r->type != RULE_INTEGER || floor(n) == n))
    return value_ref(v);
  mismatch(c, r, v, v, at);
  return NULL;
}

/* Durations and sizes: text with a unit → a number. */
static struct value *check_quantity(struct checking *c, const struct rule *r, const struct value *v,
                                    const struct spot *at) {
  struct fault f = {0};
  double n = NAN;
  if (value_kind(v) == VALUE_TEXT && r->type == RULE_DURATION) {
    int64_t ns;
    if (duration_parse(value_as_text(v, ""), &ns, &f) == 0)
      n = (double)ns / 1e9;
  } else if (value_kind(v) == VALUE_TEXT) {
    uint64_t bytes;
    if (size_parse(value_as_text(v, ""), &bytes, &f) == 0)
      n = (double)bytes;
  } else if (value_kind(v) == VALUE_NUMBER && r->type == RULE_SIZE && value_as_number(v, -1) >= 0 &&
             floor(value_as_number(v, 0)) == value_as_number(v, 0)) {
    n = value_as_number(v, 0);
  }
  if (!isnan(n) && in_bounds(r, n))
    return placed(c, value_number(n), v);
  if (*f.text)
    mistake(c, v, at, "%s", f.text);
  else if (value_kind(v) == VALUE_NUMBER && r->type == RULE_DURATION)
    mistake(c, v, at, "a duration has a unit: write \"%.14gs\" for seconds", value_as_number(v, 0));
  else
    mismatch(c, r, v, v, at);
  return NULL;
}

static struct value *check_choice(struct checking *c, const struct rule *r, const struct value *v,
                                  const struct spot *at) {
  for (size_t i = 0; i < value_length(r->choices); i++)
    if (value_equal(value_at(r->choices, i), v))
      return value_ref(v);
  mismatch(c, r, v, v, at);
  return NULL;
}

/* Addresses, servers, files of PEM: text that names something. */
static struct value *check_place(struct checking *c, const struct rule *r, const struct value *v,
                                 const struct spot *at) {
  struct fault f = {0};
  struct value *place = NULL;
  if (value_kind(v) != VALUE_TEXT)
    mismatch(c, r, v, v, at);
  else if (!(place = rule_place(r, v, &f)) && *f.text)
    mistake(c, v, at, "%s", f.text);
  else
    placed(c, place, v);
  return place;
}

static struct value *check_secret(struct checking *c, const struct rule *r, const struct value *v,
                                  const struct spot *at) {
  if (value_kind(v) == VALUE_TEXT)
    return placed(c, value_secret(value_as_text(v, ""), value_text_length(v)), v);
  char file[4096];
  const char *key = NULL, *name = NULL, *path = secret_file(v, file, sizeof file);
  if (value_fields(v) == 1 && !value_length(v))
    name = value_as_text(value_field(v, 0, &key), NULL);
  struct fault f = {0};
  if (path) {
    struct value *secret = secret_read(path, &f);
    if (!secret && *f.text)
      mistake(c, v, at, "%s", f.text);
    else
      placed(c, secret, v);
    return secret;
  }
  if (name && strcmp(key, "env") == 0) {
    const char *text = getenv(name);
    if (text)
      return placed(c, value_secret(text, strlen(text)), v);
    mistake(c, v, at, "the environment variable %.200s is not set", name);
    return NULL;
  }
  mismatch(c, r, v, v, at); /* describes a table, never a secret's text */
  return NULL;
}

static struct value *check(struct checking *c, const struct rule *r, const struct value *v,
                           const struct spot *at);

static struct value *check_list(struct checking *c, const struct rule *r, const struct value *v,
                                const struct spot *at) {
  bool is_list = value_kind(v) == VALUE_TABLE && !value_fields(v);
  /* {} is no list of nothing where a lone table may stand: it is that table, with nothing in it. */
  if (r->single && !value_length(v) && (r->of->type == RULE_TABLE || r->of->type == RULE_MAP))
    is_list = false;
  struct value *out = placed(c, value_table(), v);
  if (!is_list && r->single) {
    struct value *only = check(c, r->of, v, at);
    if (only)
      c->failed |= value_append(out, only) < 0;
    return out;
  }
  if (!is_list || !in_bounds(r, (double)value_length(v))) {
    mismatch(c, r, v, v, at);
    return out;
  }
  for (size_t i = 0; i < value_length(v); i++) {
    struct value *item = check(c, r->of, value_at(v, i), &(struct spot){at, NULL, i + 1});
    if (item)
      c->failed |= value_append(out, item) < 0;
  }
  return out;
}

static struct value *check_map(struct checking *c, const struct rule *r, const struct value *v,
                               const struct spot *at) {
  struct value *out = placed(c, value_table(), v);
  if (value_kind(v) != VALUE_TABLE) {
    mismatch(c, r, v, v, at);
    return out;
  }
  if (value_length(v))
    mistake(c, value_at(v, 0), &(struct spot){at, NULL, 1}, "each entry has a name: NAME = ...");
  for (size_t i = 0; i < value_fields(v); i++) {
    const char *key;
    const struct value *field = value_field(v, i, &key);
    struct value *item = check(c, r->of, field, &(struct spot){at, key, 0});
    if (item)
      c->failed |= value_set(out, key, item) < 0;
  }
  return out;
}

static void refuse_unnamed(struct checking *c, const struct rule *r, const struct value *v,
                           const struct spot *at) {
  const char *main;
  struct spot first = {at, NULL, 1};
  if (rule_main(r, &main))
    mistake(c, value_at(v, 0), &first,
            "each entry has a name: NAME = ...; without one there is %s alone, once, and first",
            main);
  else
    mistake(c, value_at(v, 0), &first, "each entry has a name: NAME = ...");
}

static void name_all(struct buf *out, const struct rule *r, size_t beside) {
  for (size_t i = 0; i < r->count; i++)
    buf_format(out, "%s%s", out->length ? ", " : "", r->names[i]);
  for (size_t i = 0; i < beside; i++)
    buf_format(out, "%s%s", out->length ? ", " : "", r->beside[i]);
}

static void refuse_unknown(struct checking *c, const struct rule *r, const struct value *v,
                           const struct spot *at) {
  size_t beside = 0;
  while (r->beside && r->beside[beside])
    beside++;
  if (value_length(v))
    refuse_unnamed(c, r, v, at);
  for (size_t i = 0; i < value_fields(v); i++) {
    const char *key;
    const struct value *field = value_field(v, i, &key);
    size_t known = 0;
    while (known < r->count && strcmp(r->names[known], key) != 0)
      known++;
    if (known < r->count)
      continue;
    const char *near = nearest_word(key, r->names, r->count);
    struct buf names = {0};
    name_all(&names, r, beside);
    if (!near && beside)
      near = nearest_word(key, r->beside, beside);
    if (near)
      mistake(c, field, &(struct spot){at, key, 0}, "unknown key; did you mean \"%s\"?", near);
    else if (r->count + beside)
      mistake(c, field, &(struct spot){at, key, 0}, "unknown key; known are %s",
              names.data ? names.data : "");
    else
      mistake(c, field, &(struct spot){at, key, 0}, "unknown key; there are no options");
    buf_free(&names);
  }
}

static void check_field(struct checking *c, const struct rule *r, const char *name,
                        const struct value *table, struct value *out, const struct spot *at) {
  struct spot here = {at, name, 0};
  const struct value *v = value_get(table, name);
  if (value_kind(v) == VALUE_NIL)
    v = r->fallback;
  struct value *made = NULL;
  if (v)
    made = check(c, r, v, &here);
  else if (r->type == RULE_TABLE && !r->optional) {
    struct value *empty = placed(c, value_table(), table);
    made = check(c, r, empty, &here);
    value_unref(empty);
  } else if (!r->optional)
    mismatch(c, r, table, NULL, &here);
  if (made)
    c->failed |= value_set(out, name, made) < 0;
}

/* Whether `v` stands for the main option: it is no table, or a list where that takes a list. */
static bool is_main(const struct rule *main, const struct value *v) {
  if (value_kind(v) == VALUE_NIL)
    return false;
  if (value_kind(v) != VALUE_TABLE)
    return true;
  return main && main->type == RULE_LIST && value_length(v) && !value_fields(v);
}

/* { VALUE, NAME = ... }: the main option, and others by their names. */
static bool has_main_first(const struct rule *main, const char *name, const struct value *v) {
  return main && value_length(v) == 1 && value_fields(v) > 0 && !value_get(v, name);
}

/* `v` with everything by its name. */
static struct value *with_names(struct checking *c, const struct value *v, const char *main_name,
                                const struct value *main) {
  struct value *whole = placed(c, value_table(), v);
  c->failed |= value_set(whole, main_name, value_ref(main)) < 0;
  for (size_t i = 0; i < value_fields(v); i++) {
    const char *key;
    const struct value *field = value_field(v, i, &key);
    c->failed |= value_set(whole, key, value_ref(field)) < 0;
  }
  return whole;
}

/* A key is somebody's, and a certificate of one's own is nothing without: they may be in one file.
 */
static void check_pair(struct checking *c, const char *name, const char *whose,
                       const struct value *out, const struct spot *at) {
  const struct value *key = value_get(out, name), *cert = value_get(out, whose);
  if (key && !cert)
    mistake(c, key, &(struct spot){at, name, 0}, "a key without `%s`, whose it is", whose);
  if (cert && !key && !pem_has_key(value_as_text(cert, "")))
    mistake(c, cert, &(struct spot){at, whose, 0},
            "without `%s`, and there is no private key in the file", name);
}

static struct value *check_table(struct checking *c, const struct rule *r, const struct value *v,
                                 const struct spot *at) {
  const char *main_name = NULL;
  const struct rule *main = rule_main(r, &main_name);
  struct value *whole = NULL;
  if (is_main(main, v)) {
    if (!main) {
      mismatch(c, r, v, v, at);
      return NULL;
    }
    v = whole = with_names(c, v, main_name, v);
  } else if (has_main_first(main, main_name, v)) {
    v = whole = with_names(c, v, main_name, value_at(v, 0));
  }
  struct value *out = placed(c, value_table(), v);
  size_t found = c->all->count;
  refuse_unknown(c, r, v, at);
  for (size_t i = 0; i < r->count; i++)
    check_field(c, &r->of[i], r->names[i], v, out, at);
  for (size_t i = 0; i < r->count && c->all->count == found; i++)
    if (r->of[i].whose)
      check_pair(c, r->names[i], r->of[i].whose, out, at);
  value_unref(whole);
  return out;
}

static struct value *check(struct checking *c, const struct rule *r, const struct value *v,
                           const struct spot *at) {
  if (r->off && value_kind(v) == VALUE_BOOLEAN && !value_as_boolean(v, true))
    return value_ref(v);
  switch (r->type) {
  case RULE_STRING:
    if (value_kind(v) == VALUE_TEXT && in_bounds(r, (double)value_text_length(v)) &&
        strlen(value_as_text(v, "")) == value_text_length(v))
      return value_ref(v);
    break;
  case RULE_NUMBER:
  case RULE_INTEGER:
    return check_number(c, r, v, at);
  case RULE_BOOLEAN:
    if (value_kind(v) == VALUE_BOOLEAN)
      return value_ref(v);
    break;
  case RULE_DURATION:
  case RULE_SIZE:
    return check_quantity(c, r, v, at);
  case RULE_ADDRESS:
  case RULE_SERVER:
  case RULE_CERTIFICATE:
  case RULE_KEY:
    return check_place(c, r, v, at);
  case RULE_SECRET:
    return check_secret(c, r, v, at);
  case RULE_CHOICE:
    return check_choice(c, r, v, at);
  case RULE_LIST:
    return check_list(c, r, v, at);
  case RULE_MAP:
    return check_map(c, r, v, at);
  case RULE_TABLE:
    return check_table(c, r, v, at);
  case RULE_ANY:
    return value_ref(v);
  }
  mismatch(c, r, v, v, at);
  return NULL;
}

/* The number of findings; what passed is in `*out` even then. */
static size_t check_root(const struct rule *r, const struct value *v, const char *path,
                         struct findings *all, struct value **out) {
  struct checking c = {.all = all};
  size_t before = all->count;
  *out = check(&c, r, v, &(struct spot){.name = path ? path : ""});
  size_t added = all->count - before;
  if (added == 0 && (c.failed || all->failed || !*out)) {
    all->failed = 1;
    added = 1;
  }
  return added;
}

size_t rule_check(const struct rule *r, const struct value *v, const char *path,
                  struct findings *all, struct value **out) {
  size_t added = check_root(r, v, path, all, out);
  if (added) {
    value_unref(*out);
    *out = NULL;
  }
  return added;
}

/* `check = { tcp = true }`: true stands for all defaults, unless the main option is a boolean. */
static const struct value *without_true(const struct schema *s, const struct value *options) {
  const char *name;
  const struct rule *main = rule_main(&s->root, &name);
  bool all_defaults = value_as_boolean(options, false) && !(main && main->type == RULE_BOOLEAN);
  return all_defaults ? NULL : options;
}

size_t schema_check(const struct schema *s, const struct value *options, const char *path,
                    struct findings *all, struct value **out) {
  return rule_check(&s->root, without_true(s, options), path, all, out);
}

size_t schema_check_partly(const struct schema *s, const struct value *options, const char *path,
                           struct findings *all, struct value **out) {
  return check_root(&s->root, without_true(s, options), path, all, out);
}

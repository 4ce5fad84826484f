#include "watch/json_map.h"

#include "base/fault.h"
#include "base/text.h"
#include "base/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MOST = 500, DEPTH_MOST = 16, PATHS_MOST = 100 };

static const struct {
  const char *name;
  enum json_field field;
} fields[] = {{"id", JSON_ID},        {"within", JSON_WITHIN}, {"address", JSON_ADDRESS},
              {"port", JSON_PORT},    {"ports", JSON_PORTS},   {"tags", JSON_TAGS},
              {"meta", JSON_META},    {"zone", JSON_ZONE},     {"weight", JSON_WEIGHT},
              {"status", JSON_STATUS}};
enum { FIELDS = sizeof fields / sizeof *fields };

/* ---- steps and marks ---- */

static int add_step(struct json_map *m, const char *key, size_t length, uint16_t *out) {
  struct json_step *steps = realloc(m->steps, (m->step_count + 1) * sizeof *steps);
  if (!steps)
    return -ENOMEM;
  m->steps = steps;
  *out = (uint16_t)m->step_count++;
  steps[*out] = (struct json_step){.key = key, .length = length};
  return 0;
}

/* The step below `at` by this key, made where there is none. */
static int step_below(struct json_map *m, uint16_t at, const char *key, size_t length,
                      uint16_t *out) {
  uint16_t last = 0;
  for (uint16_t i = m->steps[at].child; i; last = i, i = m->steps[i].sibling)
    if (m->steps[i].length == length && memcmp(m->steps[i].key, key, length) == 0) {
      *out = i;
      return 0;
    }
  int rc = add_step(m, key, length, out);
  if (rc != 0)
    return rc;
  m->steps[at].children++;
  if (last)
    m->steps[last].sibling = *out;
  else
    m->steps[at].child = *out;
  return 0;
}

/* The step that `path` leads to from `at`. "" is `at` itself. */
static int follow(struct json_map *m, uint16_t at, const char *path, const char *name,
                  uint16_t *out, struct fault *f) {
  int depth = 0;
  *out = at;
  for (const char *p = path; *p;) {
    size_t length = strcspn(p, ".");
    if (length == 0 || strcspn(p, "\"\\") < length || ++depth > DEPTH_MOST ||
        m->step_count > STEPS_MOST || p[length + (p[length] == '.')] == '.')
      return fault_set(f, -EINVAL, "%s: \"%.100s\" is no path like \"Service.Address\"", name,
                       path);
    int rc = step_below(m, *out, p, length, out);
    if (rc != 0)
      return fault_set(f, rc, "out of memory");
    p += length + (p[length] == '.');
  }
  return 0;
}

static int add_mark(struct json_map *m, uint16_t at, const struct json_mark *mark,
                    struct fault *f) {
  struct json_mark *marks = realloc(m->marks, (m->mark_count + 2) * sizeof *marks);
  if (!marks)
    return fault_set(f, -ENOMEM, "out of memory");
  m->marks = marks;
  uint16_t made = (uint16_t)++m->mark_count;
  marks[made] = *mark;
  marks[made].next = m->steps[at].mark;
  m->steps[at].mark = made;
  m->steps[at].any |= mark->field == JSON_META || mark->field == JSON_PORTS;
  return 0;
}

/* ---- what is declared ---- */

static int add_path(struct json_map *m, uint16_t from, const struct value *path, const char *name,
                    const struct json_mark *mark, struct fault *f) {
  const char *text = value_as_text(path, NULL);
  uint16_t at;
  if (!text || strlen(text) != value_text_length(path))
    return fault_set(f, -EINVAL, "%s: a path, or a list of paths, is expected", name);
  int rc = follow(m, from, text, name, &at, f);
  return rc ? rc : add_mark(m, at, mark, f);
}

static int add_paths(struct json_map *m, uint16_t from, const struct value *declared,
                     const char *name, struct json_mark mark, struct fault *f) {
  int rc = 0;
  if (value_kind(declared) != VALUE_TABLE)
    return add_path(m, from, declared, name, &mark, f);
  for (size_t i = 0; rc == 0 && i < value_length(declared); i++, mark.rank++)
    rc = i < PATHS_MOST ? add_path(m, from, value_at(declared, i), name, &mark, f)
                        : fault_set(f, -EINVAL, "%s: more than %d paths", name, PATHS_MOST);
  return rc;
}

/* weight = { passing = "path", warning = "path" } */
static int add_weights(struct json_map *m, uint16_t from, const struct value *declared,
                       struct fault *f) {
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < value_fields(declared); i++) {
    const char *word;
    const struct value *paths = value_field(declared, i, &word);
    struct json_mark mark = {.field = JSON_WEIGHT, .by_status = true};
    if (status_parse(word, &mark.status) != 0)
      return fault_set(f, -EINVAL, "weight.%.100s: passing, warning or critical is expected", word);
    rc = add_paths(m, from, paths, "weight", mark, f);
  }
  return rc;
}

/* status = { "path", UP = "passing", DOWN = "critical" } */
static int add_words(struct json_map *m, const struct value *declared, struct fault *f) {
  size_t count = value_fields(declared);
  m->words = calloc(count + 1, sizeof *m->words);
  if (!m->words)
    return fault_set(f, -ENOMEM, "out of memory");
  for (size_t i = 0; i < count; i++) {
    struct json_word *word = &m->words[m->word_count++];
    const struct value *means = value_field(declared, i, &word->text);
    if (status_parse(value_as_text(means, ""), &word->status) != 0)
      return fault_set(f, -EINVAL, "status.%.100s: passing, warning or critical is expected",
                       word->text);
  }
  return 0;
}

/* ports = { "path", name = "Name", port = "Port", meta = "port-" }: both from each element of the
 * path's list; and what a meta key says after "port-". */
static int add_ports(struct json_map *m, uint16_t from, const struct value *declared,
                     struct fault *f) {
  const struct value *name = value_get(declared, "name"), *port = value_get(declared, "port");
  int rc = 0;
  m->port_prefix = value_as_text(value_get(declared, "meta"), NULL);
  if (!name && !port)
    return 0;
  for (size_t i = 0; rc == 0 && i < value_length(declared); i++) {
    uint16_t at;
    rc = follow(m, from, value_as_text(value_at(declared, i), ""), "ports", &at, f);
    rc = rc ? rc
            : add_paths(m, at, name, "ports.name", (struct json_mark){.field = JSON_PORT_NAME}, f);
    rc =
        rc ? rc
           : add_paths(m, at, port, "ports.port", (struct json_mark){.field = JSON_PORT_NUMBER}, f);
    m->steps[at].any = false;
  }
  return rc;
}

static int add_field(struct json_map *m, uint16_t from, const char *name,
                     const struct value *declared, struct fault *f) {
  const char *names[FIELDS];
  size_t i = 0;
  for (size_t k = 0; k < FIELDS; k++)
    names[k] = fields[k].name;
  while (i < FIELDS && strcmp(names[i], name) != 0)
    i++;
  if (i == FIELDS) {
    const char *near = nearest_word(name, names, FIELDS);
    return fault_set(f, -EINVAL, "%s: an instance has no such field%s%s%s", name,
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
  }
  enum json_field field = fields[i].field;
  bool may_name = field == JSON_WEIGHT || field == JSON_STATUS || field == JSON_PORTS;
  if (!may_name && value_fields(declared) > 0)
    return fault_set(f, -EINVAL, "%s: a path, or a list of paths, is expected", name);
  m->ids |= field == JSON_ID;
  struct json_mark mark = {.field = field, .rank = field == JSON_WEIGHT ? PATHS_MOST : 0};
  int rc = add_paths(m, from, declared, name, mark, f); /* a weight by status goes first */
  if (rc == 0 && field == JSON_WEIGHT)
    rc = add_weights(m, from, declared, f);
  if (rc == 0 && field == JSON_STATUS)
    rc = add_words(m, declared, f);
  if (rc == 0 && field == JSON_PORTS)
    rc = add_ports(m, from, declared, f);
  return rc;
}

static int compile(struct json_map *m, const struct value *declared, struct fault *f) {
  uint16_t root, each;
  bool addressed = false;
  if (value_kind(declared) != VALUE_TABLE || value_length(declared) > 0)
    return fault_set(f, -EINVAL, "a table is expected: { each = \"path\", id = \"path\", ... }");
  m->each = value_as_text(value_get(declared, "each"), "");
  int rc = add_step(m, "", 0, &root);
  rc = rc ? rc : follow(m, root, m->each, "each", &each, f);
  rc = rc ? rc : add_mark(m, each, &(struct json_mark){.field = JSON_INSTANCE}, f);
  for (size_t i = 0; rc == 0 && i < value_fields(declared); i++) {
    const char *name;
    const struct value *paths = value_field(declared, i, &name);
    addressed |= strcmp(name, "address") == 0;
    if (strcmp(name, "each") != 0)
      rc = add_field(m, each, name, paths, f);
  }
  if (rc == 0 && !addressed)
    rc = fault_set(f, -EINVAL, "address: where is it?");
  return rc;
}

int json_map_new(const struct value *declared, struct json_map **out, struct fault *f) {
  struct json_map *m = calloc(1, sizeof *m);
  if (!m)
    return fault_set(f, -ENOMEM, "out of memory");
  m->declared = declared ? value_ref(declared) : NULL;
  int rc = compile(m, declared, f);
  if (rc == 0)
    *out = m;
  else
    json_map_free(m);
  return rc;
}

void json_map_free(struct json_map *m) {
  if (!m)
    return;
  free(m->steps);
  free(m->marks);
  free(m->words);
  value_unref(m->declared);
  free(m);
}

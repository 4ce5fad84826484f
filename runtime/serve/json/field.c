#include "serve/json/field.h"

#include "base/fault.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

enum { DEPTH_MAX = 32 };

/* jansson's own limit is 2048 deep, which is far more stack than a request is worth. */
static bool too_deep(const char *json, size_t length) {
  unsigned depth = 0;
  bool inside = false; /* a string */
  for (size_t i = 0; i < length; i++) {
    char c = json[i];
    if (inside && c == '\\')
      i++;
    else if (c == '"')
      inside = !inside;
    else if (!inside && (c == '{' || c == '[') && ++depth > DEPTH_MAX)
      return true;
    else if (!inside && (c == '}' || c == ']') && depth > 0)
      depth--;
  }
  return false;
}

json_t *json_read(const char *json, size_t length, struct fault *f) {
  json_error_t e;
  if (length == 0) {
    fault_set(f, -EINVAL, "Request decode failed: the body is empty, and should be a JSON object");
    return NULL;
  }
  if (too_deep(json, length)) {
    fault_set(f, -EINVAL, "Request decode failed: the JSON is nested more than %d deep", DEPTH_MAX);
    return NULL;
  }
  json_t *root = json_loadb(json, length, 0, &e);
  if (!root)
    fault_set(f, -EINVAL, "Request decode failed: line %d column %d: %s", e.line, e.column, e.text);
  else if (!json_is_object(root)) {
    json_decref(root);
    root = NULL;
    fault_set(f, -EINVAL, "Request decode failed: the body should be a JSON object");
  }
  return root;
}

/* Whether the key, folded, is the name, folded. */
static bool same(const char *key, const char *name) {
  for (;; key++, name++) {
    while (*key == '_')
      key++;
    if (tolower((unsigned char)*key) != tolower((unsigned char)*name))
      return false;
    if (!*key)
      return true;
  }
}

json_t *field_find(const struct field_place *at, const char *name) {
  const char *key;
  json_t *value, *exact = json_object_get(at->object, name);
  if (exact)
    return json_is_null(exact) ? NULL : exact;
  json_object_foreach(at->object, key, value) {
    if (same(key, name) && !json_is_null(value))
      return value;
  }
  return NULL;
}

static const char *type_name(const json_t *v) {
  switch (json_typeof(v)) {
  case JSON_OBJECT:
    return "an object";
  case JSON_ARRAY:
    return "a list";
  case JSON_STRING:
    return "a string";
  case JSON_INTEGER:
    return "a number";
  case JSON_REAL:
    return "a fraction";
  case JSON_TRUE:
  case JSON_FALSE:
    return "a boolean";
  default:
    return "null";
  }
}

bool field_mismatch(const struct field_place *at, const char *what, const char *expected,
                    const json_t *found) {
  fault_set(at->f, -EINVAL, "Request decode failed: %s%s should be %s, and is %s", at->path, what,
            expected, type_name(found));
  return false;
}

bool field_text(const struct field_place *at, const char *name, const char **out) {
  json_t *v = field_find(at, name);
  if (v && !json_is_string(v))
    return field_mismatch(at, name, "a string", v);
  if (v)
    *out = json_string_value(v);
  return true;
}

bool field_flag(const struct field_place *at, const char *name, bool *out) {
  json_t *v = field_find(at, name);
  if (v && !json_is_boolean(v))
    return field_mismatch(at, name, "a boolean", v);
  if (v)
    *out = json_is_true(v);
  return true;
}

bool field_whole(const struct field_place *at, const char *name, int64_t low, int64_t high,
                 int64_t *out) {
  json_t *v = field_find(at, name);
  if (!v)
    return true;
  if (!json_is_integer(v))
    return field_mismatch(at, name, "a whole number", v);
  int64_t n = (int64_t)json_integer_value(v);
  if (n < low || n > high) {
    fault_set(at->f, -EINVAL, "Request decode failed: %s%s is %lld, and should be %lld to %lld",
              at->path, name, (long long)n, (long long)low, (long long)high);
    return false;
  }
  *out = n;
  return true;
}

bool field_duration(const struct field_place *at, const char *name, int64_t *ns) {
  json_t *v = field_find(at, name);
  if (!v)
    return true;
  if (json_is_integer(v) && json_integer_value(v) >= 0) {
    *ns = (int64_t)json_integer_value(v);
    return true;
  }
  if (!json_is_string(v))
    return field_mismatch(at, name, "a duration like \"10s\", or a number of nanoseconds", v);
  const char *text = json_string_value(v);
  if (!*text || duration_parse(text, ns, NULL) == 0) /* "" is Go's way to leave it out */
    return true;
  fault_set(at->f, -EINVAL,
            "Request decode failed: %s%s: \"%.60s\" is not a duration like \"10s\" or \"1m30s\"",
            at->path, name, text);
  return false;
}

bool field_object(const struct field_place *at, const char *name, json_t **out) {
  json_t *v = field_find(at, name);
  if (v && !json_is_object(v))
    return field_mismatch(at, name, "an object", v);
  if (v)
    *out = v;
  return true;
}

bool field_list(const struct field_place *at, const char *name, size_t most, json_t **out) {
  json_t *v = field_find(at, name);
  if (v && !json_is_array(v))
    return field_mismatch(at, name, "a list", v);
  if (v && json_array_size(v) > most) {
    fault_set(at->f, -EINVAL, "Request decode failed: %s%s has more than %zu items", at->path, name,
              most);
    return false;
  }
  if (v)
    *out = v;
  return true;
}

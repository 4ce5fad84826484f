#include "base/value.h"
#include "base/buf.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct field {
  char *key;
  struct value *value;
};

struct value {
  _Atomic uint32_t references;
  enum value_kind kind;
  int line;
  const char *file; /* interned; NULL when unknown */
  union {
    bool boolean;
    double number;
    struct {
      char *bytes;
      size_t length;
      bool secret;
    } text;
    struct {
      struct field *fields;
      struct value **list;
      uint32_t *index; /* of large tables: slots that hold a field's number + 1, 0 = empty */
      size_t index_size;
      size_t field_count, field_room, list_count, list_room;
      bool is_list; /* also when it is empty */
    } table;
  };
};

/* File names are few and live as long as the process: one copy of each, found under a lock. */
struct file_name {
  struct file_name *next;
  char text[];
};

static const char *intern_file(const char *file) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static struct file_name *names;
  pthread_mutex_lock(&lock);
  struct file_name *n = names;
  while (n && strcmp(n->text, file) != 0)
    n = n->next;
  if (!n) {
    size_t size = strlen(file) + 1;
    n = malloc(sizeof *n + size);
    if (n) {
      memcpy(n->text, file, size);
      n->next = names;
      names = n;
    }
  }
  pthread_mutex_unlock(&lock);
  return n ? n->text : NULL;
}

static struct value *value_new(enum value_kind kind) {
  struct value *v = calloc(1, sizeof *v);
  if (v) {
    atomic_init(&v->references, 1);
    v->kind = kind;
  }
  return v;
}

struct value *value_nil(void) {
  return value_new(VALUE_NIL);
}

struct value *value_boolean(bool b) {
  struct value *v = value_new(VALUE_BOOLEAN);
  if (v)
    v->boolean = b;
  return v;
}

struct value *value_number(double n) {
  struct value *v = value_new(VALUE_NUMBER);
  if (v)
    v->number = n;
  return v;
}

struct value *value_text(const char *text, size_t length) {
  struct value *v = value_new(VALUE_TEXT);
  if (!v)
    return NULL;
  v->text.bytes = malloc(length + 1);
  if (!v->text.bytes) {
    free(v);
    return NULL;
  }
  if (length)
    memcpy(v->text.bytes, text, length);
  v->text.bytes[length] = 0;
  v->text.length = length;
  return v;
}

struct value *value_secret(const char *text, size_t length) {
  struct value *v = value_text(text, length);
  if (v)
    v->text.secret = true;
  return v;
}

struct value *value_table(void) {
  return value_new(VALUE_TABLE);
}

void value_be_list(struct value *table) {
  if (table)
    table->table.is_list = true;
}

/* Room for one more item of `size` bytes in a doubling array. */
static int make_room(void **items, size_t *room, size_t count, size_t size) {
  if (count < *room)
    return 0;
  size_t wanted = *room ? *room * 2 : 4;
  void *more = realloc(*items, wanted * size);
  if (!more)
    return -ENOMEM;
  *items = more;
  *room = wanted;
  return 0;
}

enum { INDEX_FROM = 16 }; /* fields; a smaller table is searched from end to end */

/* FNV-1a (Fowler, Noll, Vo). */
static size_t hash_key(const char *key) {
  uint64_t hash = 14695981039346656037u;
  for (; *key; key++)
    hash = (hash ^ (unsigned char)*key) * 1099511628211u;
  return (size_t)(hash ^ hash >> 32);
}

/* The field of that name, or NULL. */
static struct field *find_field(const struct value *t, const char *key) {
  if (!t->table.index) {
    for (size_t i = 0; i < t->table.field_count; i++)
      if (strcmp(t->table.fields[i].key, key) == 0)
        return &t->table.fields[i];
    return NULL;
  }
  size_t mask = t->table.index_size - 1;
  for (size_t i = hash_key(key) & mask; t->table.index[i]; i = (i + 1) & mask) {
    struct field *f = &t->table.fields[t->table.index[i] - 1];
    if (strcmp(f->key, key) == 0)
      return f;
  }
  return NULL;
}

static void index_field(struct value *t, size_t number) {
  size_t mask = t->table.index_size - 1, i = hash_key(t->table.fields[number].key) & mask;
  while (t->table.index[i])
    i = (i + 1) & mask;
  t->table.index[i] = (uint32_t)number + 1;
}

/* After a field was added: at most half of the slots are used. Without memory for an index the
 * table is searched from end to end. */
static void index_last(struct value *t) {
  size_t count = t->table.field_count;
  if (count < INDEX_FROM)
    return;
  if (t->table.index && count * 2 <= t->table.index_size) {
    index_field(t, count - 1);
    return;
  }
  free(t->table.index);
  t->table.index_size = 4 * INDEX_FROM;
  while (t->table.index_size < count * 4)
    t->table.index_size *= 2;
  t->table.index = calloc(t->table.index_size, sizeof *t->table.index);
  for (size_t i = 0; t->table.index && i < count; i++)
    index_field(t, i);
}

int value_set(struct value *t, const char *key, struct value *v) {
  if (!t || t->kind != VALUE_TABLE || !v) {
    value_unref(v);
    return !t || !v ? -ENOMEM : -EINVAL;
  }
  struct field *old = find_field(t, key);
  if (old) {
    value_unref(old->value);
    old->value = v;
    return 0;
  }
  char *copy = strdup(key);
  if (!copy || make_room((void **)&t->table.fields, &t->table.field_room, t->table.field_count,
                         sizeof *t->table.fields)) {
    free(copy);
    value_unref(v);
    return -ENOMEM;
  }
  t->table.fields[t->table.field_count++] = (struct field){copy, v};
  index_last(t);
  return 0;
}

int value_append(struct value *t, struct value *v) {
  if (!t || t->kind != VALUE_TABLE || !v ||
      make_room((void **)&t->table.list, &t->table.list_room, t->table.list_count,
                sizeof *t->table.list)) {
    value_unref(v);
    return t && t->kind != VALUE_TABLE ? -EINVAL : -ENOMEM;
  }
  t->table.list[t->table.list_count++] = v;
  return 0;
}

void value_place(struct value *v, const char *file, int line) {
  if (!v)
    return;
  v->file = file && *file ? intern_file(file) : NULL;
  v->line = line;
}

struct value *value_ref(const struct value *v) {
  struct value *mine = (struct value *)v;
  if (mine)
    atomic_fetch_add_explicit(&mine->references, 1, memory_order_relaxed);
  return mine;
}

void value_unref(struct value *v) {
  if (!v || atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel) != 1)
    return;
  if (v->kind == VALUE_TEXT) {
    if (v->text.secret)
      explicit_bzero(v->text.bytes, v->text.length);
    free(v->text.bytes);
  } else if (v->kind == VALUE_TABLE) {
    for (size_t i = 0; i < v->table.field_count; i++) {
      free(v->table.fields[i].key);
      value_unref(v->table.fields[i].value);
    }
    for (size_t i = 0; i < v->table.list_count; i++)
      value_unref(v->table.list[i]);
    free(v->table.fields);
    free(v->table.index);
    free(v->table.list);
  }
  free(v);
}

enum value_kind value_kind(const struct value *v) {
  return v ? v->kind : VALUE_NIL;
}

bool value_as_boolean(const struct value *v, bool otherwise) {
  return value_kind(v) == VALUE_BOOLEAN ? v->boolean : otherwise;
}

double value_as_number(const struct value *v, double otherwise) {
  return value_kind(v) == VALUE_NUMBER ? v->number : otherwise;
}

const char *value_as_text(const struct value *v, const char *otherwise) {
  return value_kind(v) == VALUE_TEXT ? v->text.bytes : otherwise;
}

size_t value_text_length(const struct value *v) {
  return value_kind(v) == VALUE_TEXT ? v->text.length : 0;
}

bool value_is_secret(const struct value *v) {
  return value_kind(v) == VALUE_TEXT && v->text.secret;
}

const struct value *value_get(const struct value *t, const char *key) {
  const struct field *f = value_kind(t) == VALUE_TABLE ? find_field(t, key) : NULL;
  return f ? f->value : NULL;
}

size_t value_length(const struct value *t) {
  return value_kind(t) == VALUE_TABLE ? t->table.list_count : 0;
}

const struct value *value_at(const struct value *t, size_t i) {
  return i < value_length(t) ? t->table.list[i] : NULL;
}

size_t value_fields(const struct value *t) {
  return value_kind(t) == VALUE_TABLE ? t->table.field_count : 0;
}

const struct value *value_field(const struct value *t, size_t i, const char **key) {
  if (i >= value_fields(t))
    return NULL;
  if (key)
    *key = t->table.fields[i].key;
  return t->table.fields[i].value;
}

const char *value_file(const struct value *v) {
  return v && v->file ? v->file : "";
}

int value_line(const struct value *v) {
  return v ? v->line : 0;
}

bool value_equal(const struct value *a, const struct value *b) {
  if (a == b)
    return true;
  if (value_kind(a) != value_kind(b))
    return false;
  switch (value_kind(a)) {
  case VALUE_NIL:
    return true;
  case VALUE_BOOLEAN:
    return a->boolean == b->boolean;
  case VALUE_NUMBER:
    return a->number == b->number;
  case VALUE_TEXT:
    return a->text.length == b->text.length &&
           memcmp(a->text.bytes, b->text.bytes, a->text.length) == 0;
  case VALUE_TABLE:
    break;
  }
  if (value_length(a) != value_length(b) || value_fields(a) != value_fields(b))
    return false;
  for (size_t i = 0; i < value_length(a); i++)
    if (!value_equal(a->table.list[i], b->table.list[i]))
      return false;
  for (size_t i = 0; i < value_fields(a); i++) {
    const struct value *other = value_get(b, a->table.fields[i].key);
    if (!other || !value_equal(a->table.fields[i].value, other))
      return false;
  }
  return true;
}

static void table_to_json(const struct value *v, struct buf *out) {
  bool list = value_length(v) > 0 || v->table.is_list, object = value_fields(v) > 0 || !list;
  buf_char(out, object ? '{' : '[');
  for (size_t i = 0; i < value_fields(v); i++) {
    const char *key = "";
    const struct value *item = value_field(v, i, &key);
    if (i)
      buf_char(out, ',');
    buf_json_text(out, key);
    buf_char(out, ':');
    value_to_json(item, out);
  }
  for (size_t i = 0; i < value_length(v); i++) {
    if (i || value_fields(v))
      buf_char(out, ',');
    if (object)
      buf_format(out, "\"%zu\":", i + 1);
    value_to_json(value_at(v, i), out);
  }
  buf_char(out, object ? '}' : ']');
}

void value_to_json(const struct value *v, struct buf *out) {
  switch (value_kind(v)) {
  case VALUE_NIL:
    buf_text(out, "null");
    break;
  case VALUE_BOOLEAN:
    buf_text(out, v->boolean ? "true" : "false");
    break;
  case VALUE_NUMBER:
    buf_json_number(out, v->number);
    break;
  case VALUE_TEXT:
    if (v->text.secret)
      buf_text(out, "\"(secret)\"");
    else
      buf_json_bytes(out, v->text.bytes, v->text.length);
    break;
  case VALUE_TABLE:
    table_to_json(v, out);
    break;
  }
}

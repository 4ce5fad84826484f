#include "vm/plugin/secrets.h"

#include "base/schema.h"
#include "base/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What changes when somebody writes the file, renames another one over it, or removes it. */
struct look {
  dev_t device;
  ino_t number;
  off_t size;
  struct timespec changed;
};

struct secrets {
  struct secrets *next;
  struct look seen;
  char path[];
};

static struct look look_at(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 ? (struct look){st.st_dev, st.st_ino, st.st_size, st.st_mtim}
                              : (struct look){0};
}

static bool same(const struct look *a, const struct look *b) {
  return a->device == b->device && a->number == b->number && a->size == b->size &&
         a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static int note(const char *path, struct secrets **all) {
  size_t length = strlen(path);
  struct secrets *s = malloc(sizeof *s + length + 1);
  if (!s)
    return -ENOMEM;
  memcpy(s->path, path, length + 1);
  s->seen = look_at(path);
  s->next = *all;
  *all = s;
  return 0;
}

/* Options are nested as deep as their schema allows. One that is no secret and looks like its file
 * is noted too, which costs a look. */
static int note_below(const struct value *v, struct secrets **all) {
  char room[4096];
  const char *path = secret_file(v, room, sizeof room), *key;
  if (path)
    return note(path, all);
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < value_fields(v); i++)
    rc = note_below(value_field(v, i, &key), all);
  for (size_t i = 0; rc == 0 && i < value_length(v); i++)
    rc = note_below(value_at(v, i), all);
  return rc;
}

int secrets_note(const struct value *options, struct secrets **out) {
  *out = NULL;
  int rc = note_below(options, out);
  if (rc != 0) {
    secrets_free(*out);
    *out = NULL;
  }
  return rc;
}

bool secrets_changed(const struct secrets *s) {
  for (; s; s = s->next) {
    struct look now = look_at(s->path);
    if (!same(&now, &s->seen))
      return true;
  }
  return false;
}

void secrets_free(struct secrets *s) {
  while (s) {
    struct secrets *next = s->next;
    free(s);
    s = next;
  }
}

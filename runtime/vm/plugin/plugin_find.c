/* plugin_find: from a kind and a name to a file. */
#include "base/buf.h"
#include "base/fault.h"
#include "base/text.h"
#include "vm/plugin/plugin.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = 500 };

/* A name becomes part of a path: it must not lead out of the directory. */
static bool is_name(const char *name) {
  for (const char *c = name; *c; c++) {
    if (!isalnum((unsigned char)*c) && *c != '_' && *c != '-')
      return false;
  }
  return *name != '\0' && strlen(name) <= 100;
}

/* NAME_spec.lua beside NAME.lua has its tests. */
static bool is_spec(const char *name, size_t length) {
  return length >= 5 && strncmp(name + length - 5, "_spec", 5) == 0;
}

struct names {
  char *all[NAMES_MAX];
  size_t count;
};

static void names_add(struct names *names, const char *directory, const char *kind) {
  struct buf path = {0};
  struct dirent *entry;
  buf_format(&path, "%s/plugins/%s", directory, kind);
  DIR *d = path.failed ? NULL : opendir(path.data);
  buf_free(&path);
  while (d && (entry = readdir(d)) && names->count < NAMES_MAX) {
    size_t length = strlen(entry->d_name);
    if (length > 4 && strcmp(entry->d_name + length - 4, ".lua") == 0 &&
        !is_spec(entry->d_name, length - 4)) {
      char *name = strndup(entry->d_name, length - 4);
      if (name)
        names->all[names->count++] = name;
    }
  }
  if (d)
    closedir(d);
}

static int not_found(const char *const *directories, const char *kind, const char *name,
                     struct fault *f) {
  struct names names = {.count = 0};
  struct buf places = {0};
  for (const char *const *d = directories; *d; d++) {
    names_add(&names, *d, kind);
    buf_format(&places, "%s%s/plugins/%s", places.length ? ", " : "", *d, kind);
  }
  const char *near = nearest_word(name, (const char *const *)names.all, names.count);
  fault_set(f, -ENOENT, "no %s plugin \"%s\"%s%s%s; looked in %.300s", kind, name,
            near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "",
            places.data ? places.data : "no directory");
  for (size_t i = 0; i < names.count; i++)
    free(names.all[i]);
  buf_free(&places);
  return -ENOENT;
}

int plugin_find(const char *const *directories, const char *kind, const char *name, char **path,
                struct fault *f) {
  if (!is_name(name))
    return fault_set(f, -EINVAL, "\"%.100s\" is no plugin's name: letters, digits, _ and -", name);
  if (is_spec(name, strlen(name)))
    return fault_set(f, -EINVAL,
                     "\"%.100s\" is no plugin's name: NAME_spec.lua has the tests of NAME", name);
  for (const char *const *d = directories; *d; d++) {
    struct buf file = {0};
    buf_format(&file, "%s/plugins/%s/%s.lua", *d, kind, name);
    if (file.failed)
      return fault_set(f, -ENOMEM, "out of memory");
    int failed = access(file.data, F_OK) == 0 ? 0 : errno;
    if (failed == 0) {
      *path = file.data;
      return 0;
    }
    bool absent = failed == ENOENT || failed == ENOTDIR;
    if (!absent) /* whether it is there, and hides another, cannot be seen */
      fault_set(f, -failed, "%.400s: %s", file.data, strerror(failed));
    buf_free(&file);
    if (!absent)
      return -failed;
  }
  return not_found(directories, kind, name, f);
}

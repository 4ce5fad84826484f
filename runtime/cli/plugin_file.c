#include "cli/plugin_file.h"

#include "base/fault.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const plugin_kinds[] = {"check", "registry", "policy", "balancer",
                                    "hook",  "route",    NULL};

/* The first `kind = "WORD"` in the file. */
static char *kind_in(const char *path) {
  char line[400], word[20];
  char *found = NULL;
  FILE *file = fopen(path, "r");
  while (file && !found && fgets(line, sizeof line, file)) {
    const char *at = strstr(line, "kind");
    if (at && sscanf(at, "kind = \"%15[a-z]\"", word) == 1 && word_is_one_of(word, plugin_kinds))
      found = strdup(word);
  }
  if (file)
    fclose(file);
  return found;
}

/* The name of the directory that the file is in. */
static char *kind_of_directory(const char *path) {
  const char *slash = strrchr(path, '/'), *start = slash;
  while (start && start > path && start[-1] != '/')
    start--;
  char *word = slash ? strndup(start, (size_t)(slash - start)) : strdup("");
  if (word && word_is_one_of(word, plugin_kinds))
    return word;
  free(word);
  return NULL;
}

static bool is_below(const char *directory, const char *path) {
  char *real = realpath(path, NULL), *root = NULL, *top = NULL;
  if (asprintf(&root, "%s/plugins", directory) >= 0)
    top = realpath(root, NULL);
  size_t length = top ? strlen(top) : 0;
  bool below = real && top && strncmp(real, top, length) == 0 && real[length] == '/';
  free(real);
  free(root);
  free(top);
  return below;
}

int plugin_file_of_spec(const char *spec, const char *library, struct plugin_file *out,
                        struct fault *f) {
  size_t end = strlen(spec) - strlen("_spec.lua");
  const char *slash = strrchr(spec, '/'), *base = slash ? slash + 1 : spec;
  out->name = strndup(base, end - (size_t)(base - spec));
  if (!out->name || asprintf(&out->path, "%.*s.lua", (int)end, spec) < 0)
    return fault_set(f, -ENOMEM, "out of memory");
  FILE *there = fopen(out->path, "r");
  if (!there)
    return fault_set(f, -errno, "%s: %s: the plugin that the spec is about", out->path,
                     strerror(errno));
  fclose(there);
  out->kind = kind_in(out->path);
  if (!out->kind)
    out->kind = kind_of_directory(out->path);
  if (!out->kind)
    return fault_set(f, -EINVAL, "%s: what kind of plugin it is has to be said: kind = \"check\"",
                     out->path);
  out->ships = is_below(library, out->path);
  return 0;
}

void plugin_file_free(struct plugin_file *p) {
  free(p->path);
  free(p->kind);
  free(p->name);
}

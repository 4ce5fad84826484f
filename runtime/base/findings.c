#include "base/findings.h"
#include "base/buf.h"
#include "base/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A finding is one line, whatever was found: control characters become spaces. */
static void flatten(char *text) {
  for (; text && *text; text++)
    if ((unsigned char)*text < ' ' || *text == 0x7f)
      *text = ' ';
}

static void finding_free(struct finding *one) {
  free(one->path);
  free(one->file);
  free(one->text);
}

void findings_add(struct findings *all, const struct value *where, const char *path,
                  const char *format, ...) {
  if (all->count == all->room) {
    size_t room = all->room ? all->room * 2 : 16;
    struct finding *more = realloc(all->items, room * sizeof *more);
    if (!more) {
      all->failed = 1;
      return;
    }
    all->items = more;
    all->room = room;
  }
  struct finding one = {.path = strdup(path ? path : ""),
                        .file = strdup(value_file(where)),
                        .line = value_line(where)};
  va_list ap;
  va_start(ap, format);
  if (vasprintf(&one.text, format, ap) < 0)
    one.text = NULL;
  va_end(ap);
  flatten(one.path);
  flatten(one.text);
  if (!one.path || !one.file || !one.text) {
    finding_free(&one);
    all->failed = 1;
    return;
  }
  all->items[all->count++] = one;
}

static size_t file_rank(const struct findings *all, const char *file) {
  size_t i = 0;
  while (strcmp(all->items[i].file, file) != 0)
    i++;
  return i;
}

struct ranked {
  size_t file, place;
  struct finding one;
};

static int compare(const void *a, const void *b) {
  const struct ranked *x = a, *y = b;
  if (x->file != y->file)
    return x->file < y->file ? -1 : 1;
  if (x->one.line != y->one.line)
    return x->one.line < y->one.line ? -1 : 1;
  return x->place < y->place ? -1 : x->place > y->place;
}

void findings_sort(struct findings *all) {
  struct ranked *ranked = all->count ? malloc(all->count * sizeof *ranked) : NULL;
  if (!ranked)
    return; /* unsorted is still right */
  for (size_t i = 0; i < all->count; i++)
    ranked[i] = (struct ranked){file_rank(all, all->items[i].file), i, all->items[i]};
  qsort(ranked, all->count, sizeof *ranked, compare);
  for (size_t i = 0; i < all->count; i++)
    all->items[i] = ranked[i].one;
  free(ranked);
}

void findings_print(const struct findings *all, struct buf *out) {
  for (size_t i = 0; i < all->count; i++) {
    const struct finding *one = &all->items[i];
    if (*one->file)
      buf_text(out, one->file);
    if (*one->file && one->line)
      buf_format(out, ":%d", one->line);
    if (*one->file)
      buf_text(out, ": ");
    if (*one->path)
      buf_format(out, "%s: ", one->path);
    buf_format(out, "%s\n", one->text);
  }
  if (all->failed)
    buf_text(out, "out of memory: there may be more\n");
}

void findings_free(struct findings *all) {
  for (size_t i = 0; i < all->count; i++)
    finding_free(&all->items[i]);
  free(all->items);
  *all = (struct findings){0};
}

/* batch: all instances of a service, gathered over several turns of the loop before they replace
 * what the set has: batch = set:batch(), batch:put{...} for each, set:replace(batch), which leaves
 * it empty. They lie outside Lua, so that a large service costs its adapter a page's memory and not
 * its own. Of an id that was put twice the last counts. */
#include "vm/bind/bind_batch.h"

#include "base/fault.h"
#include "base/value.h"
#include "vm/isolate/inside.h"
#include "vm/isolate/border.h"
#include "vm/bind/read_instance.h"
#include "watch/set.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_TYPE "batch"
enum { BATCH_MAX = 1000000 }; /* instances: a plugin that never stops putting is stopped */

struct row {
  struct instance *instance;
  enum status status;
  size_t place; /* when it was put */
};

struct batch {
  struct handle handle;
  struct row *rows;
  size_t count, room;
  char service[]; /* whose instances they are */
};

static void batch_clear(struct batch *b) {
  for (size_t i = 0; i < b->count; i++)
    instance_unref(b->rows[i].instance);
  free(b->rows);
  b->rows = NULL;
  b->count = b->room = 0;
}

static void batch_close(struct handle *h) {
  struct batch *b = (struct batch *)h;
  handle_gone(h);
  batch_clear(b);
  free(b);
}

static int batch_grow(struct batch *b, struct fault *f) {
  if (b->count < b->room)
    return 0;
  if (b->count >= BATCH_MAX)
    return fault_set(f, -E2BIG, "more than %d instances", BATCH_MAX);
  size_t room = b->room ? 2 * b->room : 64;
  struct row *rows = realloc(b->rows, room * sizeof *rows);
  if (!rows)
    return fault_set(f, -ENOMEM, "out of memory");
  b->rows = rows;
  b->room = room;
  return 0;
}

static int put_call(lua_State *L) {
  struct batch *b = (struct batch *)handle_check(L, 1, BATCH_TYPE);
  struct value *v = NULL;
  struct fault f = {0};
  int code = read_value(L, 2, &v, &f);
  code = code ? code : batch_grow(b, &f);
  if (code == 0) {
    struct row *row = &b->rows[b->count];
    code = read_instance(v, b->service, &row->instance, &row->status, &f);
    row->place = b->count;
    b->count += code == 0;
  }
  value_unref(v);
  if (code != 0)
    return push_error(L, code, "%s", f.text);
  lua_pushboolean(L, 1);
  return 1;
}

static int by_id_and_place(const void *a, const void *b) {
  const struct row *x = a, *y = b;
  int order = strcmp(x->instance->id, y->instance->id);
  return order ? order : (x->place > y->place) - (x->place < y->place);
}

/* Sorts them by id, which is what set_replace likes best, and drops all but the last of each. */
static void batch_settle(struct batch *b) {
  size_t kept = 0;
  if (b->count)
    qsort(b->rows, b->count, sizeof *b->rows, by_id_and_place);
  for (size_t i = 0; i < b->count; i++) {
    if (i + 1 < b->count && strcmp(b->rows[i].instance->id, b->rows[i + 1].instance->id) == 0)
      instance_unref(b->rows[i].instance);
    else
      b->rows[kept++] = b->rows[i];
  }
  b->count = kept;
}

int batch_replace(lua_State *L, int index, struct set *s, struct fault *f) {
  struct batch *b = (struct batch *)handle_check(L, index, BATCH_TYPE);
  batch_settle(b);
  struct instance **instances = calloc(b->count + 1, sizeof(struct instance *));
  enum status *statuses = calloc(b->count + 1, sizeof *statuses);
  int code = -ENOMEM;
  if (instances && statuses) {
    for (size_t i = 0; i < b->count; i++) {
      instances[i] = b->rows[i].instance;
      statuses[i] = b->rows[i].status;
    }
    code = set_replace(s, instances, statuses, b->count);
  }
  free(instances);
  free(statuses);
  if (code != 0)
    return fault_set(f, code, "the set does not take them: %s", strerror(-code));
  batch_clear(b);
  return 0;
}

void push_batch(lua_State *L, const char *service) {
  struct batch *b = calloc(1, sizeof *b + strlen(service) + 1);
  if (!b) {
    luaL_error(L, "out of memory");
    return;
  }
  strcpy(b->service, service);
  handle_push(L, &b->handle, BATCH_TYPE, batch_close);
}

void open_batch(lua_State *L) {
  static const struct luaL_Reg methods[] = {{"put", put_call}, {NULL, NULL}};
  handle_type(L, BATCH_TYPE, methods);
}

/* batch: all instances of a service, gathered over several turns of the loop before they replace
 * what the set has: batch = set:batch(), batch:put{...} for each, set:replace(batch), which leaves
 * it empty. They lie outside Lua, so that a large service costs its adapter a page's memory and not
 * its own. */
#include "vm/bind/bind_batch.h"

#include "base/fault.h"
#include "base/value.h"
#include "vm/isolate/inside.h"
#include "vm/isolate/border.h"
#include "vm/bind/read_instance.h"
#include "watch/instances.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_TYPE "batch"
enum { BATCH_MAX = 1000000 }; /* instances: a plugin that never stops putting is stopped */

struct batch {
  struct handle handle;
  struct instances put;
  char service[]; /* whose instances they are */
};

static void batch_close(struct handle *h) {
  struct batch *b = (struct batch *)h;
  handle_gone(h);
  instances_free(&b->put);
  free(b);
}

static int put_call(lua_State *L) {
  struct batch *b = (struct batch *)handle_check(L, 1, BATCH_TYPE);
  struct value *v = NULL;
  struct instance *in = NULL;
  enum status status = STATUS_PASSING;
  struct fault f = {0};
  int code = read_value(L, 2, &v, &f);
  if (code == 0 && b->put.count >= BATCH_MAX)
    code = fault_set(&f, -E2BIG, "more than %d instances", BATCH_MAX);
  code = code ? code : read_instance(v, b->service, &in, &status, &f);
  if (code == 0 && instances_add(&b->put, in, status) != 0)
    code = fault_set(&f, -ENOMEM, "out of memory");
  instance_unref(in);
  value_unref(v);
  if (code != 0)
    return push_error(L, code, "%s", f.text);
  lua_pushboolean(L, 1);
  return 1;
}

int take_instances(struct set *s, struct instances *list, struct fault *f) {
  struct fault twice;
  int code = instances_settle(list, &twice);
  if (code >= 0) {
    set_complain(s, code > 0 ? twice.text : NULL);
    code = set_replace(s, list->items, list->statuses, list->count);
  }
  return code == 0 ? 0 : fault_set(f, code, "the set does not take them: %s", strerror(-code));
}

int batch_replace(lua_State *L, int index, struct set *s, struct fault *f) {
  struct batch *b = (struct batch *)handle_check(L, index, BATCH_TYPE);
  int code = take_instances(s, &b->put, f);
  if (code == 0)
    instances_free(&b->put);
  return code;
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

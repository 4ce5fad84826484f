#include "agent/registries/reference.h"

#include <lauxlib.h>

struct keeping {
  lua_State *from;
  int index, reference;
};

static int keep_body(lua_State *L, void *arg) {
  struct keeping *k = arg;
  lua_pushvalue(k->from, k->index);
  lua_xmove(k->from, L, 1);
  k->reference = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

int reference_keep(struct isolate *in, lua_State *from, int index, int *reference,
                   struct fault *f) {
  struct keeping k = {.from = from, .index = index};
  int rc = isolate_enter(in, keep_body, &k, f);
  if (rc == 0)
    *reference = k.reference;
  return rc;
}

static int drop_body(lua_State *L, void *arg) {
  luaL_unref(L, LUA_REGISTRYINDEX, *(const int *)arg);
  return 0;
}

void reference_drop(struct isolate *in, int reference) {
  if (reference != LUA_REFNIL)
    isolate_enter(in, drop_body, &reference, NULL);
}

/* What lua/perigee/registry.lua is made of: the host's registry, as its three verbs. Each waits
 * until the change is durable. A task that ends meanwhile leaves the change under way: whether it
 * came about is then what anybody can see in the registry. */
#include "base/fault.h"
#include "vm/bind/bind_io.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/grant.h"
#include "vm/isolate/script.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

/* Its owner is the registry, until it answers. */
struct change {
  struct task_wait *wait; /* NULL: the task has ended */
  char *id;               /* what `register` gives the plugin; NULL: true */
};

static void change_forget(void *operation) {
  ((struct change *)operation)->wait = NULL;
}

struct told {
  const struct change *change;
  int status;
  const char *text;
};

static int push_outcome(lua_State *L, void *arg) {
  const struct told *told = arg;
  if (told->status != 0)
    return push_error(L, told->status, "%s",
                      told->text && *told->text ? told->text : strerror(-told->status));
  if (told->change->id)
    lua_pushstring(L, told->change->id);
  else
    lua_pushboolean(L, 1);
  return 1;
}

static void on_answer(void *to, int status, const char *text) {
  struct change *c = to;
  if (c->wait)
    task_wake(c->wait, push_outcome, &(struct told){c, status, text});
  free(c->id);
  free(c);
}

static const struct vm_registry *registry_check(lua_State *L) {
  const struct vm_registry *r = vm_registry(isolate_vm(isolate_of(L)));
  if (!r)
    luaL_error(L, "there is no registry here");
  wait_check(L);
  return r;
}

static struct change *change_new(lua_State *L) {
  struct change *c = calloc(1, sizeof *c);
  if (!c)
    luaL_error(L, "out of memory");
  return c;
}

/* What was refused at once gets no answer. */
static int waiting(lua_State *L, struct change *c, int refused, const struct fault *f) {
  if (refused == 0)
    return task_wait(L, c, change_forget, &c->wait);
  free(c->id);
  free(c);
  return push_error(L, refused, "%s", f->text);
}

static int asked(lua_State *L, const char *verb) {
  luaL_checkstring(L, 1);
  wait_check(L);
  lua_settop(L, 1);
  return script_ask(L, verb, 1, 0, "");
}

/* Whether the plugin may change an instance of this service, and what has the id now. */
static bool may_change(lua_State *L, const char *service, const char *id) {
  const struct vm_registry *r = vm_registry(isolate_vm(isolate_of(L)));
  const char *holder = r && id && r->service_of ? r->service_of(r->arg, id) : NULL;
  return (!service || granted(L, GRANT_REGISTER, service)) &&
         (!holder || granted(L, GRANT_REGISTER, holder));
}

/* register(json, service, id): the last two as they stand in the first. */
static int register_call(lua_State *L) {
  size_t length;
  const char *json = luaL_checklstring(L, 1, &length);
  if (!may_change(L, lua_tostring(L, 2), lua_tostring(L, 3)))
    return push_ungranted(L);
  if (scripted(L))
    return asked(L, "register");
  const struct vm_registry *r = registry_check(L);
  struct change *c = change_new(L);
  struct fault f = {0};
  return waiting(L, c, r->add(r->arg, json, length, &c->id, on_answer, c, &f), &f);
}

static int by_id(lua_State *L,
                 int (*verb)(void *arg, const char *id, vm_reply reply, void *to, struct fault *f),
                 void *arg) {
  const char *id = luaL_checkstring(L, 1);
  if (!may_change(L, NULL, id))
    return push_ungranted(L);
  struct change *c = change_new(L);
  struct fault f = {0};
  return waiting(L, c, verb(arg, id, on_answer, c, &f), &f);
}

static int deregister_call(lua_State *L) {
  if (scripted(L))
    return asked(L, "deregister");
  const struct vm_registry *r = registry_check(L);
  return by_id(L, r->remove, r->arg);
}

static int renew_call(lua_State *L) {
  if (scripted(L))
    return asked(L, "renew");
  const struct vm_registry *r = registry_check(L);
  return by_id(L, r->renew, r->arg);
}

int open_registry(lua_State *L) {
  static const struct luaL_Reg verbs[] = {{"register", register_call},
                                          {"deregister", deregister_call},
                                          {"renew", renew_call},
                                          {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, verbs);
  return 1;
}

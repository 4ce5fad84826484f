/* handover: what a plugin's old version gives to the new one, copied, at the moment of the swap:
 * what its `export` returns to `import`, and each attachment's ctx.state. */
#include "base/log.h"
#include "base/value.h"
#include "vm/plugin/plugin_inside.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

struct exporting {
  const struct edition *edition;
  struct value *value;
  struct fault *fault;
};

static int export_body(lua_State *L, void *arg) {
  struct exporting *x = arg;
  edition_push_function(L, x->edition, "export");
  isolate_call(L, 0, 1);
  return read_value(L, -1, &x->value, x->fault);
}

static int import_body(lua_State *L, void *arg) {
  const struct exporting *x = arg;
  edition_push_function(L, x->edition, "import");
  push_value(L, x->value);
  int top = lua_gettop(L) - 2;
  isolate_call(L, 1, LUA_MULTRET);
  int results = lua_gettop(L) - top;
  if (results == 0 || lua_toboolean(L, top + 1))
    return 0;
  const char *why = results > 1 ? lua_tostring(L, top + 2) : NULL;
  return fault_set(x->fault, -EINVAL, "import refuses what export gave%s%s", why ? ": " : "",
                   why ? why : "");
}

static int blame(const struct edition *e, const char *what, int code, struct fault *f) {
  struct fault why = *f;
  return fault_set(f, code, "%s: %s: %.400s", e->path, what, why.text);
}

int handover_plugin(struct plugin *p, struct fault *f) {
  struct edition *old = p->editions[NOW], *new = p->editions[PREPARED];
  if (new->alone || !edition_provides(old, "export") || !edition_provides(new, "import"))
    return 0;
  struct exporting x = {old, NULL, f};
  int code = isolate_enter(old->isolate, export_body, &x, f);
  if (code != 0)
    return blame(old, "export (`perigee reload --fresh` goes on without what it keeps)", code, f);
  x.edition = new;
  code = isolate_enter(new->isolate, import_body, &x, f);
  value_unref(x.value);
  return code == 0 ? 0 : blame(new, "import", code, f);
}

/* ---- ctx.state ---- */

struct carrying {
  const struct attachment *attachment;
  struct value *state; /* NULL: there is none */
  struct fault fault;
};

static bool push_state(lua_State *L, const struct use *use) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, use->ref_ctx);
  lua_pushliteral(L, "state");
  lua_rawget(L, -2);
  return lua_istable(L, -1);
}

static int read_state(lua_State *L, void *arg) {
  struct carrying *c = arg;
  return push_state(L, &c->attachment->uses[NOW]) ? read_value(L, -1, &c->state, &c->fault) : 0;
}

static void leave_out(const struct attachment *a, const char *field, const char *why) {
  log_warn("a reload leaves out what is not plain data", LOG_S("plugin", a->plugin->name),
           LOG_S("service", a->service), LOG_S("state", field), LOG_S("error", why));
}

/* Field by field, without those that cannot be handed over: a socket, a function. */
static int read_fields(lua_State *L, void *arg) {
  struct carrying *c = arg;
  if (!push_state(L, &c->attachment->uses[NOW]))
    return 0;
  int state = lua_gettop(L);
  c->state = value_table();
  lua_pushnil(L);
  while (lua_next(L, state)) {
    struct value *v = NULL;
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
    if (!name)
      leave_out(c->attachment, "", "in a table with other things only named fields are kept");
    else if (read_value(L, -1, &v, &c->fault) != 0)
      leave_out(c->attachment, name, c->fault.text);
    else
      value_set(c->state, name, v);
    lua_settop(L, state + 1);
  }
  return 0;
}

static int write_state(lua_State *L, void *arg) {
  const struct carrying *c = arg;
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->attachment->uses[PREPARED].ref_ctx);
  push_value(L, c->state);
  lua_setfield(L, -2, "state");
  return 0;
}

void handover_state(struct attachment *a) {
  struct carrying c = {.attachment = a};
  if (!a->uses[NOW].made || !a->uses[PREPARED].made || a->plugin->editions[PREPARED]->alone)
    return;
  if (isolate_enter(a->plugin->editions[NOW]->isolate, read_state, &c, NULL) != 0)
    isolate_enter(a->plugin->editions[NOW]->isolate, read_fields, &c, NULL);
  if (c.state && isolate_enter(a->plugin->editions[PREPARED]->isolate, write_state, &c, &c.fault))
    leave_out(a, "", c.fault.text);
  value_unref(c.state);
}

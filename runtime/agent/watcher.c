#include "agent/watcher.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "vm/bindings.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

/* gRPC's connection backoff, with DESIGN.md's cap for a registry on the same site. */
static const double backoff_first_s = 1, backoff_factor = 1.6, backoff_jitter = 0.2,
                    backoff_cap_s = 20;
static const double every_s = 10; /* of a `watch` that polls, when its plugin does not say */
static const int64_t close_ns = 1000000000;

struct watcher {
  struct attachment *attachment;
  const struct target *target;
  struct set *set;
  struct set_binding *binding; /* the set in Lua, while a call runs */
  struct call *call;
  bool opened;
  int connection; /* what `open` returned: a reference in the isolate's registry */
  unsigned failures;
  uv_timer_t timer;
  void (*closed)(void *arg);
  void *closed_arg;
};

static void watcher_call(uv_timer_t *timer);

static void again_after(struct watcher *w, double seconds) {
  uv_timer_start(&w->timer, watcher_call, (uint64_t)(seconds * 1000), 0);
}

static void back_off(struct watcher *w, const char *why) {
  double delay = backoff_first_s;
  for (unsigned i = 0; i < w->failures && delay < backoff_cap_s; i++)
    delay *= backoff_factor;
  if (delay > backoff_cap_s)
    delay = backoff_cap_s;
  delay *= 1 + backoff_jitter * (2 * clock_random_unit() - 1);
  w->failures++;
  set_stale(w->set, true);
  log_warn("watch failed; what is known stays", LOG_S("service", set_service(w->set)),
           LOG_S("registry", w->target->registry), LOG_S("error", why), LOG_N("again_in", delay));
  again_after(w, delay);
}

static void call_ended(struct watcher *w) {
  w->call = NULL;
  if (w->binding)
    set_binding_revoke(w->binding);
  w->binding = NULL;
}

/* A number would be made a text in place, which allocates, and nothing protects us here. */
static const char *text_at(lua_State *L, int index, const char *otherwise) {
  return lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : otherwise;
}

/* References are made and dropped under protection: both may allocate. */
struct keeping {
  lua_State *from; /* whose `index` is to be kept */
  int index, reference;
};

static int keep_body(lua_State *L, void *arg) {
  struct keeping *k = arg;
  lua_pushvalue(k->from, k->index);
  lua_xmove(k->from, L, 1);
  k->reference = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static int drop_body(lua_State *L, void *arg) {
  luaL_unref(L, LUA_REGISTRYINDEX, *(int *)arg);
  return 0;
}

static struct isolate *isolate_for(const struct watcher *w) {
  return plugin_isolate(attachment_plugin(w->attachment));
}

static void on_opened(void *arg, const struct call_result *result) {
  struct watcher *w = arg;
  call_ended(w);
  if (result->status == -ECANCELED)
    return;
  if (result->status != 0) {
    back_off(w, result->fault->text);
  } else if (result->results == 0 || !lua_toboolean(result->L, -result->results)) {
    const char *nothing = "open returned nothing";
    back_off(w, result->results > 1 ? text_at(result->L, 1 - result->results, nothing) : nothing);
  } else {
    struct keeping k = {.from = result->L, .index = -result->results};
    struct fault f;
    if (isolate_enter(isolate_for(w), keep_body, &k, &f) != 0) {
      back_off(w, f.text);
      return;
    }
    w->connection = k.reference;
    w->opened = true;
    again_after(w, 0);
  }
}

static void on_watched(void *arg, const struct call_result *result) {
  struct watcher *w = arg;
  call_ended(w);
  if (result->status == -ECANCELED)
    return;
  lua_State *L = result->L;
  int first = -result->results;
  if (result->status != 0) {
    back_off(w, result->fault->text);
  } else if (result->results >= 2 && lua_isnil(L, first)) {
    back_off(w, text_at(L, first + 1, "watch returned nil"));
  } else {
    w->failures = 0;
    set_stale(w->set, false);
    double every = plugin_every(attachment_plugin(w->attachment));
    if (result->results >= 1 && lua_toboolean(L, first))
      again_after(w, every > 0 ? every : every_s);
  }
}

static void push_target(lua_State *L, const struct target *t) {
  lua_createtable(L, 0, 4);
  lua_pushstring(L, t->registry);
  lua_setfield(L, -2, "registry");
  lua_pushstring(L, t->authority);
  lua_setfield(L, -2, "authority");
  lua_pushstring(L, t->name);
  lua_setfield(L, -2, "name");
  lua_createtable(L, 0, (int)t->option_count);
  for (size_t i = 0; i < t->option_count; i++) {
    lua_pushstring(L, t->options[i].value);
    lua_setfield(L, -2, t->options[i].key);
  }
  lua_setfield(L, -2, "options");
}

static int push_watch(lua_State *L, void *arg) {
  struct watcher *w = arg;
  lua_rawgeti(L, LUA_REGISTRYINDEX, w->connection);
  push_target(L, w->target);
  w->binding = push_set(L, w->set);
  return 3;
}

static void watcher_call(uv_timer_t *timer) {
  struct watcher *w = timer->data;
  int r = w->opened
              ? attachment_call(w->attachment, "watch", push_watch, on_watched, w, 0, &w->call)
              : attachment_call(w->attachment, "open", NULL, on_opened, w, 0, &w->call);
  if (r != 0) {
    call_ended(w);
    back_off(w, strerror(-r));
  }
}

struct watcher *watcher_start(uv_loop_t *loop, struct attachment *attachment,
                              const struct target *target, struct set *set, unsigned delay_ms) {
  struct watcher *w = calloc(1, sizeof *w);
  if (!w)
    return NULL;
  *w = (struct watcher){.attachment = attachment,
                        .target = target,
                        .set = set,
                        .opened = !plugin_provides(attachment_plugin(attachment), "open"),
                        .connection = LUA_REFNIL};
  attachment_service(attachment, set_service(set)); /* ctx.service; for the log's lines */
  uv_timer_init(loop, &w->timer);
  w->timer.data = w;
  again_after(w, delay_ms / 1e3);
  return w;
}

static void watcher_closed(uv_handle_t *timer) {
  free(timer->data);
}

static void watcher_quiet(struct watcher *w) {
  uv_timer_stop(&w->timer);
  if (w->call)
    call_cancel(w->call);
  call_ended(w);
}

static int push_connection(lua_State *L, void *arg) {
  const struct watcher *w = arg;
  lua_rawgeti(L, LUA_REGISTRYINDEX, w->connection);
  return 1;
}

static void on_closed(void *arg, const struct call_result *result) {
  struct watcher *w = arg;
  call_ended(w);
  if (result->status != 0 && result->status != -ECANCELED)
    log_warn("a registry's connection did not close in order",
             LOG_S("service", set_service(w->set)), LOG_S("registry", w->target->registry),
             LOG_S("error", result->fault->text));
  w->closed(w->closed_arg);
}

bool watcher_close(struct watcher *w, void (*closed)(void *arg), void *arg) {
  watcher_quiet(w);
  if (w->connection == LUA_REFNIL)
    return false;
  w->closed = closed;
  w->closed_arg = arg;
  return attachment_call(w->attachment, "close", push_connection, on_closed, w, close_ns,
                         &w->call) == 0;
}

void watcher_end(struct watcher *w) {
  watcher_quiet(w);
  isolate_enter(isolate_for(w), drop_body, &w->connection, NULL);
  attachment_free(w->attachment);
  uv_close((uv_handle_t *)&w->timer, watcher_closed);
}

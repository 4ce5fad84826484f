#include "agent/watches/watcher.h"

#include "agent/registries/reference.h"
#include "base/backoff.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/log.h"
#include "base/value.h"
#include "vm/bind/bindings.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

static const double every_s = 10; /* of a `watch` that polls, when its plugin does not say */
static const int64_t close_ns = 1000000000,
                     reopen_ns = 400000000; /* the latter: below any backoff */
enum { LOOK_MS = 2000 };                    /* at the files of secrets, while a call runs */

struct watcher {
  struct registry_use use;       /* its options are a reference */
  struct attachment *attachment; /* NULL until it is opened */
  const struct target *target;
  struct set *set;
  struct set_binding *binding; /* the set in Lua, while a call runs */
  struct call *call;
  bool opened;
  int connection, place; /* what `open` returned, and the target: references in the isolate */
  unsigned failures;
  uv_timer_t timer;
  void (*closed)(void *arg); /* not NULL: it closes, for good */
  void *closed_arg;
  struct watcher *next, **link; /* of the retired ones; NULL: of none */
};

static void watcher_call(uv_timer_t *timer);

static void again_after(struct watcher *w, double seconds) {
  uv_timer_start(&w->timer, watcher_call, (uint64_t)(seconds * 1000), 0);
}

static void back_off(struct watcher *w, const char *why) {
  double delay = backoff_s(++w->failures, w->use.retry_s);
  set_stale(w->set, true);
  log_warn("watch failed; what is known stays", LOG_S("service", set_service(w->set)),
           LOG_S("registry", w->target->registry), LOG_S("error", why), LOG_N("again_in", delay));
  again_after(w, delay);
}

static void call_ended(struct watcher *w) {
  w->call = NULL;
  uv_timer_stop(&w->timer);
  if (w->binding && set_binding_current(w->binding))
    w->failures = 0;
  set_binding_revoke(w->binding);
  w->binding = NULL;
}

static struct isolate *isolate_for(const struct watcher *w) {
  return plugin_isolate(w->use.plugin);
}

static void on_opened(void *arg, const struct call_result *result) {
  struct watcher *w = arg;
  call_ended(w);
  if (result->status == -ECANCELED)
    return;
  if (result->status != 0) {
    back_off(w, result->fault->text);
  } else if (result->results == 0 || !lua_toboolean(result->L, -result->results)) {
    const char *why = call_text(result, 2);
    back_off(w, why ? why : "open returned nothing");
  } else {
    struct fault f;
    if (reference_keep(isolate_for(w), result->L, -result->results, &w->connection, &f) != 0) {
      back_off(w, f.text);
      return;
    }
    w->opened = true;
    again_after(w, 0);
  }
}

static int push_connection(lua_State *L, void *arg) {
  const struct watcher *w = arg;
  lua_rawgeti(L, LUA_REGISTRYINDEX, w->connection);
  return 1;
}

/* Gives the connection and the plugin's use back. The set keeps what is known. */
static void forget(struct watcher *w) {
  reference_drop(isolate_for(w), w->connection);
  reference_drop(isolate_for(w), w->place);
  attachment_free(w->attachment);
  w->attachment = NULL;
  w->connection = w->place = LUA_REFNIL;
  w->opened = false;
}

static void told_of_close(const struct watcher *w, const struct call_result *result) {
  if (result->status != 0 && result->status != -ECANCELED)
    log_warn("a registry's connection did not close in order", LOG_S("registry", w->use.path),
             LOG_S("error", result->fault->text));
}

/* Whatever became of it, the next call opens anew, after the backoff that runs. */
static void on_closed_to_reopen(void *arg, const struct call_result *result) {
  struct watcher *w = arg;
  w->call = NULL;
  told_of_close(w, result);
  if (result->status != -ECANCELED)
    forget(w);
}

static void reopen(struct watcher *w) {
  if (w->connection == LUA_REFNIL || attachment_call(w->attachment, "close", push_connection,
                                                     on_closed_to_reopen, w, reopen_ns, &w->call))
    forget(w);
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
    const char *why = call_text(result, 2), *code = call_text(result, 3);
    back_off(w, why ? why : "watch returned nil");
    if (code && strcmp(code, "EACCES") == 0)
      reopen(w);
  } else {
    double every = plugin_every(w->use.plugin);
    w->failures = 0;
    set_current(w->set);
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
  if (w->place == LUA_REFNIL) {
    push_target(L, w->target);
    w->place = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, w->connection);
  lua_rawgeti(L, LUA_REGISTRYINDEX, w->place);
  w->binding = push_set(L, w->set);
  return 3;
}

/* ---- its plugin is reloaded ---- */

static void watcher_quiet(struct watcher *w) {
  uv_timer_stop(&w->timer);
  if (w->call)
    call_cancel(w->call);
  call_ended(w);
}

static void on_left(void *arg, const struct call_result *result) {
  told_of_close(arg, result);
}

/* The connection is the old version's, which closes it; the set keeps what is known. */
static void on_leaving(void *arg) {
  struct watcher *w = arg;
  if (!w->closed)
    watcher_quiet(w);
  if (!w->closed && w->connection != LUA_REFNIL)
    attachment_call(w->attachment, "close", push_connection, on_left, w, close_ns, NULL);
  reference_drop(isolate_for(w), w->connection);
  reference_drop(isolate_for(w), w->place);
  w->connection = w->place = LUA_REFNIL;
}

static void on_arrived(void *arg) {
  struct watcher *w = arg;
  w->opened = !plugin_provides(w->use.plugin, "open");
  if (!w->closed)
    again_after(w, 0);
}

static const struct attachment_events reloading = {.leaving = on_leaving, .arrived = on_arrived};

/* Also reads the files that the options name. */
static int attach(struct watcher *w, struct fault *f) {
  struct findings findings = {0};
  int r = plugin_attach(w->use.plugin, w->use.options, w->use.path, &w->attachment, &findings);
  if (r != 0) {
    const struct finding *first = findings.count ? findings.items : NULL;
    fault_set(f, r, "%s: %s", first ? first->path : w->use.path,
              first ? first->text : strerror(-r));
  } else {
    attachment_service(w->attachment, set_service(w->set)); /* ctx.service; for the log's lines */
    attachment_follow(w->attachment, &reloading, w);
    w->opened = !plugin_provides(w->use.plugin, "open");
  }
  findings_free(&findings);
  return r;
}

/* The call that runs goes on with a secret that is another one by now: it is ended, and all opened
 * anew. */
static void watcher_look(uv_timer_t *timer) {
  struct watcher *w = timer->data;
  if (!attachment_aged(w->attachment))
    return;
  log_info("a secret's file has changed: opened anew", LOG_S("service", set_service(w->set)),
           LOG_S("registry", w->use.path));
  watcher_quiet(w);
  again_after(w, 0);
  reopen(w);
}

static void watcher_call(uv_timer_t *timer) {
  struct watcher *w = timer->data;
  struct fault f;
  if (!w->call && w->attachment && attachment_aged(w->attachment))
    reopen(w);
  if (w->call) { /* a `close` that is not over */
    again_after(w, 0.1);
    return;
  }
  int r = w->attachment ? 0 : attach(w, &f);
  if (r != 0) {
    back_off(w, f.text);
    return;
  }
  r = w->opened ? attachment_call(w->attachment, "watch", push_watch, on_watched, w, 0, &w->call)
                : attachment_call(w->attachment, "open", NULL, on_opened, w, 0, &w->call);
  if (r != 0) {
    call_ended(w);
    back_off(w, strerror(-r));
  } else if (attachment_may_age(w->attachment)) {
    uv_timer_start(timer, watcher_look, LOOK_MS, LOOK_MS);
  }
}

struct watcher *watcher_start(uv_loop_t *loop, const struct registry_use *use,
                              const struct target *target, struct set *set, unsigned delay_ms) {
  struct watcher *w = calloc(1, sizeof *w);
  if (!w)
    return NULL;
  *w = (struct watcher){.use = *use, .target = target, .set = set};
  w->use.options = value_ref(use->options);
  w->connection = w->place = LUA_REFNIL;
  uv_timer_init(loop, &w->timer);
  w->timer.data = w;
  again_after(w, delay_ms / 1e3);
  return w;
}

static void watcher_closed(uv_handle_t *timer) {
  free(timer->data);
}

static void on_closed(void *arg, const struct call_result *result) {
  struct watcher *w = arg;
  w->call = NULL;
  told_of_close(w, result);
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

static void on_retired(void *arg) {
  watcher_end(arg);
}

void watcher_retire(struct watcher *w, struct watcher **retired) {
  if (!watcher_close(w, on_retired, w)) {
    watcher_end(w);
    return;
  }
  w->next = *retired;
  w->link = retired;
  if (w->next)
    w->next->link = &w->next;
  *retired = w;
}

void watcher_end(struct watcher *w) {
  if (w->link)
    *w->link = w->next;
  if (w->link && w->next)
    w->next->link = w->link;
  watcher_quiet(w);
  forget(w);
  value_unref(w->use.options);
  uv_close((uv_handle_t *)&w->timer, watcher_closed);
}

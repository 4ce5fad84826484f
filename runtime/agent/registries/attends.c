#include "agent/registries/attends.h"

#include "agent/registries/held.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/value.h"
#include "registry/reconciler.h"
#include "vm/plugin/plugin.h"

#include <lauxlib.h>
#include <stdlib.h>

/* Between two calls, so that a thousand registrations that come one by one are not a thousand. */
enum { PAUSE_MS = 1000 };
/* After one that failed, a quarter more or less: renewals and audits see to it meanwhile. */
static const double in_vain_ms = 30000;

struct attends {
  uv_timer_t timer; /* active: the next call begins then */
  struct reconciler *of;
  struct attachment *attachment;
  int connection;
  struct call *call;
  int64_t begun_ns;
};

struct attends *attends_new(uv_loop_t *loop, struct reconciler *of) {
  struct attends *a = calloc(1, sizeof *a);
  if (!a)
    return NULL;
  a->of = of;
  uv_timer_init(loop, &a->timer);
  a->timer.data = a;
  return a;
}

static void on_closed(uv_handle_t *timer) {
  free(timer->data);
}

void attends_free(struct attends *a) {
  if (!a)
    return;
  attends_end(a);
  uv_close((uv_handle_t *)&a->timer, on_closed);
}

void attends_end(struct attends *a) {
  if (!a)
    return;
  uv_timer_stop(&a->timer);
  if (a->call)
    call_cancel(a->call);
  a->call = NULL;
  reconciler_attend_none(a->of);
}

static void begin(uv_timer_t *timer);

static void on_returned(void *arg, const struct call_result *result) {
  struct attends *a = arg;
  struct value *list = NULL;
  struct fault f;
  a->call = NULL;
  if (result->status == -ECANCELED)
    return;
  bool told = result->status == 0 && result->results > 0 &&
              lua_istable(result->L, -result->results) &&
              read_value(result->L, -result->results, &list, &f) == 0;
  double pause_ms = told ? PAUSE_MS : in_vain_ms * (0.75 + 0.5 * clock_random_unit());
  uv_timer_start(&a->timer, begin, (uint64_t)pause_ms, 0);
  reconciler_changed(a->of, list);
  value_unref(list);
}

static void push_one(void *L, const struct desired_entry *e) {
  push_held(L, e);
}

static int push_arguments(lua_State *L, void *arg) {
  const struct attends *a = arg;
  lua_rawgeti(L, LUA_REGISTRYINDEX, a->connection);
  lua_newtable(L);
  reconciler_attend_all(a->of, push_one, L);
  return 2;
}

static void begin(uv_timer_t *timer) {
  struct attends *a = timer->data;
  attends_end(a);
  if (!reconciler_can_attend(a->of))
    return;
  a->begun_ns = clock_now_ns();
  attachment_call(a->attachment, "attend", push_arguments, on_returned, a, 0, &a->call);
}

void attends_ask(struct attends *a, struct attachment *attachment, int connection) {
  int64_t since_ms = (clock_now_ns() - a->begun_ns) / 1000000;
  a->attachment = attachment;
  a->connection = connection;
  if (!uv_is_active((uv_handle_t *)&a->timer))
    uv_timer_start(&a->timer, begin,
                   !a->begun_ns || since_ms >= PAUSE_MS ? 0 : (uint64_t)(PAUSE_MS - since_ms), 0);
}

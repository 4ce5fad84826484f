#include "agent/pulse.h"

#include "agent/feedback.h"
#include "agent/hooks/hooks.h"
#include "agent/notify.h"
#include "agent/parts.h"
#include "agent/plans/choosers.h"
#include "agent/plans/plans.h"
#include "agent/trim.h"
#include "agent/watches/watches.h"
#include "base/clock.h"
#include "base/log.h"
#include "catalog/writer.h"
#include "registry/embedded.h"
#include "registry/store.h"
#include "serve/server.h"
#include "serve/view/view.h"
#include "watch/set.h"

static void flush_again(uv_idle_t *idle) {
  (void)idle; /* its being active keeps the next poll from sleeping */
}

static void on_due(uv_timer_t *timer) {
  (void)timer; /* what waited for its time is published at the end of this turn */
}

/* Once each watch has loaded; or has not in three seconds, since a name without endpoints must not
 * keep all others from being used. */
static void become_ready(struct agent *a) {
  static const int64_t patience_us = 3000000;
  if (a->ready || a->stops)
    return;
  const char *first = NULL;
  size_t awaited = watches_awaited(a->watches, &first);
  bool loaded = awaited == 0 && sets_working(a->sets) == 0;
  if (!loaded && clock_steady_us() - a->started_us < patience_us)
    return;
  if (awaited > 0)
    log_warn("ready, though not every watch has loaded", LOG_I("missing", awaited),
             LOG_S("first", first));
  a->ready = true;
  server_ready(a->server, true);
  notify("READY=1");
  trim_after_start();
  hooks_started(a->hooks);
}

/* At the end of each turn, before the loop sleeps: all that the turn changed becomes visible. What
 * a flush itself changed (a watch that follows another) is published by the next turn, at once. */
static void on_turn(uv_prepare_t *prepare) {
  struct agent *a = prepare->data;
  catalog_version_raise(a->catalog, embedded_index(a->embedded));
  watches_flush(a->watches);
  size_t published = sets_flush(a->sets);
  embedded_index_raise(a->embedded, catalog_version(a->catalog));
  watches_answer(a->watches);
  view_commit(a->view);
  become_ready(a);
  if (published && sets_dirty(a->sets))
    uv_idle_start(&a->again, flush_again);
  else
    uv_idle_stop(&a->again);
  int64_t due = sets_due_ns(a->sets), now = clock_now_ns();
  if (due)
    uv_timer_start(&a->due, on_due, due > now ? (uint64_t)(due - now) / 1000000 + 1 : 1, 0);
}

void pulse_save_version(struct agent *a) {
  uint64_t version = catalog_version(a->catalog);
  if (version == a->version_saved)
    return;
  a->version_saved = version;
  store_put(a->store, "meta", "version", &version, sizeof version, NULL, NULL);
}

static void on_tick(uv_timer_t *timer) {
  struct agent *a = timer->data;
  catalog_tick(a->catalog);
  feedback_tick(a->feedback);
  choosers_tick(a->choosers);
  pulse_save_version(a);
  watches_tick(a->watches);
  plans_tick(a->plans);
}

void pulse_init(struct agent *a) {
  uv_prepare_init(&a->loop, &a->turn);
  uv_timer_init(&a->loop, &a->tick);
  uv_timer_init(&a->loop, &a->due);
  uv_idle_init(&a->loop, &a->again);
  a->turn.data = a->tick.data = a->again.data = a;
}

void pulse_start(struct agent *a) {
  uv_timer_start(&a->tick, on_tick, 1000, 1000);
  uv_prepare_start(&a->turn, on_turn);
  on_turn(&a->turn);
}

void pulse_close(struct agent *a) {
  uv_close((uv_handle_t *)&a->turn, NULL);
  uv_close((uv_handle_t *)&a->tick, NULL);
  uv_close((uv_handle_t *)&a->due, NULL);
  uv_close((uv_handle_t *)&a->again, NULL);
}

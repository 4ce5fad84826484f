#include "agent/lag.h"

#include "base/buf.h"
#include "base/metric.h"

#include <stdlib.h>

enum { WINDOW = 10, BOUNDS = 8 };

static const double bounds[BOUNDS] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1};

struct lag {
  uv_prepare_t prepare;
  uint64_t began_ns, idle_ns; /* when this turn began, and the loop's idle time by then */
  uint64_t counts[BOUNDS + 1], total;
  double sum;
  double worst[WINDOW]; /* one second each, a ring */
  uint64_t second;
};

static void lag_note(struct lag *l, double busy, uint64_t second) {
  int i = 0;
  while (i < BOUNDS && busy > bounds[i])
    i++;
  l->counts[i]++;
  l->total++;
  l->sum += busy;
  if (second - l->second > WINDOW)
    l->second = second - WINDOW;
  while (l->second < second)
    l->worst[++l->second % WINDOW] = 0;
  if (busy > l->worst[second % WINDOW])
    l->worst[second % WINDOW] = busy;
}

static void lag_turn(uv_prepare_t *prepare) {
  struct lag *l = prepare->data;
  /* libuv's own clock, not clock.h: its idle time is measured with it. */
  uint64_t now = uv_hrtime(), idle = uv_metrics_idle_time(prepare->loop);
  uint64_t elapsed = now - l->began_ns, asleep = idle - l->idle_ns;
  lag_note(l, asleep < elapsed ? (double)(elapsed - asleep) / 1e9 : 0, now / 1000000000);
  l->began_ns = now;
  l->idle_ns = idle;
}

struct lag *lag_new(uv_loop_t *loop) {
  struct lag *l = calloc(1, sizeof *l);
  if (!l)
    return NULL;
  uv_loop_configure(loop, UV_METRICS_IDLE_TIME);
  l->began_ns = uv_hrtime();
  l->second = l->began_ns / 1000000000;
  uv_prepare_init(loop, &l->prepare);
  l->prepare.data = l;
  uv_prepare_start(&l->prepare, lag_turn);
  uv_unref((uv_handle_t *)&l->prepare);
  return l;
}

static void lag_closed(uv_handle_t *prepare) {
  free(prepare->data);
}

void lag_free(struct lag *l) {
  if (l)
    uv_close((uv_handle_t *)&l->prepare, lag_closed);
}

double lag_worst_seconds(const struct lag *l) {
  double worst = 0;
  for (int i = 0; i < WINDOW; i++)
    if (l->worst[i] > worst)
      worst = l->worst[i];
  return worst;
}

void lag_metrics(const struct lag *l, struct buf *out) {
  metric_family(out, "perigee_loop_lag_seconds", "histogram",
                "How long a turn of the control thread's loop took.");
  unsigned long long below = 0;
  for (int i = 0; i < BOUNDS; i++) {
    below += l->counts[i];
    buf_format(out, "perigee_loop_lag_seconds_bucket{le=\"%g\"} %llu\n", bounds[i], below);
  }
  buf_format(out,
             "perigee_loop_lag_seconds_bucket{le=\"+Inf\"} %llu\n"
             "perigee_loop_lag_seconds_sum %.9g\nperigee_loop_lag_seconds_count %llu\n",
             (unsigned long long)l->total, l->sum, (unsigned long long)l->total);
  metric_gauge(out, "perigee_loop_lag_worst_seconds", "The longest turn of the last ten seconds.",
               lag_worst_seconds(l));
}

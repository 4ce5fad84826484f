/* lag: how long each turn of the control thread's loop keeps everyone else waiting: the time
 * between two polls, less what was spent asleep in the poll. A histogram for Prometheus and the
 * worst of the last ten seconds. It needs no timer, so an idle agent stays asleep. Control thread
 * only. */
#pragma once

#include <stdint.h>
#include <uv.h>

struct buf;
struct lag;

/* Turns the loop's UV_METRICS_IDLE_TIME on: before the loop first runs. */
struct lag *lag_new(uv_loop_t *loop);
void lag_free(struct lag *l); /* memory goes with the loop's close callbacks */
double lag_worst_seconds(const struct lag *l);
void lag_metrics(const struct lag *l, struct buf *out);

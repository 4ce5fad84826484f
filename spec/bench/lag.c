/* How long the control thread's loop is kept from its timers while 10,000 registrations are
 * committed to a real disk: the longest gap between two runs of a 1 ms timer. The client keeps 256
 * changes on their way, as many HTTP connections would; sets are flushed at the end of each turn.
 * Beside it the same with a registry in memory. `--json FILE`; `--dir DIR` (default: here, not a
 * tmpfs). */
#include "base/log.h"
#include "catalog/writer.h"
#include "registry/embedded.h"
#include "registry/store.h"
#include "watch/set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { REGISTRATIONS = 10000, ON_THEIR_WAY = 256, SERVICES = 100 };

struct bench {
  uv_loop_t loop;
  uv_timer_t beat;
  uv_prepare_t turn;
  struct catalog_writer *writer;
  struct sets *sets;
  struct store *store;
  struct embedded *e;
  double last_ms, longest_ms;
  int asked, answered, closed;
};

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void on_beat(uv_timer_t *timer) {
  struct bench *b = timer->data;
  double now = now_ms(), gap = now - b->last_ms;
  b->last_ms = now;
  if (gap > b->longest_ms)
    b->longest_ms = gap;
}

static void on_turn(uv_prepare_t *prepare) {
  sets_flush(((struct bench *)prepare->data)->sets);
}

static void on_changed(void *arg, const struct registration_state *s, bool gone) {
  struct bench *b = arg;
  const struct instance *in = s->registration->instance;
  struct set *set = sets_open(b->sets, in->service);
  if (!set || set_put(set, in, s->status) != 0)
    exit(1);
}

static void ask(struct bench *b);

static void on_answer(void *arg, int status, const char *message) {
  struct bench *b = arg;
  if (status != 0) {
    fprintf(stderr, "lag: %s\n", message);
    exit(1);
  }
  b->answered++;
  ask(b);
}

static void ask(struct bench *b) {
  if (b->asked == REGISTRATIONS)
    return;
  char id[64], service[32];
  snprintf(service, sizeof service, "service-%02d", b->asked % SERVICES);
  snprintf(id, sizeof id, "%s-%05d", service, b->asked++);
  struct instance *in = instance_new(&(struct instance_draft){
      .id = id, .service = service, .address = "10.0.0.1", .port = 80, .weight = 1});
  struct check_definition ttl = {
      .id = id, .plugin = "ttl", .ttl_ns = 60000000000, .initial = STATUS_PASSING};
  struct registration *r = registration_new(&(struct registration){
      .origin = ORIGIN_HTTP, .instance = in, .checks = &ttl, .check_count = 1, .lease_ms = 60000});
  if (embedded_register(b->e, r, on_answer, b) != 0)
    exit(1);
  registration_unref(r);
  instance_unref(in);
}

static void on_closed(void *arg) {
  ((struct bench *)arg)->closed = 1;
}

struct result {
  double longest_ms, total_ms;
  struct store_stats store;
};

static struct result measure(const char *dir) {
  static const struct embedded_events events = {.changed = on_changed};
  static struct bench b;
  char run_dir[] = "/dev/shm/perigee-bench-XXXXXX", command[128];
  memset(&b, 0, sizeof b);
  uv_loop_init(&b.loop);
  if (!mkdtemp(run_dir) || catalog_writer_open(run_dir, &b.writer, NULL) != 0 ||
      store_open(&b.loop, dir, &b.store, NULL) != 0 ||
      embedded_new(&b.loop, b.store, &events, &b, &b.e) != 0 || embedded_restore(b.e) != 0)
    exit(1);
  b.sets = sets_new(b.writer, NULL, NULL);
  uv_timer_init(&b.loop, &b.beat);
  uv_prepare_init(&b.loop, &b.turn);
  b.beat.data = b.turn.data = &b;
  uv_timer_start(&b.beat, on_beat, 1, 1);
  uv_prepare_start(&b.turn, on_turn);
  double began = b.last_ms = now_ms();
  for (int i = 0; i < ON_THEIR_WAY; i++)
    ask(&b);
  while (b.answered < REGISTRATIONS)
    uv_run(&b.loop, UV_RUN_ONCE);
  struct result r = {.longest_ms = b.longest_ms, .total_ms = now_ms() - began};
  store_stats(b.store, &r.store);
  uv_close((uv_handle_t *)&b.beat, NULL);
  uv_close((uv_handle_t *)&b.turn, NULL);
  embedded_free(b.e);
  store_close(b.store, on_closed, &b);
  while (!b.closed)
    uv_run(&b.loop, UV_RUN_ONCE);
  while (uv_run(&b.loop, UV_RUN_NOWAIT))
    continue;
  uv_loop_close(&b.loop);
  sets_free(b.sets);
  catalog_writer_close(b.writer);
  snprintf(command, sizeof command, "rm -rf '%s'", run_dir);
  if (system(command) != 0)
    exit(1);
  return r;
}

static void figure(FILE *json, const char *name, double value, const char *unit, double in_memory) {
  printf("%-62s %9.2f %-8s (in memory %.2f)\n", name, value, unit, in_memory);
  if (json)
    fprintf(json,
            "%s{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",\"peer\":\"in memory\","
            "\"peer_value\":%.3f,\"ratio\":%.3f}",
            ftell(json) ? "," : "[", name, value, unit, in_memory, value / in_memory);
}

int main(int argc, char **argv) {
  FILE *json = NULL;
  const char *under = ".";
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--json") == 0)
      json = fopen(argv[i + 1], "w");
    else if (strcmp(argv[i], "--dir") == 0)
      under = argv[i + 1];
  }
  char dir[4096], command[4200];
  log_set_level(LOG_LEVEL_ERROR);
  snprintf(dir, sizeof dir, "%s/perigee-lag-XXXXXX", under);
  if (!mkdtemp(dir))
    return 1;
  struct result disk = measure(dir), memory = measure(NULL);
  snprintf(command, sizeof command, "rm -rf '%s'", dir);
  if (system(command) != 0)
    return 1;
  figure(json, "lag: longest gap of a 1 ms timer, 10,000 commits (limit 20 ms)", disk.longest_ms,
         "ms", memory.longest_ms);
  figure(json, "lag: 10,000 registrations, durable and published", disk.total_ms, "ms",
         memory.total_ms);
  printf("%llu transactions for %llu changes\n", (unsigned long long)disk.store.commits,
         (unsigned long long)disk.store.changes);
  if (json) {
    fputs("]\n", json);
    fclose(json);
  }
  return disk.longest_ms > 20;
}

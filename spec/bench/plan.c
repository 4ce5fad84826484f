/* What a plan of 10, 1,000 and 10,000 endpoints costs: a whole run of a shipped balancer, from what
 * the registry says to checked weights; what it leaves for the collector; and what the agent does
 * around it, keeping and comparing outcomes. `--json FILE`. */
#include "base/fault.h"
#include "base/findings.h"
#include "base/value.h"
#include "io/io.h"
#include "vm/plan/bind_endpoints.h"
#include "vm/plugin/plugin.h"
#include "watch/balancer.h"
#include "watch/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 10000 };

static FILE *json;

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void report(const char *what, int count, double value, const char *unit) {
  char name[80];
  snprintf(name, sizeof name, "plan: %s, %d endpoints", what, count);
  printf("%-52s %10.2f %s\n", name, value, unit);
  if (json)
    fprintf(json, "{\"name\": \"%s\", \"value\": %g, \"unit\": \"%s\"}\n", name, value, unit);
}

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static struct set_row rows[MOST];
static struct plan_row out[MOST];

static void make_rows(void) {
  for (int i = 0; i < MOST; i++) {
    char id[16], capacity[4];
    snprintf(id, sizeof id, "web-%05d", i);
    snprintf(capacity, sizeof capacity, "%d", 1 + i % 9);
    const char *tags[] = {i % 20 ? "v1" : "v2", "eu"};
    struct catalog_pair meta[] = {{"capacity", capacity}, {"rack", "r17"}};
    rows[i] = (struct set_row){
        .instance = instance_new(&(struct instance_draft){.id = id,
                                                          .service = "web",
                                                          .address = "10.0.0.1",
                                                          .zone = i % 3 ? "eu-1a" : "eu-1b",
                                                          .port = 80,
                                                          .weight = 1,
                                                          .tags = tags,
                                                          .tag_count = 2,
                                                          .meta = meta,
                                                          .meta_count = 2})};
  }
}

struct bench {
  struct plan_question q;
  struct attachment *attachment;
};

static void run(const struct bench *b) {
  struct plan_run r = {.question = &b->q, .rows = out};
  plan_from_registry(&b->q, out);
  plan_begin(&r, b->attachment, true);
  if (r.fault.code != 0)
    fail("plan_begin", r.fault.text);
}

/* The best of five rounds of at least 20 ms. */
static double run_us(const struct bench *b) {
  double best = 1e18;
  for (int round = 0; round < 5; round++) {
    double from = now_us(), took = 0;
    int n = 0;
    for (; took < 20000; took = now_us() - from, n++)
      run(b);
    best = took / n < best ? took / n : best;
  }
  return best;
}

static size_t memory_of(const struct bench *b) {
  struct isolate_stats s;
  isolate_stats(plugin_isolate(attachment_plugin(b->attachment)), &s);
  return s.memory;
}

/* What one more run takes of the isolate's memory, when nothing is collected in between. */
static double garbage_bytes(const struct bench *b) {
  size_t least = SIZE_MAX;
  for (int i = 0; i < 50; i++) {
    size_t before = memory_of(b);
    run(b);
    size_t after = memory_of(b);
    if (after >= before && after - before < least)
      least = after - before;
  }
  return (double)least;
}

static void bench_plugin(struct vm *vm, const char *name, const struct value *options) {
  static const struct balancer rules = {.algorithm = "weighted"};
  static const int counts[] = {10, 1000, 10000};
  char path[100];
  struct plugin *p;
  struct fault f = {0};
  struct findings findings = {0};
  const struct isolate_limits limits = {.memory_hard = 64 << 20};
  snprintf(path, sizeof path, "plugins/balancer/%s.lua", name);
  if (plugin_load(vm, "balancer", name, path, &limits, &p, &f) != 0)
    fail(path, f.text);
  for (int i = 0; i < 3; i++) {
    struct bench b = {.q = {.service = "web",
                            .rows = rows,
                            .count = (size_t)counts[i],
                            .rules = &rules,
                            .run = true,
                            .now_ns = 1}};
    if (plugin_attach(p, options, name, &b.attachment, &findings) != 0)
      fail(name, findings.count ? findings.items[0].text : "out of memory");
    run(&b);
    report(name, counts[i], run_us(&b), "us");
    if (counts[i] == 1000)
      report("garbage of a run", counts[i], garbage_bytes(&b), "bytes");
    attachment_free(b.attachment);
  }
  plugin_free(p);
}

static void bench_outcomes(void) {
  static const struct balancer rules = {.algorithm = "weighted"};
  struct plan_question q = {.service = "web", .rows = rows, .count = MOST, .rules = &rules};
  struct outcome o = {0};
  double *shares = malloc(MOST * sizeof *shares), best[2] = {1e18, 1e18};
  plan_from_registry(&q, out);
  for (int i = 0; i < 20; i++) {
    double from = now_us();
    if (outcome_set(&o, &q, out) != 0 || !outcome_is(&o, &q, out))
      fail("outcome", "not what was set");
    double kept = now_us();
    if (plan_shares(&q, out, shares) != 0)
      fail("shares", "none");
    double shared = now_us();
    best[0] = kept - from < best[0] ? kept - from : best[0];
    best[1] = shared - kept < best[1] ? shared - kept : best[1];
  }
  report("an outcome kept and compared", MOST, best[0], "us");
  report("its shares of the picks", MOST, best[1], "us");
  outcome_free(&o);
  free(shares);
}

int main(int argc, char **argv) {
  struct io *io;
  struct vm *vm;
  struct fault f = {0};
  uv_loop_t loop;
  if (argc == 3 && strcmp(argv[1], "--json") == 0)
    json = fopen(argv[2], "w");
  uv_loop_init(&loop);
  if (io_new(&loop, &io) != 0)
    return 1;
  struct vm_config config = {.loop = &loop, .io = io, .library = "."};
  if (vm_new(&config, &vm, &f) != 0)
    fail("vm_new", f.text);
  make_rows();
  struct value *canary = value_table(), *capacity = value_table(), *zone = value_table();
  value_set(canary, "tag", value_text("v2", 2));
  value_set(canary, "share", value_number(0.05));
  value_set(capacity, "key", value_text("capacity", 8));
  value_set(zone, "zone", value_text("eu-1a", 5));
  bench_plugin(vm, "canary", canary);
  bench_plugin(vm, "by_meta", capacity);
  bench_plugin(vm, "zone_first", zone);
  bench_outcomes();
  value_unref(canary);
  value_unref(capacity);
  value_unref(zone);
  for (int i = 0; i < MOST; i++)
    instance_unref(rows[i].instance);
  vm_free(vm);
  io_free(io);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
  if (json)
    fclose(json);
  return 0;
}

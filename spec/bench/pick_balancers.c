/* What a pick costs by balancer and by the number of endpoints, in a process that is not the agent:
 * the least of some runs, alone and with a second process that does the same at the same time (the
 * slower of the two counts). With its allocations; instructions.c has what it executes. Then
 * what the tables cost when a snapshot is published. `--json FILE` appends the figures; with names
 * of balancers, only theirs are measured. */
#include "bench/picks.h"

#include "catalog/writer.h"
#include "client/perigee.h"
#include "select/select.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

enum { RUNS = 5, SIZES = 3, BALANCERS = 16, RUN_NS = 6000000 };
static const int sizes[SIZES] = {10, 1000, 100000};

static char *const *only; /* NULL-terminated; empty = all */

static bool is_asked(unsigned balancer) {
  for (char *const *name = only; *name; name++)
    if (strcmp(*name, select_at(balancer)->name) == 0)
      return true;
  return !*only;
}

struct figures {
  double ns[BALANCERS][SIZES];
  uint64_t allocations;
};

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void lower(double *least, double value) {
  if (*least == 0 || value < *least)
    *least = value;
}

static void measure_one(struct perigee_service *s, unsigned b, int size, double *ns) {
  uint64_t picks = 16;
  double took;
  volatile uint64_t sink;
  if (select_at(b)->by_load) /* the counts' pages are made at the first report of each endpoint */
    sink = pick_many(s, select_at(b), 4ull * (uint64_t)size);
  do { /* as many as make a run */
    picks *= 2;
    double begun = now_ns();
    sink = pick_many(s, select_at(b), picks);
    took = now_ns() - begun;
  } while (took < RUN_NS);
  for (int run = 0; run < RUNS; run++) {
    double begun = now_ns();
    sink = pick_many(s, select_at(b), picks);
    took = now_ns() - begun;
    lower(ns, took / (double)picks);
  }
  (void)sink;
}

/* The measuring process: waits until its siblings are there too, then runs. */
static void measure(const char *dir, int ready, int go, struct figures *f) {
  struct perigee *p;
  struct perigee_service *s[BALANCERS][SIZES];
  char name[64], byte = 0;
  must(perigee_open(&p, dir), "perigee_open");
  for (unsigned b = 0; select_at(b); b++)
    for (int i = 0; i < SIZES; i++) {
      snprintf(name, sizeof name, "%s-%d", select_at(b)->name, sizes[i]);
      must(perigee_service_open(p, name, &s[b][i]), name);
      pick_many(s[b][i], select_at(b), 1);
    }
  if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
    exit(1);
  uint64_t before = allocations;
  for (unsigned b = 0; select_at(b); b++)
    for (int i = 0; is_asked(b) && i < SIZES; i++)
      measure_one(s[b][i], b, sizes[i], &f->ns[b][i]);
  f->allocations = allocations - before;
}

static void run_processes(const char *dir, int count, struct figures *f) {
  int ready[2], go[2];
  char bytes[2] = "";
  if (pipe(ready) < 0 || pipe(go) < 0)
    must(-errno, "pipe");
  for (int i = 0; i < count; i++) {
    pid_t pid = fork();
    if (pid < 0)
      must(-errno, "fork");
    if (pid == 0) {
      measure(dir, ready[1], go[0], &f[i]);
      _exit(0);
    }
  }
  for (int i = 0; i < count; i++)
    if (read(ready[0], bytes, 1) != 1)
      must(-EPIPE, "a child ended");
  if (write(go[1], bytes, (size_t)count) != count)
    must(-errno, "write");
  for (int i = 0; i < count; i++) {
    int status;
    wait(&status);
    must(status == 0 ? 0 : -ECHILD, "a child failed");
  }
  for (int i = 0; i < 2; i++) {
    close(ready[i]);
    close(go[i]);
  }
}

static void report(FILE *json, const char *name, double value, const char *unit) {
  printf("%-62s %9.2f %s\n", name, value, unit);
  if (json)
    fprintf(json, "{\"name\": \"%s\", \"value\": %.3f, \"unit\": \"%s\"}\n", name, value, unit);
}

/* What others take, in ns on one thread and with two at once (wall time over all their operations):
 * measured once, on another machine, with Debian 12's Go and LuaJIT. peers.lua has what can be
 * measured here and now. */
static const struct peer {
  const struct select_balancer *balancer;
  const char *name;
  double ns[2];
} peers[] = {
    {&select_round_robin, "grpc-go round robin, elsewhere", {14, 46}},
    {&select_weighted, "grpc-go weighted, elsewhere", {63, 209}},
    {&select_weighted_round_robin, "grpc-go weighted, elsewhere", {63, 209}},
    {&select_least_request, "grpc-go least request, elsewhere", {124, 228}},
    {&select_p2c_ewma, "go-zero p2c, elsewhere", {380, 430}},
    {&select_ring, "grpc-go ring hash, elsewhere", {109, 55}},
    {&select_maglev, "lua-resty chash, elsewhere", {83, 0}},
};

/* Beside its peer, if it has one and this is the smallest size: theirs had few endpoints. */
static void report_pick(FILE *json, const char *name, double ns, unsigned b, int size,
                        int at_once) {
  const struct peer *p = NULL;
  for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++)
    if (peers[i].balancer == select_at(b) && size == 0 && peers[i].ns[at_once] > 0)
      p = &peers[i];
  if (!p) {
    report(json, name, ns, "ns");
    return;
  }
  double theirs = p->ns[at_once];
  printf("%-62s %9.2f ns   %s %.0f, ratio %.2f\n", name, ns, p->name, theirs, ns / theirs);
  if (json)
    fprintf(json,
            "{\"name\": \"%s\", \"value\": %.3f, \"unit\": \"ns\", \"peer\": \"%s\", "
            "\"peer_value\": %.3f, \"ratio\": %.3f}\n",
            name, ns, p->name, theirs, ns / theirs);
}

static void report_picks(FILE *json, const struct figures *one, const struct figures *two) {
  char name[96];
  for (unsigned b = 0; select_at(b); b++)
    for (int i = 0; is_asked(b) && i < SIZES; i++) {
      const char *word = select_at(b)->name;
      const char *what = select_at(b)->by_load ? "pick and report" : "pick";
      double p = two[0].ns[b][i], q = two[1].ns[b][i];
      snprintf(name, sizeof name, "%s, %s, %d", what, word, sizes[i]);
      report_pick(json, name, one->ns[b][i], b, i, 0);
      snprintf(name, sizeof name, "%s, %s, %d, slower of two at once", what, word, sizes[i]);
      report_pick(json, name, p > q ? p : q, b, i, 1);
    }
  report(json, "picks, allocations of all together", (double)one->allocations, "");
}

static void time_tables(FILE *json, const char *balancer, uint32_t count) {
  double *weights = malloc(count * sizeof *weights), least = 0;
  const char **ids = malloc(count * sizeof *ids);
  char(*texts)[16] = malloc(count * sizeof *texts), name[96];
  struct catalog_alias *alias = malloc(count * sizeof *alias);
  static const struct catalog_rules none;
  if (!weights || !ids || !texts || !alias)
    must(-ENOMEM, "tables");
  for (uint32_t i = 0; i < count; i++) {
    snprintf(texts[i], sizeof texts[i], "web-%u", i);
    ids[i] = texts[i];
    weights[i] = 1 + i % 4;
  }
  for (int run = 0; run < RUNS; run++) {
    struct catalog_group_tables group = {.count = count, .share = 1};
    struct catalog_tables t = {.balancer = balancer,
                               .rules = &none,
                               .weights = weights,
                               .ids = ids,
                               .count = count,
                               .groups = &group,
                               .group_count = 1,
                               .alias = alias};
    double begun = now_ns();
    must(catalog_tables_build(&t), balancer);
    lower(&least, (now_ns() - begun) / 1e6);
    catalog_tables_end(&t);
  }
  snprintf(name, sizeof name, "tables, %s, of %u endpoints", balancer, count);
  report(json, name, least, "ms");
  free(weights);
  free(ids);
  free(texts);
  free(alias);
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "ae") : NULL;
  char dir[] = "/dev/shm/perigee-bench-XXXXXX";
  struct catalog_writer *w;
  only = json ? argv + argc : argv + 1;
  if (!mkdtemp(dir))
    must(-errno, dir);
  struct figures *f =
      mmap(NULL, 3 * sizeof *f, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (f == MAP_FAILED)
    must(-errno, "mmap");
  must(catalog_writer_open(dir, &w, NULL), "catalog_writer_open");
  for (int i = 0; i < SIZES; i++)
    publish(w, sizes[i]);
  run_processes(dir, 1, f);
  run_processes(dir, 2, f + 1);
  report_picks(json, f, f + 1);
  time_tables(json, "weighted", 10000); /* the alias table, which every block has */
  time_tables(json, "weighted_round_robin", 1000);
  time_tables(json, "maglev", 655); /* 65537 cells */
  time_tables(json, "ring", 655);
  time_tables(json, "rendezvous", 100);
  catalog_writer_close(w);
  remove_dir(dir);
  if (json)
    fclose(json);
  return 0;
}

/* What a pick costs by balancer and by the number of endpoints, in a process that is not the agent:
 * the least of some runs, alone and with a second process that does the same at the same time (the
 * slower of the two counts). With instructions where the kernel counts them, and allocations. Then
 * what the tables cost when a snapshot is published. `--json FILE` appends the figures; with names
 * of balancers, only theirs are measured. */
#include "catalog/writer.h"
#include "client/perigee.h"
#include "select/select.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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
  double instructions[BALANCERS][SIZES]; /* 0 = the kernel does not count them */
  uint64_t allocations;
};

/* Every allocation of this program is counted. */
static uint64_t allocations;
extern void *__libc_malloc(size_t size);
void *malloc(size_t size) {
  allocations++;
  return __libc_malloc(size);
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(int r, const char *what) {
  if (r < 0) {
    fprintf(stderr, "pick_balancers: %s: %s\n", what, strerror(-r));
    exit(1);
  }
}

/* Weights differ, so that the weighted ones have something to do; the weightless do not mind. */
static void publish(struct catalog_writer *w, int count) {
  struct catalog_endpoint *e = calloc((size_t)count, sizeof *e);
  char(*texts)[2][32] = calloc((size_t)count, sizeof *texts), name[64];
  if (!e || !texts)
    must(-ENOMEM, "endpoints");
  for (int i = 0; i < count; i++) {
    snprintf(texts[i][0], 32, "10.%d.%d.%d", i >> 16 & 255, i >> 8 & 255, i & 255);
    snprintf(texts[i][1], 32, "web-%d", i);
    e[i] = (struct catalog_endpoint){
        .address = texts[i][0], .id = texts[i][1], .port = 80, .weight = 1 + i % 4};
    must(catalog_slot_take(w, &e[i].slot, &e[i].slot_generation), "slot");
  }
  for (unsigned b = 0; select_at(b); b++) {
    snprintf(name, sizeof name, "%s-%d", select_at(b)->name, count);
    struct catalog_snapshot s = {.service = name,
                                 .balancer = select_at(b)->name,
                                 .endpoints = e,
                                 .count = (size_t)count,
                                 .moves_version = 1};
    must(catalog_publish(w, &s, NULL), name);
  }
  free(e);
  free(texts);
}

static int open_counter(void) {
  struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                 .size = sizeof attr,
                                 .config = PERF_COUNT_HW_INSTRUCTIONS,
                                 .disabled = 0,
                                 .exclude_kernel = 1,
                                 .exclude_hv = 1};
  return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static uint64_t read_counter(int fd) {
  uint64_t count;
  return fd >= 0 && read(fd, &count, sizeof count) == sizeof count ? count : 0;
}

/* What goes by load is told how each call went. */
static uint64_t pick_many(struct perigee_service *s, const struct select_balancer *b,
                          uint64_t picks) {
  struct perigee_endpoint e;
  uint64_t sum = 0, key = 0;
  struct perigee_pick_options options = {
      .size = sizeof options, .key = (const char *)&key, .key_length = sizeof key};
  for (uint64_t i = 0; i < picks; i++) {
    key = i * 0x9e3779b97f4a7c15u;
    if (perigee_pick(s, b->by_key ? &options : NULL, &e) != 0)
      must(-EIO, "a pick failed");
    if (b->by_load)
      perigee_done(s, &e, PERIGEE_SUCCESS, 1000000 + (i & 1023));
    sum += e.port + e.slot + (unsigned char)e.address[3];
  }
  return sum;
}

static void lower(double *least, double value) {
  if (*least == 0 || value < *least)
    *least = value;
}

static void measure_one(struct perigee_service *s, unsigned b, int size, int counter, double *ns,
                        double *instructions) {
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
    uint64_t before = read_counter(counter);
    double begun = now_ns();
    sink = pick_many(s, select_at(b), picks);
    took = now_ns() - begun;
    lower(ns, took / (double)picks);
    lower(instructions, (double)(read_counter(counter) - before) / (double)picks);
  }
  (void)sink;
}

/* The measuring process: waits until its siblings are there too, then runs. */
static void measure(const char *dir, int ready, int go, struct figures *f) {
  struct perigee *p;
  struct perigee_service *s[BALANCERS][SIZES];
  char name[64], byte = 0;
  int counter = open_counter();
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
      measure_one(s[b][i], b, sizes[i], counter, &f->ns[b][i], &f->instructions[b][i]);
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

/* What others take on such a machine, in ns on one thread and with two at once (wall time over all
 * their operations): measured once, with Debian 12's Go and LuaJIT, not here and now. */
static const struct peer {
  const struct select_balancer *balancer;
  const char *name;
  double ns[2];
} peers[] = {
    {&select_round_robin, "grpc-go round robin, once", {14, 46}},
    {&select_weighted, "grpc-go weighted, once", {63, 209}},
    {&select_weighted_round_robin, "grpc-go weighted, once", {63, 209}},
    {&select_least_request, "grpc-go least request, once", {124, 228}},
    {&select_p2c_ewma, "go-zero p2c, once", {380, 430}},
    {&select_ring, "grpc-go ring hash, once", {109, 55}},
    {&select_maglev, "lua-resty chash, once", {83, 0}},
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
      if (one->instructions[b][i] > 0) {
        snprintf(name, sizeof name, "%s, %s, %d, instructions", what, word, sizes[i]);
        report(json, name, one->instructions[b][i], "");
      }
    }
  report(json, "picks, allocations of all together", (double)one->allocations, "");
  if (one->instructions[0][0] <= 0)
    printf("instructions: this kernel does not let them be counted\n");
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

static void remove_dir(const char *dir) {
  static const char *const files[] = {"catalog", "lock"};
  char path[128];
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%s", dir, files[i]);
    unlink(path);
  }
  rmdir(dir);
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

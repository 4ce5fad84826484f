/* What a pick costs while its service, of 100 endpoints, is published a thousand times a second by
 * another process, beside what it costs when nothing changes: rounds of both in turn, the least of
 * each. `--json FILE` appends the figures. */
#include "catalog/writer.h"
#include "client/perigee.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ENDPOINTS = 100, PERIOD_NS = 1000000, ROUNDS = 7, ROUND_NS = 100000000, BATCH = 1000 };

static const char *const services[] = {"round_robin", "weighted", "p2c", "maglev"};
enum { SERVICES = sizeof services / sizeof services[0] };

/* Shared with the publishing process. */
struct churn {
  _Atomic int service; /* which one is published; -1: none */
  _Atomic uint64_t publishes;
};

static struct catalog_endpoint endpoints[ENDPOINTS];
static char texts[ENDPOINTS][2][32];

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(int r, const char *what) {
  if (r < 0) {
    fprintf(stderr, "churn: %s: %s\n", what, strerror(-r));
    exit(1);
  }
}

static void make_endpoints(struct catalog_writer *w) {
  for (int i = 0; i < ENDPOINTS; i++) {
    snprintf(texts[i][0], sizeof texts[i][0], "web-%d", i);
    snprintf(texts[i][1], sizeof texts[i][1], "10.0.0.%d", i);
    endpoints[i] = (struct catalog_endpoint){
        .id = texts[i][0], .address = texts[i][1], .port = 80, .weight = 1 + i % 4};
    must(catalog_slot_take(w, &endpoints[i].slot, &endpoints[i].slot_generation), "slot");
  }
}

/* Each time another one is critical. */
static void publish(struct catalog_writer *w, const char *service, uint64_t turn) {
  endpoints[turn % ENDPOINTS].status = 2;
  struct catalog_snapshot s = {.service = service,
                               .balancer = service,
                               .endpoints = endpoints,
                               .count = ENDPOINTS,
                               .moves_version = 1};
  must(catalog_publish(w, &s, NULL), service);
  endpoints[turn % ENDPOINTS].status = 0;
}

static void publish_for_ever(struct catalog_writer *w, struct churn *churn) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  for (;;) {
    int service = churn->service;
    if (service >= 0)
      publish(w, services[service], churn->publishes++);
    at.tv_nsec += PERIOD_NS;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    catalog_tick(w);
  }
}

/* ns a pick, over one round. */
static double time_round(struct perigee_service *s, bool keyed, bool reported) {
  struct perigee_endpoint e;
  uint64_t key = 0, picks = 0;
  struct perigee_pick_options options = {
      .size = sizeof options, .key = (const char *)&key, .key_length = sizeof key};
  double begun = now_ns(), end;
  do {
    for (int i = 0; i < BATCH; i++) {
      key++;
      int r = perigee_pick(s, keyed ? &options : NULL, &e);
      must(r == -EAGAIN ? 0 : r, "a pick");
      if (reported && r == 0)
        perigee_done(s, &e, PERIGEE_SUCCESS, 1000000);
    }
    picks += BATCH;
    end = now_ns();
  } while (end - begun < ROUND_NS);
  return (end - begun) / (double)picks;
}

static void measure(const char *dir, struct churn *churn, int i, FILE *json) {
  struct perigee *p;
  struct perigee_service *s;
  double quiet = 1e9, busy = 1e9;
  bool keyed = strcmp(services[i], "maglev") == 0, reported = strcmp(services[i], "p2c") == 0;
  must(perigee_open(&p, dir), "perigee_open");
  must(perigee_service_open(p, services[i], &s), services[i]);
  uint64_t before = churn->publishes;
  for (int round = 0; round < ROUNDS; round++) {
    churn->service = -1;
    double ns = time_round(s, keyed, reported);
    quiet = ns < quiet ? ns : quiet;
    churn->service = i;
    ns = time_round(s, keyed, reported);
    busy = ns < busy ? ns : busy;
  }
  churn->service = -1;
  uint64_t publishes = churn->publishes - before;
  must(publishes < ROUNDS * (ROUND_NS / PERIOD_NS) / 2 ? -ETIME : 0, "too few publishes");
  printf("pick of 100, %-12s 1,000 publishes a second %8.2f ns   quiet %.2f, ratio %.2f\n",
         services[i], busy, quiet, busy / quiet);
  if (json)
    fprintf(json,
            "{\"name\": \"pick of 100, %s, 1,000 publishes a second\", \"value\": %.3f, \"unit\": "
            "\"ns\", \"peer\": \"the same, quiet (limit 2)\", \"peer_value\": %.3f, \"ratio\": "
            "%.3f}\n",
            services[i], busy, quiet, busy / quiet);
  perigee_service_close(s);
  perigee_close(p);
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "ae") : NULL;
  char dir[] = "/dev/shm/perigee-bench-XXXXXX", path[64];
  struct catalog_writer *w;
  if (argc != 1 && !json) {
    fprintf(stderr, "usage: churn [--json FILE]\n");
    return 2;
  }
  must(mkdtemp(dir) ? 0 : -errno, dir);
  struct churn *churn =
      mmap(NULL, sizeof *churn, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(churn == MAP_FAILED ? -errno : 0, "mmap");
  churn->service = -1;
  must(catalog_writer_open(dir, &w, NULL), "catalog_writer_open");
  make_endpoints(w);
  for (int i = 0; i < SERVICES; i++)
    publish(w, services[i], 0);
  pid_t publisher = fork();
  must(publisher < 0 ? -errno : 0, "fork");
  if (publisher == 0)
    publish_for_ever(w, churn);
  for (int i = 0; i < SERVICES; i++)
    measure(dir, churn, i, json);
  kill(publisher, SIGKILL);
  waitpid(publisher, NULL, 0);
  catalog_writer_close(w);
  static const char *const files[] = {"catalog", "lock"};
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%s", dir, files[i]);
    unlink(path);
  }
  rmdir(dir);
  if (json)
    fclose(json);
  return 0;
}

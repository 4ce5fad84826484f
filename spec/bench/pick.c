/* What a pick costs in a process that is not the agent: the minimum of nine interleaved runs, each
 * shorter than a time slice, with a loop of dependent loads beside them that tells how fast the
 * machine is just now. Then the same in two processes at once, which must not disturb each other.
 * `--json FILE` appends the figures. */
#include "catalog/writer.h"
#include "client/perigee.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 9, PICKS = 200000, SIZES = 3, LOADS_RING = 64, ID_LENGTH = 48 };
static const int sizes[SIZES] = {10, 100, 1000};

enum { PLAIN, WITH_ID, KINDS };

/* The minima of one process, in memory that it shares with the parent. */
struct figures {
  double load_ns; /* one dependent load */
  double pick_ns[KINDS][SIZES];
};

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(int r, const char *what) {
  if (r < 0) {
    fprintf(stderr, "pick: %s: %s\n", what, strerror(-r));
    exit(1);
  }
}

static void publish(struct catalog_writer *w, int count) {
  struct catalog_endpoint *e = calloc((size_t)count, sizeof *e);
  char name[32], (*texts)[2][64] = calloc((size_t)count, sizeof *texts);
  uint64_t version;
  if (!e || !texts)
    must(-ENOMEM, "endpoints");
  for (int i = 0; i < count; i++) {
    snprintf(texts[i][0], 64, "10.%d.%d.%d", i >> 16 & 255, i >> 8 & 255, i & 255);
    snprintf(texts[i][1], 64, "web-%044d", i);
    e[i] = (struct catalog_endpoint){
        .address = texts[i][0], .id = texts[i][1], .port = (uint16_t)(8000 + i), .weight = 1};
    must(catalog_slot_take(w, &e[i].slot, &e[i].slot_generation), "slot");
  }
  snprintf(name, sizeof name, "web-%d", count);
  struct catalog_snapshot s = {.service = name,
                               .balancer = "round_robin",
                               .endpoints = e,
                               .count = (size_t)count,
                               .moves_version = 1};
  must(catalog_publish(w, &s, &version), "publish");
  free(e);
  free(texts);
}

static double time_loads(void) {
  static void *ring[LOADS_RING];
  for (int i = 0; i < LOADS_RING; i++)
    ring[i] = &ring[(i * 7 + 7) % LOADS_RING];
  void *volatile sink;
  void **at = ring;
  double begun = now_ns();
  for (int i = 0; i < PICKS; i++) {
    at = *at;
    __asm__ volatile("" : "+r"(at));
  }
  sink = at;
  (void)sink;
  return (now_ns() - begun) / PICKS;
}

static double time_picks(struct perigee_service *s, int kind) {
  struct perigee_endpoint e;
  char id[ID_LENGTH + 16];
  uint64_t sum = 0, failed = 0;
  double begun = now_ns();
  if (kind == PLAIN)
    for (int i = 0; i < PICKS; i++) {
      failed += perigee_pick(s, NULL, &e) != 0;
      sum += e.port + e.slot + e.version + (unsigned char)e.address[3];
    }
  else
    for (int i = 0; i < PICKS; i++) {
      failed += perigee_pick_id(s, NULL, &e, id, sizeof id) != 0;
      sum += e.port + e.slot + e.version + (unsigned char)e.address[3] + (unsigned char)id[4];
    }
  double ns = (now_ns() - begun) / PICKS;
  volatile uint64_t sink = sum;
  (void)sink;
  must(failed ? -EIO : 0, "a pick failed");
  return ns;
}

static void lower(double *least, double value) {
  if (*least == 0 || value < *least)
    *least = value;
}

/* The measuring process: waits until its siblings are there too, then runs. */
static void measure(const char *dir, int ready, int go, struct figures *f) {
  struct perigee *p;
  struct perigee_service *s[SIZES];
  char name[32], byte = 0;
  must(perigee_open(&p, dir), "perigee_open");
  for (int i = 0; i < SIZES; i++) {
    snprintf(name, sizeof name, "web-%d", sizes[i]);
    must(perigee_service_open(p, name, &s[i]), name);
  }
  if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
    exit(1);
  for (int run = 0; run < RUNS; run++) {
    lower(&f->load_ns, time_loads());
    for (int kind = 0; kind < KINDS; kind++)
      for (int i = 0; i < SIZES; i++)
        lower(&f->pick_ns[kind][i], time_picks(s[i], kind));
  }
  for (int i = 0; i < SIZES; i++)
    perigee_service_close(s[i]);
  perigee_close(p);
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
  close(ready[0]);
  close(ready[1]);
  close(go[0]);
  close(go[1]);
}

static void report(FILE *json, const char *name, double value, const char *peer,
                   double peer_value) {
  printf("%-44s %7.2f ns   %s %.2f, ratio %.2f\n", name, value, peer, peer_value,
         value / peer_value);
  if (json)
    fprintf(json,
            "{\"name\": \"%s\", \"value\": %.3f, \"unit\": \"ns\", \"peer\": \"%s\", "
            "\"peer_value\": %.3f, \"ratio\": %.3f}\n",
            name, value, peer, peer_value, value / peer_value);
}

static void report_all(FILE *json, const struct figures *one, const struct figures *two) {
  static const char *const kinds[KINDS] = {"pick, round robin", "pick, round robin, with the id"};
  char name[80];
  for (int kind = 0; kind < KINDS; kind++)
    for (int i = 0; i < SIZES; i++) {
      snprintf(name, sizeof name, "%s, %d endpoints", kinds[kind], sizes[i]);
      report(json, name, one->pick_ns[kind][i], "a dependent load", one->load_ns);
    }
  for (int kind = 0; kind < KINDS; kind++)
    for (int i = 0; i < SIZES; i++) {
      double a = two[0].pick_ns[kind][i], b = two[1].pick_ns[kind][i];
      snprintf(name, sizeof name, "%s, %d, the slower of two", kinds[kind], sizes[i]);
      report(json, name, a > b ? a : b, "one process alone", one->pick_ns[kind][i]);
    }
}

static void remove_dir(const char *dir) {
  char path[128];
  snprintf(path, sizeof path, "%s/catalog", dir);
  unlink(path);
  snprintf(path, sizeof path, "%s/lock", dir);
  unlink(path);
  rmdir(dir);
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "ae") : NULL;
  char dir[] = "/dev/shm/perigee-bench-XXXXXX";
  struct catalog_writer *w;
  if (argc != 1 && !json) {
    fprintf(stderr, "usage: pick [--json FILE]\n");
    return 2;
  }
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
  report_all(json, f, f + 1);
  catalog_writer_close(w);
  remove_dir(dir);
  if (json)
    fclose(json);
  return 0;
}

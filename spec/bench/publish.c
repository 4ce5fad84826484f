/* What it costs to publish 100,000 endpoints in 1,000 services from decoded endpoints into an empty
 * catalog, how large the file becomes, and what the same costs again, when it need not grow. The
 * minimum of nine runs. `--json FILE` appends the figures. */
#include "catalog/writer.h"
#include "select/select.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 9, SERVICES = 1000, EACH = 100, TEXT = 64, BUDGET_MS = 25, BUDGET_MIB = 32 };

struct texts {
  char id[TEXT], address[TEXT];
};

static const char *const tags[] = {"v1", "primary"};
static const struct catalog_pair meta[] = {{"version", "1.4.2"}, {"shard", "17"}};

static double clock_ms(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void must(int r, const char *what) {
  if (r < 0) {
    fprintf(stderr, "publish: %s: %s\n", what, strerror(-r));
    exit(1);
  }
}

static void decode(struct catalog_writer *w, struct catalog_endpoint *e, struct texts *texts) {
  for (int i = 0; i < SERVICES * EACH; i++) {
    snprintf(texts[i].id, TEXT, "web-%d-10.%d.%d.%d-8080", i / EACH, i >> 16, i >> 8 & 255,
             i & 255);
    snprintf(texts[i].address, TEXT, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
    e[i] = (struct catalog_endpoint){.id = texts[i].id,
                                     .address = texts[i].address,
                                     .zone = i % 3 ? "eu-1a" : "eu-1b",
                                     .tags = tags,
                                     .meta = meta,
                                     .tag_count = 2,
                                     .meta_count = 2,
                                     .port = 8080,
                                     .weight = 1 + i % 4};
    must(catalog_slot_take(w, &e[i].slot, &e[i].slot_generation), "slot");
  }
}

/* On a machine that is busy with something else, what the thread itself took says more. */
struct duration {
  double wall_ms, thread_ms;
};

static void publish(struct catalog_writer *w, const struct catalog_endpoint *e,
                    struct duration *least) {
  char name[32];
  uint64_t version;
  double wall = clock_ms(CLOCK_MONOTONIC), thread = clock_ms(CLOCK_THREAD_CPUTIME_ID);
  for (int i = 0; i < SERVICES; i++) {
    snprintf(name, sizeof name, "service-%04d", i);
    struct catalog_snapshot s = {.service = name,
                                 .balancer = select_weighted.name,
                                 .endpoints = e + i * EACH,
                                 .count = EACH,
                                 .moves_version = 1};
    must(catalog_publish(w, &s, &version), name);
  }
  wall = clock_ms(CLOCK_MONOTONIC) - wall;
  thread = clock_ms(CLOCK_THREAD_CPUTIME_ID) - thread;
  least->wall_ms = wall < least->wall_ms ? wall : least->wall_ms;
  least->thread_ms = thread < least->thread_ms ? thread : least->thread_ms;
}

static void remove_files(const char *dir) {
  char path[128];
  snprintf(path, sizeof path, "%s/catalog", dir);
  unlink(path);
  snprintf(path, sizeof path, "%s/lock", dir);
  unlink(path);
}

static void report(FILE *json, const char *name, double value, const char *unit, double budget) {
  printf("%-44s %7.2f %s   of %.0f\n", name, value, unit, budget);
  if (json)
    fprintf(json,
            "{\"name\": \"%s\", \"value\": %.3f, \"unit\": \"%s\", \"peer\": \"the budget\", "
            "\"peer_value\": %.0f, \"ratio\": %.3f}\n",
            name, value, unit, budget, value / budget);
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "ae") : NULL;
  char dir[] = "/dev/shm/perigee-bench-XXXXXX";
  struct catalog_endpoint *e = calloc(SERVICES * EACH, sizeof *e);
  struct texts *texts = calloc(SERVICES * EACH, sizeof *texts);
  struct duration first = {1e9, 1e9}, again = {1e9, 1e9};
  struct catalog_stats stats;
  if (argc != 1 && !json) {
    fprintf(stderr, "usage: publish [--json FILE]\n");
    return 2;
  }
  if (!e || !texts || !mkdtemp(dir))
    must(-errno, dir);
  for (int run = 0; run < RUNS; run++) {
    struct catalog_writer *w;
    remove_files(dir);
    must(catalog_writer_open(dir, &w, NULL), "catalog_writer_open");
    decode(w, e, texts);
    publish(w, e, &first);
    catalog_stats(w, &stats);
    publish(w, e, &again);
    catalog_writer_close(w);
  }
  report(json, "publish 100,000 endpoints in 1,000 services", first.wall_ms, "ms", BUDGET_MS);
  report(json, "publish them, time of the thread", first.thread_ms, "ms", BUDGET_MS);
  report(json, "publish them again", again.wall_ms, "ms", BUDGET_MS);
  report(json, "publish them again, time of the thread", again.thread_ms, "ms", BUDGET_MS);
  report(json, "the catalog's file with them", (double)stats.file_bytes / (1 << 20), "MiB",
         BUDGET_MIB);
  remove_files(dir);
  rmdir(dir);
  if (json)
    fclose(json);
  return 0;
}

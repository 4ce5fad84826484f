/* What it costs to take 100,000 decoded instances in 1,000 services into sets, to publish them, to
 * be told the same again, and to be told of one change a service; and what memory they take. The
 * minimum of five runs, each from the start. Linked with the real catalog. `--json FILE` writes the
 * figures. */
#include "base/log.h"
#include "catalog/writer.h"
#include "watch/set.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SERVICES = 1000, EACH = 100, RUNS = 5 };

static struct instance *instances[SERVICES][EACH];

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct instance *decode(int service, int i, int port) {
  char name[32], id[64], address[32];
  snprintf(name, sizeof name, "service-%04d", service);
  snprintf(id, sizeof id, "%s-%03d-10.%d.%d.%d", name, i, service >> 8, service & 255, i);
  snprintf(address, sizeof address, "10.%d.%d.%d", service >> 8, service & 255, i);
  static const char *const tags[] = {"v1", "primary"};
  static const struct catalog_pair meta[] = {{"version", "1.2.3"}};
  struct instance *in = instance_new(&(struct instance_draft){.id = id,
                                                              .service = name,
                                                              .address = address,
                                                              .zone = "eu-1a",
                                                              .port = (uint16_t)port,
                                                              .weight = 1,
                                                              .tags = tags,
                                                              .tag_count = 2,
                                                              .meta = meta,
                                                              .meta_count = 1});
  if (!in)
    exit(1);
  return in;
}

static void decode_all(int changed) {
  for (int s = 0; s < SERVICES; s++)
    for (int i = 0; i < EACH; i++)
      instances[s][i] = decode(s, i, i == changed ? 9000 : 8000);
}

static void drop_all(void) {
  for (int s = 0; s < SERVICES; s++)
    for (int i = 0; i < EACH; i++)
      instance_unref(instances[s][i]);
}

static void replace_all(struct set **sets) {
  for (int s = 0; s < SERVICES; s++)
    if (set_replace(sets[s], instances[s], NULL, EACH) != 0)
      exit(1);
}

enum figure { TAKE, PUBLISH, TOGETHER, AGAIN, CHANGE, MEMORY, FIGURES };
static const struct {
  const char *name, *unit;
} figures[FIGURES] = {
    [TAKE] = {"sets: take 100,000 instances in 1,000 services", "ms"},
    [PUBLISH] = {"sets: publish them (limit 25 ms)", "ms"},
    [TOGETHER] = {"sets: take and publish them", "ms"},
    [AGAIN] = {"sets: the same 100,000 facts again, nothing to publish", "ms"},
    [CHANGE] = {"sets: one change in each of 1,000 services, published", "ms"},
    [MEMORY] = {"sets: memory of sets and instances (limit 25 MiB)", "MiB"},
};

static void run(double *best) {
  static struct set *sets[SERVICES];
  char dir[] = "/dev/shm/perigee-bench-XXXXXX", name[32], command[64];
  struct catalog_writer *writer;
  if (!mkdtemp(dir) || catalog_writer_open(dir, &writer, NULL) != 0)
    exit(1);
  double now[FIGURES];
  size_t used = mallinfo2().uordblks;
  struct sets *all = sets_new(writer, NULL, NULL);
  for (int s = 0; s < SERVICES; s++) {
    snprintf(name, sizeof name, "service-%04d", s);
    sets[s] = sets_open(all, name);
  }
  decode_all(-1);
  double t0 = now_ms();
  replace_all(sets);
  now[MEMORY] = (double)(mallinfo2().uordblks - used) / (1 << 20);
  double t1 = now_ms();
  if (sets_flush(all) != SERVICES)
    exit(1);
  double t2 = now_ms();
  now[TAKE] = t1 - t0;
  now[PUBLISH] = t2 - t1;
  now[TOGETHER] = t2 - t0;
  drop_all();
  decode_all(-1);
  t0 = now_ms();
  replace_all(sets);
  if (sets_flush(all) != 0)
    exit(1);
  now[AGAIN] = now_ms() - t0;
  drop_all();
  decode_all(50);
  t0 = now_ms();
  replace_all(sets);
  if (sets_flush(all) != SERVICES)
    exit(1);
  now[CHANGE] = now_ms() - t0;
  drop_all();
  sets_free(all);
  catalog_writer_close(writer);
  snprintf(command, sizeof command, "rm -rf '%s'", dir);
  if (system(command) != 0)
    exit(1);
  for (int i = 0; i < FIGURES; i++)
    best[i] = best[i] == 0 || now[i] < best[i] ? now[i] : best[i];
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "w") : NULL;
  double best[FIGURES] = {0};
  log_set_level(LOG_LEVEL_ERROR);
  for (int i = 0; i < RUNS; i++)
    run(best);
  for (int i = 0; i < FIGURES; i++) {
    printf("%-60s %8.2f %s\n", figures[i].name, best[i], figures[i].unit);
    if (json)
      fprintf(json,
              "%s{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",\"peer\":null,\"peer_value\":null,"
              "\"ratio\":null}",
              i ? "," : "[", figures[i].name, best[i], figures[i].unit);
  }
  if (json) {
    fputs("]\n", json);
    fclose(json);
  }
  return 0;
}

/* What a round robin pick costs in a process that is not the agent, without and with the endpoint's
 * id, beside a dependent load, which tells how fast the machine is just now. measure.h says how two
 * processes at once are counted. `--json FILE` appends the figures. */
#include "bench/measure.h"
#include "catalog/writer.h"
#include "client/perigee.h"

enum { SIZES = 3, LOADS_RING = 64, ID_LENGTH = 48 };
static const int sizes[SIZES] = {10, 100, 1000};

/* The cases: picks of each size, the same with ids, and loads. */
enum { PLAIN = 0, WITH_ID = SIZES, LOADS = 2 * SIZES, CASES };

static void publish(struct catalog_writer *w, int count) {
  struct catalog_endpoint *e = calloc((size_t)count, sizeof *e);
  char name[32], (*texts)[2][64] = calloc((size_t)count, sizeof *texts);
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
  must(catalog_publish(w, &s, NULL), "publish");
  free(e);
  free(texts);
}

static void *open_services(void *dir) {
  static struct perigee_service *services[SIZES];
  struct perigee *p;
  char name[32];
  must(perigee_open(&p, dir), "perigee_open");
  for (int i = 0; i < SIZES; i++) {
    snprintf(name, sizeof name, "web-%d", sizes[i]);
    must(perigee_service_open(p, name, &services[i]), name);
  }
  return services;
}

static void load(uint64_t count) {
  static void *ring[LOADS_RING];
  for (int i = 0; i < LOADS_RING; i++)
    ring[i] = &ring[(i * 7 + 7) % LOADS_RING];
  void **at = ring;
  for (uint64_t i = 0; i < count; i++) {
    at = *at;
    __asm__ volatile("" : "+r"(at));
  }
}

static uint64_t pick(struct perigee_service *s, uint64_t count) {
  struct perigee_endpoint e;
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; i++) {
    must(perigee_pick(s, NULL, &e), "a pick");
    sum += e.port + e.slot + e.version + (unsigned char)e.address[3];
  }
  return sum;
}

static uint64_t pick_id(struct perigee_service *s, uint64_t count) {
  struct perigee_endpoint e;
  char id[ID_LENGTH + 16];
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; i++) {
    must(perigee_pick_id(s, NULL, &e, id, sizeof id), "a pick");
    sum += e.port + e.slot + e.version + (unsigned char)e.address[3] + (unsigned char)id[4];
  }
  return sum;
}

static void run(void *opened, int one_of, uint64_t count) {
  struct perigee_service **services = opened;
  volatile uint64_t sink = 0;
  if (one_of == LOADS)
    load(count);
  else
    sink = one_of < WITH_ID ? pick(services[one_of], count)
                            : pick_id(services[one_of - WITH_ID], count);
  (void)sink;
}

static void report(FILE *json, const char *name, double value, const char *peer,
                   double peer_value) {
  printf("%-50s %7.2f ns   %s %.2f, ratio %.2f\n", name, value, peer, peer_value,
         value / peer_value);
  figure(json, name, value, "ns", peer, peer_value);
}

static void report_all(FILE *json, const struct measured *m) {
  char name[80];
  for (int i = 0; i < LOADS; i++) {
    const char *what = i < WITH_ID ? "pick, round robin" : "pick, round robin, with the id";
    snprintf(name, sizeof name, "%s, %d endpoints", what, sizes[i % SIZES]);
    report(json, name, m[i].alone_ns, "a dependent load", m[LOADS].alone_ns);
  }
  for (int i = 0; i < LOADS; i++) {
    const char *what = i < WITH_ID ? "pick, round robin" : "pick, round robin, with the id";
    snprintf(name, sizeof name, "%s, %d, the slower of two", what, sizes[i % SIZES]);
    if (measured_slower(&m[i]) > 0)
      report(json, name, measured_slower(&m[i]), "one process alone", m[i].alone_ns);
  }
  measured_print_machine(m, CASES);
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "ae") : NULL;
  char dir[] = "/dev/shm/perigee-bench-XXXXXX";
  struct catalog_writer *w;
  if (argc != 1 && !json) {
    fprintf(stderr, "usage: pick [--json FILE]\n");
    return 2;
  }
  must(mkdtemp(dir) ? 0 : -errno, dir);
  must(catalog_writer_open(dir, &w, NULL), "catalog_writer_open");
  for (int i = 0; i < SIZES; i++)
    publish(w, sizes[i]);
  report_all(json, measure(&(struct measure){
                       .open = open_services, .run = run, .arg = dir, .cases = CASES}));
  catalog_writer_close(w);
  remove_dir(dir);
  if (json)
    fclose(json);
  return 0;
}

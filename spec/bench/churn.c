/* What a pick costs while its service, of 100 endpoints, is published a thousand times a second by
 * another process, beside what it costs when nothing changes. measure.h says how it is measured;
 * its rounds are longer here, with twenty publishes in each. `--json FILE` appends the figures. */
#include "bench/picks.h"

#include "catalog/writer.h"
#include "client/perigee.h"
#include "select/select.h"

enum { ENDPOINTS = 100, PERIOD_NS = 1000000, ROUND_NS = 20000000, NONE = -1 };

static const struct select_balancer *const balancers[] = {&select_round_robin, &select_weighted,
                                                          &select_p2c_ewma, &select_maglev};
enum { BALANCERS = sizeof balancers / sizeof balancers[0] };

/* The cases: each balancer's picks when all is quiet, then while its service is published. */
enum { QUIET, BUSY, WAYS, CASES = BALANCERS * WAYS };

struct churn {
  const char *dir;
  struct catalog_writer *writer;
  struct catalog_endpoint endpoints[ENDPOINTS];
  struct timespec at; /* when the next publish is due */
  uint64_t publishes;
  _Atomic int *busy; /* shared with those who pick: which is to be published */
};

static void make_endpoints(struct churn *c) {
  static char texts[ENDPOINTS][2][32];
  for (int i = 0; i < ENDPOINTS; i++) {
    struct catalog_endpoint *e = &c->endpoints[i];
    snprintf(texts[i][0], sizeof texts[i][0], "web-%d", i);
    snprintf(texts[i][1], sizeof texts[i][1], "10.0.0.%d", i);
    *e = (struct catalog_endpoint){
        .id = texts[i][0], .address = texts[i][1], .port = 80, .weight = 1 + i % 4};
    must(catalog_slot_take(c->writer, &e->slot, &e->slot_generation), "slot");
  }
}

/* Each time another one is critical. */
static void publish_next(struct churn *c, const char *service) {
  struct catalog_endpoint *e = &c->endpoints[c->publishes++ % ENDPOINTS];
  e->status = 2;
  struct catalog_snapshot s = {.service = service,
                               .balancer = service,
                               .endpoints = c->endpoints,
                               .count = ENDPOINTS,
                               .moves_version = 1};
  must(catalog_publish(c->writer, &s, NULL), service);
  e->status = 0;
}

static void publish_in_time(void *arg) {
  struct churn *c = arg;
  int busy = *c->busy;
  if (busy != NONE)
    publish_next(c, balancers[busy]->name);
  catalog_tick(c->writer);
  c->at.tv_nsec += PERIOD_NS;
  c->at.tv_sec += c->at.tv_nsec / 1000000000;
  c->at.tv_nsec %= 1000000000;
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &c->at, NULL);
}

struct opened {
  struct perigee_service *services[BALANCERS];
  _Atomic int *busy;
};

static void *open_services(void *arg) {
  static struct opened opened;
  const struct churn *c = arg;
  struct perigee *p;
  must(perigee_open(&p, c->dir), "perigee_open");
  opened.busy = c->busy;
  for (int i = 0; i < BALANCERS; i++)
    must(perigee_service_open(p, balancers[i]->name, &opened.services[i]), balancers[i]->name);
  return &opened;
}

static void run(void *arg, int one_of, uint64_t count) {
  struct opened *opened = arg;
  *opened->busy = one_of % WAYS == BUSY ? one_of / WAYS : NONE;
  pick_many(opened->services[one_of / WAYS], balancers[one_of / WAYS], count);
}

static void report(FILE *json, const struct measured *m) {
  char name[96];
  for (int i = 0; i < BALANCERS; i++) {
    double quiet = m[i * WAYS + QUIET].alone_ns, busy = m[i * WAYS + BUSY].alone_ns;
    snprintf(name, sizeof name, "pick of 100, %s, 1,000 publishes a second", balancers[i]->name);
    printf("%-56s %8.2f ns   quiet %.2f, ratio %.2f\n", name, busy, quiet, busy / quiet);
    figure(json, name, busy, "ns", "the same, quiet (limit 2)", quiet);
    verdict(busy / quiet, 2, "times", "%s", name);
  }
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "ae") : NULL;
  char dir[] = "/dev/shm/perigee-bench-XXXXXX";
  struct churn c = {.dir = dir};
  if (argc != 1 && !json) {
    fprintf(stderr, "usage: churn [--json FILE]\n");
    return 2;
  }
  must(mkdtemp(dir) ? 0 : -errno, dir);
  c.busy = mmap(NULL, sizeof *c.busy, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(c.busy == MAP_FAILED ? -errno : 0, "mmap");
  *c.busy = NONE;
  must(catalog_writer_open(dir, &c.writer, NULL), "catalog_writer_open");
  make_endpoints(&c);
  for (int i = 0; i < BALANCERS; i++)
    publish_next(&c, balancers[i]->name);
  clock_gettime(CLOCK_MONOTONIC, &c.at);
  const struct measured *m = measure(&(struct measure){.open = open_services,
                                                       .run = run,
                                                       .meanwhile = publish_in_time,
                                                       .arg = &c,
                                                       .cases = CASES,
                                                       .alone = true,
                                                       .round_ns = ROUND_NS});
  must(c.publishes < BALANCERS * MEASURE_ROUNDS * (ROUND_NS / PERIOD_NS) / 2 ? -ETIME : 0,
       "too few publishes");
  report(json, m);
  catalog_writer_close(c.writer);
  remove_dir(dir);
  if (json)
    fclose(json);
  return 0;
}

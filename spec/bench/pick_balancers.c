/* What a pick costs by balancer and by the number of endpoints, in a process that is not the agent:
 * alone and with a second process that does the same at the same time, as measure.h counts it,
 * beside what two that share nothing lose to each other; and the allocations of all its rounds.
 * What goes by load is told how each call went. instructions.c has what a pick executes. Then what
 * the tables cost when a snapshot is published. `--json FILE` appends the figures; with names of
 * balancers, only theirs are measured. */
#include "bench/picks.h"

#include "catalog/writer.h"
#include "client/perigee.h"
#include "select/select.h"

enum { SIZES = 3, BALANCERS = 16, RUNS = 5 };
static const int sizes[SIZES] = {10, 1000, 100000};

/* A case: one balancer at one size. */
static struct one_case {
  const struct select_balancer *balancer;
  int size;
} cases[BALANCERS * SIZES];

static int list_cases(char *const *only) {
  int count = 0;
  for (unsigned b = 0; select_at(b); b++) {
    bool asked = !*only;
    for (char *const *name = only; *name; name++)
      asked = asked || strcmp(*name, select_at(b)->name) == 0;
    for (int i = 0; asked && i < SIZES; i++)
      cases[count++] = (struct one_case){select_at(b), sizes[i]};
  }
  return count;
}

struct bench {
  const char *dir;
  struct catalog_writer *writer;
};

static void *open_services(void *arg) {
  static struct perigee_service *services[BALANCERS * SIZES];
  struct perigee *p;
  char name[64];
  must(perigee_open(&p, ((struct bench *)arg)->dir), "perigee_open");
  for (int i = 0; cases[i].balancer; i++) {
    snprintf(name, sizeof name, "%s-%d", cases[i].balancer->name, cases[i].size);
    must(perigee_service_open(p, name, &services[i]), name);
    /* The counts' pages are made at the first report of each endpoint. */
    pick_many(services[i], cases[i].balancer,
              cases[i].balancer->by_load ? 4ull * (uint64_t)cases[i].size : 1);
  }
  return services;
}

static void run(void *opened, int one_of, uint64_t count) {
  pick_many(((struct perigee_service **)opened)[one_of], cases[one_of].balancer, count);
}

/* What others take, in ns on one thread, with few endpoints: measured once, on another machine,
 * with Debian 12's Go and LuaJIT. peers.lua has what can be measured here and now. */
static const struct peer {
  const struct select_balancer *balancer;
  const char *name;
  double ns;
} peers[] = {
    {&select_round_robin, "grpc-go round robin, elsewhere", 14},
    {&select_round_robin, "go-kit round robin, elsewhere", 15},
    {&select_round_robin, "go-kit by its endpointer, elsewhere", 34},
    {&select_round_robin, "lua-resty round robin, elsewhere", 66},
    {&select_weighted, "grpc-go weighted, elsewhere", 63},
    {&select_weighted_round_robin, "grpc-go weighted, elsewhere", 63},
    {&select_least_request, "grpc-go least request, elsewhere", 124},
    {&select_least_request, "APISIX least_conn, elsewhere", 197},
    {&select_p2c_ewma, "go-zero p2c, elsewhere", 380},
    {&select_p2c_ewma, "APISIX EWMA, elsewhere", 1650},
    {&select_ring, "grpc-go ring hash, elsewhere", 109},
    {&select_ring, "lua-resty chash, elsewhere", 83},
    {&select_maglev, "lua-resty chash, elsewhere", 83},
    {&select_rendezvous, "lua-resty chash, elsewhere", 83},
};
enum { PEERS = sizeof peers / sizeof peers[0] };

static const struct peer *peer_of(const struct one_case *c) {
  for (size_t i = 0; i < PEERS; i++)
    if (peers[i].balancer == c->balancer && c->size == sizes[0])
      return &peers[i];
  return NULL;
}

static void report_case(FILE *json, const struct one_case *c, const struct measured *m) {
  const char *what = c->balancer->by_load ? "pick and report" : "pick";
  const struct peer *p = peer_of(c);
  double slower = measured_slower(m);
  char name[96];
  char two[64] = "never      -      -      -";
  if (slower > 0)
    snprintf(two, sizeof two, "%.2f %6.2f %6.2f %6.2f", slower, slower / m->alone_ns,
             measured_machine(m, MEASURE_CORE), measured_machine(m, MEASURE_OWN_MEMORY));
  printf("%-21s %6d %9.2f %32s %6llu   ", c->balancer->name, c->size, m->alone_ns, two,
         (unsigned long long)m->allocations);
  if (p)
    printf("%s %.0f, ratio %.2f", p->name, p->ns, m->alone_ns / p->ns);
  printf("\n");
  snprintf(name, sizeof name, "%s, %s, %d", what, c->balancer->name, c->size);
  figure(json, name, m->alone_ns, "ns", p ? p->name : NULL, p ? p->ns : 0);
  snprintf(name, sizeof name, "%s, %s, %d, slower of two at once", what, c->balancer->name,
           c->size);
  if (slower > 0) {
    figure(json, name, slower, "ns", "one process alone", m->alone_ns);
    snprintf(name, sizeof name, "two at once that share nothing, beside %s, %d", c->balancer->name,
             c->size);
    figure(json, name, measured_machine(m, MEASURE_CORE), "times one alone", NULL, 0);
  }
  snprintf(name, sizeof name, "%s, %s, %d, allocations", what, c->balancer->name, c->size);
  figure(json, name, (double)m->allocations, "", NULL, 0);
}

static void report_cases(FILE *json, const struct measured *m) {
  printf(
      "ns a pick, with its report where the balancer goes by load: alone, and the slower of two "
      "processes at once,\neach on a core of its own (the least of %d rounds that overlapped for "
      "nine tenths); its ratio to alone, and\nbeside it that of two loops that share nothing: of "
      "arithmetic, and of loads from memory of their own\n"
      "%-21s %6s %9s %11s %6s %6s %6s %6s\n",
      MEASURE_ROUNDS, "balancer", "of", "alone", "at once", "ratio", "core", "memory", "alloc.");
  for (int i = 0; cases[i].balancer; i++)
    report_case(json, &cases[i], &m[i]);
}

/* What is asked of each balancer. Of many endpoints: */
static const struct limit {
  const struct select_balancer *balancer;
  double ns;
} limits[] = {{&select_random, 100}, {&select_weighted, 150}, {&select_p2c_ewma, 300}};

static void judge_sizes(const struct select_balancer *b, const struct measured m[SIZES]) {
  char name[64];
  uint64_t allocated = 0;
  verdict(m[1].alone_ns / m[0].alone_ns, 1.25, "times", "%s, %d endpoints against %d", b->name,
          sizes[1], sizes[0]);
  for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
    if (limits[i].balancer == b)
      verdict(m[2].alone_ns, limits[i].ns, "ns", "%s, %d endpoints", b->name, sizes[2]);
  for (int i = 0; i < SIZES; i++) {
    snprintf(name, sizeof name, "%s, %d endpoints", b->name, sizes[i]);
    verdict_at_once(&m[i], name);
    allocated += m[i].allocations;
  }
  verdict((double)allocated, 0, "", "%s, allocations", b->name);
}

/* Half of what a peer takes, or a third where that is over 50 ns. */
static void judge_peers(const struct select_balancer *b, const struct measured *few) {
  for (size_t i = 0; i < PEERS; i++)
    if (peers[i].balancer == b)
      verdict(few->alone_ns, peers[i].ns / (peers[i].ns > 50 ? 3 : 2), "ns", "%s, %s %.0f ns",
              b->name, peers[i].name, peers[i].ns);
}

static void judge(const struct measured *m) {
  printf("\n");
  for (int i = 0; cases[i].balancer; i += SIZES) {
    judge_sizes(cases[i].balancer, &m[i]);
    judge_peers(cases[i].balancer, &m[i]);
  }
}

/* `most_ms` 0: nothing is asked of them. */
static void time_tables(FILE *json, const char *balancer, uint32_t count, double most_ms) {
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
    double begun = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    must(catalog_tables_build(&t), balancer);
    lower(&least, (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begun) / 1e6);
    catalog_tables_end(&t);
  }
  snprintf(name, sizeof name, "tables, %s, of %u endpoints", balancer, count);
  if (most_ms > 0)
    verdict(least, most_ms, "ms", "%s", name);
  else
    printf("%-80s %10.2f ms\n", name, least);
  figure(json, name, least, "ms", NULL, 0);
  free(weights);
  free(ids);
  free(texts);
  free(alias);
}

/* The agent's heart, without which its sums are not looked at. */
static void beat(void *arg) {
  struct timespec pause = {.tv_nsec = 100000000};
  catalog_tick(((struct bench *)arg)->writer);
  nanosleep(&pause, NULL);
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "ae") : NULL;
  char dir[] = "/dev/shm/perigee-bench-XXXXXX";
  struct catalog_writer *w;
  int count = list_cases(json ? argv + argc : argv + 1);
  must(mkdtemp(dir) ? 0 : -errno, dir);
  must(catalog_writer_open(dir, &w, NULL), "catalog_writer_open");
  for (int i = 0; i < SIZES; i++)
    publish(w, sizes[i]);
  struct bench b = {dir, w};
  const struct measured *m = measure(&(struct measure){
      .open = open_services, .run = run, .meanwhile = beat, .arg = &b, .cases = count});
  report_cases(json, m);
  judge(m);
  time_tables(json, "weighted", 10000, 1); /* the alias table, which every block has */
  time_tables(json, "maglev", 655, 3);     /* 65537 cells */
  time_tables(json, "weighted_round_robin", 1000, 0);
  time_tables(json, "ring", 655, 0);
  time_tables(json, "rendezvous", 10, 0);
  time_tables(json, "rendezvous", 655, 0);
  catalog_writer_close(w);
  remove_dir(dir);
  if (json)
    fclose(json);
  return 0;
}

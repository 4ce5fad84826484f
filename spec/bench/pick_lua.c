/* What a pick costs when a plugin makes it, beside the balancers in C: the same file, the same
 * endpoints, the same client code around it. The least of some runs. `--json FILE`. */
#include "base/value.h"
#include "base/fault.h"
#include "catalog/writer.h"
#include "client/perigee.h"
#include "vm/pick/pick_rules.h"
#include "vm/pick/picker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 7, RUN_NS = 20000000, WARM_UP = 20000 };

static FILE *json;

struct plugin_case {
  const char *name, *source;
  const char *peer; /* the balancer in C that does about the same */
  bool keyed;
};

#define PLUGIN(pick)                                                                               \
  "return { kind = 'balancer', summary = 'bench', pick = function(view, key)\n" pick "\nend }"

static const struct plugin_case cases[] = {
    {"the first", PLUGIN("return 1"), "pick_first", false},
    {"any, by chance", PLUGIN("return math.random(#view)"), "random", false},
    {"by the key's hash", PLUGIN("return view:hash(#view)"), "maglev", true},
    {"the lesser load of two",
     PLUGIN("local a, b = math.random(#view), math.random(#view)\n"
            "return view:in_flight(a) <= view:in_flight(b) and a or b"),
     "least_request", false},
    {"the least load of all",
     PLUGIN("local best, least = 1, math.huge\n"
            "for i = 1, #view do\n"
            "  local load = (view:in_flight(i) + 1) / view:weight(i)\n"
            "  if load < least then best, least = i, load end\n"
            "end\n"
            "return best"),
     NULL, false},
    {"any with a tag",
     PLUGIN("local n = math.random(#view)\n"
            "for i = n, #view do if view:has(i, 'v2') then return i end end"),
     NULL, false},
    {"declined: the standin", PLUGIN("return nil"), NULL, false},
};

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(int r, const char *what) {
  if (r < 0) {
    fprintf(stderr, "pick_lua: %s: %s\n", what, strerror(-r));
    exit(1);
  }
}

static void publish(struct catalog_writer *w, const char *service, const char *balancer,
                    int count) {
  struct catalog_endpoint *e = calloc((size_t)count, sizeof *e);
  char(*ids)[32] = calloc((size_t)count, sizeof *ids);
  static const char *const tags[] = {"v1", "v2"};
  if (!e || !ids)
    must(-ENOMEM, "endpoints");
  for (int i = 0; i < count; i++) {
    snprintf(ids[i], sizeof ids[i], "web-%d", i);
    e[i] = (struct catalog_endpoint){.address = "10.0.0.1",
                                     .id = ids[i],
                                     .port = 80,
                                     .weight = 1 + i % 4,
                                     .tags = tags,
                                     .tag_count = 2};
    must(catalog_slot_take(w, &e[i].slot, &e[i].slot_generation), "slot");
  }
  const struct catalog_snapshot s = {.service = service,
                                     .balancer = balancer,
                                     .endpoints = e,
                                     .count = (size_t)count,
                                     .moves_version = 1};
  must(catalog_publish(w, &s, NULL), service);
  free(e);
  free(ids);
}

static void pick_many(struct perigee_service *s, uint64_t picks, bool keyed) {
  struct perigee_endpoint e;
  char key[16];
  struct perigee_pick_options options = {.size = sizeof options, .flags = PERIGEE_NO_REPORT};
  if (keyed)
    options.key = key;
  for (uint64_t i = 0; i < picks; i++) {
    if (keyed) /* of a thousand keys */
      options.key_length = (size_t)snprintf(key, sizeof key, "user-%d", (int)(i % 1000));
    must(perigee_pick(s, &options, &e), "pick");
  }
}

static double measure(struct perigee_service *s, bool keyed) {
  uint64_t picks = 16;
  double least = 0, took;
  pick_many(s, WARM_UP, keyed);
  do {
    picks *= 2;
    double begun = now_ns();
    pick_many(s, picks, keyed);
    took = now_ns() - begun;
  } while (took < RUN_NS);
  for (int run = 0; run < RUNS; run++) {
    double begun = now_ns();
    pick_many(s, picks, keyed);
    took = (now_ns() - begun) / (double)picks;
    least = run == 0 || took < least ? took : least;
  }
  return least;
}

static void report(const char *name, int count, double ns, const char *peer, double peer_ns) {
  char whole[100];
  snprintf(whole, sizeof whole, "pick in Lua: %s of %d", name, count);
  printf("%-44s %8.1f ns", whole, ns);
  if (peer)
    printf("   %s in C: %.1f ns", peer, peer_ns);
  printf("\n");
  if (!json)
    return;
  fprintf(json, "{\"name\": \"%s\", \"value\": %.1f, \"unit\": \"ns\"", whole, ns);
  if (peer)
    fprintf(json, ", \"peer\": \"%s in C\", \"peer_value\": %.1f, \"ratio\": %.2f", peer, peer_ns,
            ns / peer_ns);
  fprintf(json, "}\n");
}

static void bench(struct catalog_writer *w, struct perigee *p, struct pickers *pickers,
                  struct pick_rules *rules, const struct plugin_case *c, int count) {
  struct perigee_service *s, *peer;
  const struct isolate_limits limits = {.compiled = true};
  double peer_ns = 0;
  publish(w, "web", "p2c_ewma", count);
  struct value *parts = value_table();
  value_set(parts, "source", value_text(c->source, strlen(c->source)));
  struct pick_rule *rule = pick_rule_new("bench", "bench.lua", parts, "", &limits, NULL);
  if (!rule)
    must(-ENOMEM, "rule");
  must(pick_rules_publish(rules, &(struct pick_use){"web", rule}, 1), "publish");
  must(perigee_service_open(p, "web", &s), "open");
  pickers_bind(pickers, "web", s);
  double ns = measure(s, c->keyed);
  if (atomic_load(&rule->counts[0].faults) || !atomic_load(&rule->counts[0].picks)) {
    char text[300];
    pick_rule_blamed(rule, text, sizeof text);
    fprintf(stderr, "pick_lua: %s: %s\n", c->name, text);
    exit(1);
  }
  if (c->peer) {
    publish(w, "peer", c->peer, count);
    must(perigee_service_open(p, "peer", &peer), "open");
    peer_ns = measure(peer, c->keyed);
    perigee_service_close(peer);
  }
  report(c->name, count, ns, c->peer, peer_ns);
  perigee_service_close(s);
  pick_rule_unref(rule);
}

int main(int argc, char **argv) {
  static const int sizes[] = {10, 1000};
  char dir[] = "/tmp/perigee-bench-XXXXXX", command[64];
  struct catalog_writer *w;
  struct perigee *p;
  uv_loop_t loop;
  int pid;
  for (int i = 1; i + 1 < argc; i += 2)
    if (strcmp(argv[i], "--json") == 0)
      json = fopen(argv[i + 1], "w");
  if (!mkdtemp(dir))
    must(-errno, "mkdtemp");
  must(catalog_writer_open(dir, &w, &pid), "catalog");
  must(perigee_open(&p, dir), "perigee_open");
  uv_loop_init(&loop);
  struct pick_rules *rules = pick_rules_new(NULL, NULL);
  struct pickers *pickers =
      pickers_new(&(struct pickers_with){.rules = rules, .loop = &loop, .library = "."});
  if (!rules || !pickers)
    must(-ENOMEM, "pickers");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
      bench(w, p, pickers, rules, &cases[i], sizes[k]);
  pickers_end(pickers);
  pickers_free(pickers);
  pick_rules_free(rules);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
  perigee_close(p);
  catalog_writer_close(w);
  snprintf(command, sizeof command, "rm -r %s", dir);
  return system(command) != 0 || (json && fclose(json) != 0);
}

/* What a pick costs when a plugin makes it, beside the balancers in C: the same file, the same
 * endpoints, the same client code around it. measure.h says how it is measured. `--json FILE`
 * appends the figures. */
#include "base/fault.h"
#include "base/value.h"
#include "bench/measure.h"
#include "catalog/writer.h"
#include "client/perigee.h"
#include "vm/pick/pick_rules.h"
#include "vm/pick/picker.h"

static const struct plugin_case {
  const char *name, *source;
  const char *peer; /* the balancer in C that does about the same */
  bool keyed;
} plugins[] = {
#define PLUGIN(pick)                                                                               \
  "return { kind = 'balancer', summary = 'bench', pick = function(view, key)\n" pick "\nend }"
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
enum { PLUGINS = sizeof plugins / sizeof plugins[0], SIZES = 2, SERVICES = PLUGINS * SIZES };
static const int sizes[SIZES] = {10, 1000};

/* The cases: each plugin at each size, then their peers. One without a peer is its own. */
enum { CASES = 2 * SERVICES };

static const struct plugin_case *plugin_of(int one_of) {
  return &plugins[one_of % SERVICES / SIZES];
}

static void name_of(int one_of, char name[64]) {
  snprintf(name, 64, "%s-%d-%d", one_of < SERVICES ? "plugin" : "peer", one_of % SERVICES / SIZES,
           sizes[one_of % SIZES]);
}

static void publish(struct catalog_writer *w, int one_of) {
  int count = sizes[one_of % SIZES];
  const char *peer = plugin_of(one_of)->peer;
  struct catalog_endpoint *e = calloc((size_t)count, sizeof *e);
  char(*ids)[32] = calloc((size_t)count, sizeof *ids), service[64];
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
  name_of(one_of, service);
  const struct catalog_snapshot s = {.service = service,
                                     .balancer = one_of < SERVICES || !peer ? "p2c_ewma" : peer,
                                     .endpoints = e,
                                     .count = (size_t)count,
                                     .moves_version = 1};
  must(catalog_publish(w, &s, NULL), service);
  free(e);
  free(ids);
}

/* A process of the agent's kind: its isolates, and handles that they pick for. */
struct picking {
  uv_loop_t loop;
  struct perigee_service *services[CASES];
  struct pick_rule *rules[SERVICES];
};

static void *open_services(void *dir) {
  static struct picking picking;
  static char names[CASES][64];
  struct pick_use uses[SERVICES];
  struct perigee *p;
  const struct isolate_limits limits = {.compiled = true};
  uv_loop_init(&picking.loop);
  struct pick_rules *rules = pick_rules_new(NULL, NULL);
  struct pickers *pickers =
      pickers_new(&(struct pickers_with){.rules = rules, .loop = &picking.loop, .library = "."});
  must(rules && pickers ? 0 : -ENOMEM, "pickers");
  must(perigee_open(&p, dir), "perigee_open");
  for (int i = 0; i < CASES; i++) {
    name_of(i, names[i]);
    must(perigee_service_open(p, names[i], &picking.services[i]), names[i]);
    if (i >= SERVICES)
      continue;
    const char *source = plugin_of(i)->source;
    struct value *parts = value_table();
    value_set(parts, "source", value_text(source, strlen(source)));
    picking.rules[i] = pick_rule_new("bench", "bench.lua", parts, "", &limits, NULL);
    uses[i] = (struct pick_use){names[i], picking.rules[i]};
    must(picking.rules[i] ? 0 : -ENOMEM, "a rule");
  }
  must(pick_rules_publish(rules, uses, SERVICES), "publish");
  for (int i = 0; i < SERVICES; i++)
    pickers_bind(pickers, names[i], picking.services[i]);
  return &picking;
}

/* A plugin that fails leaves the picks to its standin, which would be measured in its place. */
static void check(struct pick_rule *rule) {
  char text[300];
  if (!atomic_load(&rule->counts[0].faults) && atomic_load(&rule->counts[0].picks))
    return;
  pick_rule_blamed(rule, text, sizeof text);
  fprintf(stderr, "pick_lua: %s\n", text);
  exit(1);
}

static void run(void *arg, int one_of, uint64_t count) {
  struct picking *picking = arg;
  struct perigee_endpoint e;
  char key[16];
  struct perigee_pick_options options = {.size = sizeof options, .flags = PERIGEE_NO_REPORT};
  bool keyed = plugin_of(one_of)->keyed;
  if (keyed)
    options.key = key;
  for (uint64_t i = 0; i < count; i++) {
    if (keyed) /* of a thousand keys */
      options.key_length = (size_t)snprintf(key, sizeof key, "user-%d", (int)(i % 1000));
    must(perigee_pick(picking->services[one_of], &options, &e), "a pick");
  }
  if (one_of < SERVICES)
    check(picking->rules[one_of]);
}

static void report(FILE *json, const struct measured *m) {
  for (int i = 0; i < SERVICES; i++) {
    const struct plugin_case *c = plugin_of(i);
    char name[100], peer[40] = "";
    double ns = m[i].alone_ns, peer_ns = m[SERVICES + i].alone_ns;
    snprintf(name, sizeof name, "pick in Lua: %s of %d", c->name, sizes[i % SIZES]);
    printf("%-44s %8.1f ns", name, ns);
    if (c->peer) {
      snprintf(peer, sizeof peer, "%s in C", c->peer);
      printf("   %s: %.1f ns", peer, peer_ns);
    }
    printf("\n");
    figure(json, name, ns, "ns", c->peer ? peer : NULL, peer_ns);
  }
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "ae") : NULL;
  char dir[] = "/dev/shm/perigee-bench-XXXXXX";
  struct catalog_writer *w;
  if (argc != 1 && !json) {
    fprintf(stderr, "usage: pick_lua [--json FILE]\n");
    return 2;
  }
  must(mkdtemp(dir) ? 0 : -errno, dir);
  must(catalog_writer_open(dir, &w, NULL), "catalog_writer_open");
  for (int i = 0; i < CASES; i++)
    publish(w, i);
  report(json, measure(&(struct measure){
                   .open = open_services, .run = run, .arg = dir, .cases = CASES, .alone = true}));
  catalog_writer_close(w);
  remove_dir(dir);
  if (json)
    fclose(json);
  return 0;
}

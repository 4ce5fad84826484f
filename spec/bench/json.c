/* From a Consul health answer of 7,000 instances, 8.8 MB after a recorded one, to what can be
 * picked: decoded, compared with what was known, guarded and published; new, the same again, and
 * with one change in it. Beside it, in the same run, what lua-cjson and simdjson take to decode
 * alone. The minimum of several rounds; and the most memory that a round took. `--json FILE` writes
 * the figures. */
#include "base/buf.h"
#include "base/log.h"
#include "base/value.h"
#include "catalog/writer.h"
#include "watch/feed.h"
#include "watch/json_instances.h"
#include "watch/json_map.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { INSTANCES = 7000, ROUNDS = 15 };

int luaopen_cjson(lua_State *L);
bool simdjson_decodes(const char *bytes, size_t length, size_t room);

/* Of this thread's CPU time: nothing here waits, and other processes' turns are not meant. */
static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void must(bool ok, const char *what) {
  if (ok)
    return;
  fprintf(stderr, "json: %s\n", what);
  exit(1);
}

/* ---- the answer ---- */

/* The first element of the recorded list. */
static char *recorded_entry(void) {
  static char text[65536];
  FILE *in = fopen("spec/serve/recorded/health_service_passing.http", "r");
  must(in, "the recorded answer is not here");
  text[fread(text, 1, sizeof text - 1, in)] = '\0';
  fclose(in);
  char *start = strstr(text, "[{"), *end = strstr(text, "]},{\"Node\"");
  must(start && end, "the recorded answer is another one");
  end[2] = '\0';
  return start + 1;
}

/* `entry` with other texts in the places of some. */
static void add_entry(struct buf *out, const char *entry, int i, int port) {
  char id[60], address[40], port_text[16];
  snprintf(id, sizeof id, "web3-instance-eu-west-10-1-%03d-%03d-8080", i >> 8, i & 255);
  snprintf(address, sizeof address, "10.1.%d.%d", i >> 8, i & 255);
  snprintf(port_text, sizeof port_text, "%d", port);
  const struct {
    const char *from, *to;
  } changes[] = {{"web3-0", id}, {"10.1.0.1", address}, {"10000", port_text}};
  while (*entry) {
    size_t k = 0;
    while (k < 3 && strncmp(entry, changes[k].from, strlen(changes[k].from)) != 0)
      k++;
    if (k == 3) {
      buf_char(out, *entry++);
    } else {
      buf_text(out, changes[k].to);
      entry += strlen(changes[k].from);
    }
  }
}

/* `changed`: one of them has another port. */
static void make_answer(struct buf *out, bool changed) {
  const char *entry = recorded_entry();
  for (int i = 0; i < INSTANCES; i++) {
    buf_char(out, i ? ',' : '[');
    add_entry(out, entry, i, changed && i == INSTANCES / 2 ? 9999 : 8080);
  }
  buf_char(out, ']');
  must(buf_reserve(out, JSON_PADDING) == 0, "out of memory");
}

/* ---- the way to a pick ---- */

static struct {
  struct sets *published, *sources;
  struct set *source;
  struct feed *feed;
  struct json_map *map;
} agent;

static void on_source(void *arg, const struct set_published *what) {
  feed_told(agent.feed, 0, what);
}

static double take(const struct buf *answer, size_t published) {
  const struct json_answer wanted = {.bytes = answer->data,
                                     .length = answer->length,
                                     .map = agent.map,
                                     .service = "web",
                                     .lenient = true};
  struct instances list = {0};
  struct json_left_out left_out;
  struct fault f = {0};
  double before = now_ms();
  must(json_instances(&wanted, &list, &left_out, &f) == 0, f.text);
  must(list.count == INSTANCES && left_out.count == 0, "not all of them");
  must(set_replace(agent.source, list.items, list.statuses, list.count) == 0, "not taken");
  instances_free(&list);
  sets_flush(agent.sources);
  must(sets_flush(agent.published) == published, "published another number of snapshots");
  return now_ms() - before;
}

/* Of texts and tables only. */
static struct value *value_on_top(lua_State *L) {
  if (lua_type(L, -1) != LUA_TTABLE)
    return value_text(lua_tostring(L, -1), lua_objlen(L, -1));
  struct value *table = value_table();
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    struct value *item = value_on_top(L);
    must((lua_type(L, -2) == LUA_TNUMBER ? value_append(table, item)
                                         : value_set(table, lua_tostring(L, -2), item)) == 0,
         "out of memory");
  }
  return table;
}

static struct json_map *read_map(lua_State *L) {
  struct json_map *map;
  struct fault f = {0};
  must(luaL_dofile(L, "lua/perigee/consul/map.lua") == 0, lua_tostring(L, -1));
  struct value *declared = value_on_top(L);
  must(json_map_new(declared, &map, &f) == 0, f.text);
  value_unref(declared);
  return map;
}

/* ---- the others ---- */

static double cjson_takes(lua_State *L, const struct buf *answer) {
  lua_settop(L, 0);
  lua_pushcfunction(L, luaopen_cjson);
  lua_call(L, 0, 1);
  lua_getfield(L, -1, "decode");
  lua_pushlstring(L, answer->data, answer->length);
  double before = now_ms();
  must(lua_pcall(L, 1, 1, 0) == 0, "lua-cjson");
  double took = now_ms() - before;
  lua_settop(L, 0);
  lua_gc(L, LUA_GCCOLLECT, 0);
  return took;
}

static double simdjson_takes(const struct buf *answer) {
  double before = now_ms();
  must(simdjson_decodes(answer->data, answer->length, answer->capacity), "simdjson");
  return now_ms() - before;
}

/* ---- the figures ---- */

enum figure { NEW, SAME, CHANGED, CJSON, SIMDJSON, FIGURES };

static void round_of(double *best, lua_State *L, const struct buf *plain, const struct buf *other) {
  char dir[] = "/dev/shm/perigee-bench-XXXXXX", command[64];
  struct catalog_writer *writer;
  const struct feed_rule rule = {.min_endpoints = 1};
  const struct feed_events events = {0};
  double now[FIGURES];
  must(mkdtemp(dir) && catalog_writer_open(dir, &writer, NULL) == 0, "no catalog");
  agent.published = sets_new(writer, NULL, NULL);
  agent.sources = sets_new_apart(on_source, NULL);
  agent.source = sets_open(agent.sources, "web");
  agent.feed = feed_new(sets_open(agent.published, "web"), &rule, &events, NULL);
  now[NEW] = take(plain, 1);
  now[SAME] = take(plain, 0);
  usleep(200 * 1000); /* what has just been published rests for ten times its build time */
  now[CHANGED] = take(other, 1);
  now[CJSON] = cjson_takes(L, plain);
  now[SIMDJSON] = simdjson_takes(plain);
  feed_free(agent.feed);
  sets_free(agent.sources);
  sets_free(agent.published);
  catalog_writer_close(writer);
  snprintf(command, sizeof command, "rm -rf '%s'", dir);
  must(system(command) == 0, "the scratch directory stays");
  for (int i = 0; i < FIGURES; i++)
    best[i] = best[i] == 0 || now[i] < best[i] ? now[i] : best[i];
}

static double resident_mib(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (double)use.ru_maxrss / 1024;
}

static void figure(FILE *json, const char *name, double value, const char *unit, const char *peer,
                   double peer_value) {
  printf("%-66s %8.2f %-4s %-20s %8.2f\n", name, value, unit, peer, peer_value);
  if (json)
    fprintf(json,
            "{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",\"peer\":\"%s\",\"peer_value\":%.3f,"
            "\"ratio\":%.3f}\n",
            name, value, unit, peer, peer_value, value / peer_value);
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "w") : NULL;
  struct buf plain = {0}, other = {0};
  double best[FIGURES] = {0};
  lua_State *L = luaL_newstate();
  log_set_level(LOG_LEVEL_ERROR);
  make_answer(&plain, false);
  make_answer(&other, true);
  agent.map = read_map(L);
  struct instances list = {0};
  struct json_left_out left_out;
  const struct json_answer wanted = {
      .bytes = plain.data, .length = plain.length, .map = agent.map, .service = "web"};
  double before = resident_mib();
  must(json_instances(&wanted, &list, &left_out, NULL) == 0, "not decoded");
  double memory = resident_mib() - before;
  instances_free(&list);
  for (int i = 0; i < ROUNDS; i++)
    round_of(best, L, &plain, &other);
  figure(json, "json: 7,000 instances of Consul's decoded, compared, published", best[NEW], "ms",
         "lua-cjson, decode", best[CJSON]);
  figure(json, "json: the same again, nothing to publish", best[SAME], "ms", "lua-cjson, decode",
         best[CJSON]);
  figure(json, "json: with one change in it (limit 12 ms)", best[CHANGED], "ms", "simdjson, decode",
         best[SIMDJSON]);
  figure(json, "json: memory of decoding them", memory, "MiB", "the answer itself",
         (double)plain.length / (1 << 20));
  json_map_free(agent.map);
  lua_close(L);
  buf_free(&plain);
  buf_free(&other);
  if (json)
    fclose(json);
  return 0;
}

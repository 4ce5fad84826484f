/* What an isolate costs: starting one, with a plugin loaded in it, and the memory that it holds;
 * what a pattern costs in perigee's own matcher, beside LuaJIT's; and how far a busy plugin keeps
 * the loop from a 1 ms timer. `--json FILE`. */
#include "base/fault.h"
#include "base/findings.h"
#include "io/io.h"
#include "vm/isolate/inside.h"
#include "vm/plugin/plugin.h"

#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ISOLATES = 200, BEATS = 200 };

static FILE *json;

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void report(const char *name, double value, const char *unit, const char *peer,
                   double peer_value) {
  printf("%-44s %10.2f %s\n", name, value, unit);
  if (!json)
    return;
  fprintf(json, "{\"name\": \"%s\", \"value\": %g, \"unit\": \"%s\"", name, value, unit);
  if (peer)
    fprintf(json, ", \"peer\": \"%s\", \"peer_value\": %g, \"ratio\": %g", peer, peer_value,
            value / peer_value);
  fprintf(json, "}\n");
}

static void fail(const char *what, const struct fault *f) {
  fprintf(stderr, "%s: %s\n", what, f->text);
  exit(1);
}

/* A state with LuaJIT's standard library, as a peer. */
static double bare_state_us(void) {
  double from = now_us();
  for (int i = 0; i < ISOLATES; i++) {
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    lua_close(L);
  }
  return (now_us() - from) / ISOLATES;
}

static void bench_start(struct vm *vm) {
  struct plugin *plugins[ISOLATES];
  struct isolate_stats s;
  struct fault f = {0};
  struct isolate *iso;
  double from = now_us();
  for (int i = 0; i < ISOLATES; i++) {
    if (isolate_new(vm, "bench", NULL, &iso, &f) != 0)
      fail("isolate_new", &f);
    isolate_free(iso);
  }
  double made = (now_us() - from) / ISOLATES;
  from = now_us();
  for (int i = 0; i < ISOLATES; i++)
    if (plugin_load(vm, "check", "http", "plugins/check/http.lua", NULL, &plugins[i], &f) != 0)
      fail("plugin_load", &f);
  double loaded = (now_us() - from) / ISOLATES;
  isolate_stats(plugin_isolate(plugins[0]), &s);
  for (int i = 0; i < ISOLATES; i++)
    plugin_free(plugins[i]);
  report("isolate: made and ended", made, "us", "luaL_newstate, openlibs, close", bare_state_us());
  report("isolate: plugin loaded (check/http)", loaded, "us", NULL, 0);
  report("isolate: memory with it", (double)s.memory / 1024, "KiB", NULL, 0);
}

/* The same patterns by both matchers, interpreted. */
static double pattern_ns(lua_State *L) {
  static const char source[] =
      "local text = ('name = value; other = 42; '):rep(40)\n"
      "for i = 1, 300 do\n"
      "  text:find('^%s*(%w+)%s*=') text:match('other = (%d+); $') text:gsub('%w+', '%0')\n"
      "  for k, v in text:gmatch('(%w+) = (%w+)') do k = v end\n"
      "end";
  double best = 1e18;
  for (int i = 0; i < 5; i++) {
    double from = now_us();
    if (luaL_dostring(L, source) != 0) {
      fprintf(stderr, "%s\n", lua_tostring(L, -1));
      exit(1);
    }
    double took = (now_us() - from) * 1e3 / 300;
    best = took < best ? took : best;
  }
  return best;
}

static void bench_patterns(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
  double theirs = pattern_ns(L);
  string_bound(L);
  report("patterns: 4 on 1 KB of text", pattern_ns(L) / 1e3, "us", "LuaJIT's own", theirs / 1e3);
  lua_close(L);
}

struct beating {
  double last_us, longest_us;
  int left;
};

static void on_beat(uv_timer_t *timer) {
  struct beating *b = timer->data;
  double now = now_us(), gap = now - b->last_us;
  b->last_us = now;
  b->longest_us = gap > b->longest_us ? gap : b->longest_us;
  if (--b->left == 0)
    uv_stop(timer->loop);
}

static void on_over(void *arg, const struct call_result *result) {
  (void)arg;
  (void)result;
}

static double longest_gap_ms(uv_loop_t *loop) {
  uv_timer_t timer;
  struct beating b = {.last_us = now_us(), .left = BEATS};
  uv_timer_init(loop, &timer);
  timer.data = &b;
  uv_timer_start(&timer, on_beat, 1, 1);
  uv_run(loop, UV_RUN_DEFAULT);
  uv_close((uv_handle_t *)&timer, NULL);
  uv_run(loop, UV_RUN_NOWAIT);
  return b.longest_us / 1e3;
}

static void bench_busy(struct vm *vm, uv_loop_t *loop) {
  char path[] = "/tmp/perigee-bench-XXXXXX";
  static const char source[] = "return { kind = 'check', summary = 'busy', run = function()\n"
                               "  local n = 0 while true do n = n + 1 end end }";
  const struct isolate_limits limits = {.turn_ns = 3600 * 1000000000LL};
  struct findings findings = {0};
  struct attachment *use;
  struct plugin *p;
  struct fault f = {0};
  int fd = mkstemp(path);
  if (fd < 0 || write(fd, source, sizeof source - 1) < 0 ||
      plugin_load(vm, "check", "busy", path, &limits, &p, &f) != 0 ||
      plugin_attach(p, NULL, "bench", &use, &findings) != 0)
    fail("the busy plugin", &f);
  close(fd);
  unlink(path);
  double idle = longest_gap_ms(loop);
  attachment_call(use, "run", NULL, on_over, NULL, 0, NULL);
  report("loop: longest wait of a timer, one busy plugin", longest_gap_ms(loop), "ms", "idle",
         idle);
  attachment_free(use);
  plugin_free(p);
}

int main(int argc, char **argv) {
  uv_loop_t loop;
  struct io *io;
  struct vm *vm;
  struct fault f = {0};
  for (int i = 1; i + 1 < argc; i += 2)
    if (strcmp(argv[i], "--json") == 0)
      json = fopen(argv[i + 1], "w");
  uv_loop_init(&loop);
  struct vm_config config = {.loop = &loop, .library = "."};
  if (io_new(&loop, &io) != 0)
    return 1;
  config.io = io;
  if (vm_new(&config, &vm, &f) != 0)
    fail("vm_new", &f);
  bench_start(vm);
  bench_patterns();
  bench_busy(vm, &loop);
  vm_free(vm);
  io_free(io);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
  return json && fclose(json) != 0;
}

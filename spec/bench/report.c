/* What a pick with its report costs: p2c, with the agent's loop reading the page beside it as it
 * does in life, in one process and in two at once. The minimum of some runs, each shorter than a
 * time slice. `--json FILE` appends the figures. */
#include "agent/feedback.h"
#include "agent/live.h"
#include "base/fault.h"
#include "base/value.h"
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

enum { RUNS = 15, CALLS = 30000, SIZES = 3, TWO = 2 };
static const int sizes[SIZES] = {10, 1000, 100000};

struct figures {
  double ns[SIZES];
};

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(int r, const char *what) {
  if (r < 0) {
    fprintf(stderr, "report: %s: %s\n", what, strerror(-r));
    exit(1);
  }
}

static struct live *live;

static void on_published(void *arg, const struct set_published *what) {
  live_published(live, what);
}

static void publish(struct sets *sets, int count) {
  char name[32], id[32], address[32];
  struct fault f;
  snprintf(name, sizeof name, "web-%d", count);
  struct set *s = sets_open(sets, name);
  struct value *balancer = value_text("p2c", 3);
  must(s && balancer ? set_balancer(s, balancer, &f) : -ENOMEM, name);
  for (int i = 0; i < count; i++) {
    snprintf(id, sizeof id, "%d", i);
    snprintf(address, sizeof address, "10.%d.%d.%d", i >> 16 & 255, i >> 8 & 255, i & 255);
    struct instance_draft draft = {
        .id = id, .service = name, .address = address, .port = 80, .weight = 1};
    struct instance *in = instance_new(&draft);
    must(in ? set_put(s, in, STATUS_PASSING) : -ENOMEM, "an endpoint");
    instance_unref(in);
  }
  value_unref(balancer);
  sets_flush(sets);
}

static double time_calls(struct perigee_service *s) {
  struct perigee_endpoint e;
  int failed = 0;
  double begun = now_ns();
  for (int i = 0; i < CALLS; i++) {
    failed += perigee_pick(s, NULL, &e) != 0;
    failed += perigee_done(s, &e, PERIGEE_SUCCESS, 1000000 + (uint64_t)(i & 1023)) != 0;
  }
  double ns = (now_ns() - begun) / CALLS;
  must(failed ? -EIO : 0, "a pick or a report failed");
  return ns;
}

static void measure(const char *dir, int ready, int go, struct figures *f) {
  struct perigee *p;
  char byte = 0, name[32];
  struct perigee_service *s[SIZES];
  must(perigee_open(&p, dir), "perigee_open");
  for (int i = 0; i < SIZES; i++) {
    snprintf(name, sizeof name, "web-%d", sizes[i]);
    must(perigee_service_open(p, name, &s[i]), name);
    for (int k = 0; k < 10; k++) /* all cells exist before it counts */
      time_calls(s[i]);
  }
  if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
    exit(1);
  for (int run = 0; run < RUNS; run++)
    for (int i = 0; i < SIZES; i++) {
      double ns = time_calls(s[i]);
      f->ns[i] = f->ns[i] == 0 || ns < f->ns[i] ? ns : f->ns[i];
    }
  for (int i = 0; i < SIZES; i++)
    perigee_service_close(s[i]);
  perigee_close(p);
}

static void on_second(uv_timer_t *timer) {
  catalog_tick(timer->data);
}

static void run_loop(uv_loop_t *loop, int count) {
  for (int left = count; left > 0;) {
    int status = 0;
    uv_run(loop, UV_RUN_NOWAIT);
    struct timespec ms = {.tv_nsec = 1000000};
    nanosleep(&ms, NULL);
    pid_t pid = waitpid(-1, &status, WNOHANG);
    must(pid > 0 && status ? -ECHILD : 0, "a child failed");
    left -= pid > 0;
  }
}

static void run_processes(uv_loop_t *loop, const char *dir, int count, struct figures *f) {
  int ready[2], go[2];
  char bytes[TWO] = "";
  if (pipe(ready) < 0 || pipe(go) < 0)
    must(-errno, "pipe");
  for (int i = 0; i < count; i++) {
    pid_t pid = fork();
    must(pid < 0 ? -errno : 0, "fork");
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
  run_loop(loop, count);
  for (int i = 0; i < 2; i++) {
    close(ready[i]);
    close(go[i]);
  }
}

static void line(FILE *json, const char *name, double value, const char *peer, double peer_value) {
  printf("%-44s %7.2f ns   %s %.2f, ratio %.2f\n", name, value, peer, peer_value,
         value / peer_value);
  if (json)
    fprintf(json,
            "{\"name\": \"%s\", \"value\": %.3f, \"unit\": \"ns\", \"peer\": \"%s\", "
            "\"peer_value\": %.3f, \"ratio\": %.3f}\n",
            name, value, peer, peer_value, value / peer_value);
}

static void print(FILE *json, const struct figures *one, const struct figures *two) {
  char name[80];
  for (int i = 0; i < SIZES; i++) {
    snprintf(name, sizeof name, "p2c pick and report, %d endpoints", sizes[i]);
    line(json, name, one->ns[i], "the aim", 300);
  }
  for (int i = 0; i < SIZES; i++) {
    double a = two[0].ns[i], b = two[1].ns[i];
    snprintf(name, sizeof name, "p2c pick and report, %d, the slower of two", sizes[i]);
    line(json, name, a > b ? a : b, "one process alone", one->ns[i]);
  }
}

static void remove_dir(const char *dir) {
  static const char *const names[] = {"catalog", "lock", FEEDBACK_SOCKET};
  char path[128];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "%s/%s", dir, names[i]);
    unlink(path);
  }
  rmdir(dir);
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "ae") : NULL;
  char dir[] = "/dev/shm/perigee-bench-XXXXXX";
  uv_loop_t loop;
  uv_timer_t second;
  struct catalog_writer *w;
  struct feedback *feedback;
  struct fault f;
  if (argc != 1 && !json) {
    fprintf(stderr, "usage: report [--json FILE]\n");
    return 2;
  }
  must(mkdtemp(dir) ? 0 : -errno, dir);
  struct figures *figures =
      mmap(NULL, 3 * sizeof *figures, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must(figures == MAP_FAILED ? -errno : 0, "mmap");
  uv_loop_init(&loop);
  must(catalog_writer_open(dir, &w, NULL), "catalog_writer_open");
  struct sets *sets = sets_new(w, on_published, NULL);
  live = live_new(&loop, w, sets);
  must(live ? feedback_new(&loop, dir, live, &feedback, &f) : -ENOMEM, "feedback_new");
  uv_timer_init(&loop, &second);
  second.data = w;
  uv_timer_start(&second, on_second, 500, 500);
  for (int i = 0; i < SIZES; i++)
    publish(sets, sizes[i]);
  run_processes(&loop, dir, 1, figures);
  run_processes(&loop, dir, TWO, figures + 1);
  print(json, figures, figures + 1);
  feedback_free(feedback);
  live_free(live);
  uv_close((uv_handle_t *)&second, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  sets_free(sets);
  catalog_writer_close(w);
  remove_dir(dir);
  if (json)
    fclose(json);
  return 0;
}

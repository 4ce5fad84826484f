/* What a pick with its report costs, and perigee_call around one: p2c over weights of 1 to 4, with
 * the agent's loop reading the page beside it as it does in life. measure.h says how it is
 * measured, alone and in two processes at once. `--json FILE` appends the figures. */
#include "agent/feedback.h"
#include "agent/live.h"
#include "base/fault.h"
#include "base/value.h"
#include "bench/measure.h"
#include "catalog/writer.h"
#include "client/perigee.h"

enum { SIZES = 3 };
static const int sizes[SIZES] = {10, 1000, 100000};

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
        .id = id, .service = name, .address = address, .port = 80, .weight = 1 + i % 4};
    struct instance *in = instance_new(&draft);
    must(in ? set_put(s, in, STATUS_PASSING) : -ENOMEM, "an endpoint");
    instance_unref(in);
  }
  value_unref(balancer);
  sets_flush(sets);
}

/* The cases: a pick and its report for each size, then a call of the first. */
enum { CALL = SIZES, CASES };

static void pick(struct perigee_service *s, uint64_t count) {
  struct perigee_endpoint e;
  for (uint64_t i = 0; i < count; i++) {
    must(perigee_pick(s, NULL, &e), "a pick");
    must(perigee_done(s, &e, PERIGEE_SUCCESS, 1000000 + (i & 1023)), "a report");
  }
}

static int succeed(void *arg, const struct perigee_endpoint *endpoint, uint64_t deadline_ns,
                   char *message, size_t size) {
  return PERIGEE_SUCCESS;
}

static void call(struct perigee_service *s, uint64_t count) {
  for (uint64_t i = 0; i < count; i++)
    must(perigee_call(s, NULL, succeed, NULL, NULL), "a call");
}

static void run(void *opened, int one_of, uint64_t count) {
  struct perigee_service **services = opened;
  if (one_of == CALL)
    call(services[0], count);
  else
    pick(services[one_of], count);
}

struct bench {
  const char *dir;
  uv_loop_t loop;
};

static void *open_services(void *arg) {
  static struct perigee_service *services[SIZES];
  const struct bench *b = arg;
  struct perigee *p;
  char name[32];
  must(perigee_open(&p, b->dir), "perigee_open");
  for (int i = 0; i < SIZES; i++) {
    snprintf(name, sizeof name, "web-%d", sizes[i]);
    must(perigee_service_open(p, name, &services[i]), name);
    run(services, i, 4ull * (uint64_t)sizes[i]); /* all cells exist before it counts */
  }
  return services;
}

static void on_second(uv_timer_t *timer) {
  catalog_tick(timer->data);
}

/* A turn of the agent's loop. */
static void turn(void *arg) {
  struct timespec ms = {.tv_nsec = 1000000};
  uv_run(&((struct bench *)arg)->loop, UV_RUN_NOWAIT);
  nanosleep(&ms, NULL);
}

static void line(FILE *json, const char *name, double value, const char *peer, double peer_value) {
  printf("%-58s %7.2f ns   %s %.2f, ratio %.2f\n", name, value, peer, peer_value,
         value / peer_value);
  figure(json, name, value, "ns", peer, peer_value);
}

static void print(FILE *json, const struct measured *m) {
  char name[80];
  for (int i = 0; i < CASES; i++) {
    const char *what = i == CALL ? "perigee_call around a p2c pick" : "p2c pick and report";
    int size = i == CALL ? sizes[0] : sizes[i];
    snprintf(name, sizeof name, "%s, %d endpoints", what, size);
    if (i == CALL)
      line(json, name, m[i].alone_ns, "the pick and report in it", m[0].alone_ns);
    else
      line(json, name, m[i].alone_ns, "the aim", 300);
    snprintf(name, sizeof name, "%s, %d, the slower of two", what, size);
    if (measured_slower(&m[i]) > 0)
      line(json, name, measured_slower(&m[i]), "one process alone", m[i].alone_ns);
  }
  measured_print_machine(m, CASES);
}

/* What is asked of them; go-kit's Retry took 1,800 ns on another machine. */
static void judge(const struct measured *m) {
  char name[64];
  printf("\n");
  verdict(m[1].alone_ns / m[0].alone_ns, 1.25, "times", "p2c with its report, %d against %d",
          sizes[1], sizes[0]);
  verdict(m[2].alone_ns, 300, "ns", "p2c with its report, %d endpoints", sizes[2]);
  verdict(m[CALL].alone_ns, 1800.0 / 3, "ns", "perigee_call, go-kit's Retry, elsewhere 1800 ns");
  for (int i = 0; i < CASES; i++) {
    snprintf(name, sizeof name, "%s, %d endpoints", i == CALL ? "perigee_call" : "p2c",
             sizes[i % SIZES]);
    verdict_at_once(&m[i], name);
    verdict((double)m[i].allocations, 0, "", "%s, allocations", name);
  }
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "ae") : NULL;
  char dir[] = "/dev/shm/perigee-bench-XXXXXX";
  struct bench b = {.dir = dir};
  uv_timer_t second;
  struct catalog_writer *w;
  struct feedback *feedback;
  struct fault f;
  if (argc != 1 && !json) {
    fprintf(stderr, "usage: report [--json FILE]\n");
    return 2;
  }
  must(mkdtemp(dir) ? 0 : -errno, dir);
  uv_loop_init(&b.loop);
  must(catalog_writer_open(dir, &w, NULL), "catalog_writer_open");
  struct sets *sets = sets_new(w, on_published, NULL);
  live = live_new(&b.loop, w, sets);
  must(live ? feedback_new(&b.loop, dir, live, &feedback, &f) : -ENOMEM, "feedback_new");
  uv_timer_init(&b.loop, &second);
  second.data = w;
  uv_timer_start(&second, on_second, 500, 500);
  for (int i = 0; i < SIZES; i++)
    publish(sets, sizes[i]);
  const struct measured *m = measure(&(struct measure){
      .open = open_services, .run = run, .meanwhile = turn, .arg = &b, .cases = CASES});
  print(json, m);
  judge(m);
  feedback_free(feedback);
  live_free(live);
  uv_close((uv_handle_t *)&second, NULL);
  uv_run(&b.loop, UV_RUN_DEFAULT);
  sets_free(sets);
  catalog_writer_close(w);
  remove_dir(dir);
  if (json)
    fclose(json);
  return 0;
}

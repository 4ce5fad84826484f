/* simulate [--seconds N] [--seed N] [--svg FILE]: each of select/'s balancers, the real code with a
 * virtual clock, through the story in run.h: each process alone, with the host's feedback, and with
 * outliers ejected as well.
 * Prints a line a run. The same seed gives the same figures on every run. */
#include "chart.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BALANCERS_MAX = 32, SECONDS = 20 };

struct arguments {
  uint32_t seconds;
  uint64_t seed;
  const char *svg;
};

static int refuse(void) {
  fprintf(stderr, "usage: simulate [--seconds 1-%d] [--seed N] [--svg FILE]\n", RUN_SECONDS_MAX);
  return 2;
}

/* A whole number from `least` to `most`. */
static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *value) {
  char *end;
  errno = 0;
  *value = strtoull(text, &end, 10);
  return errno == 0 && *text >= '0' && *text <= '9' && !*end && *value >= least && *value <= most;
}

static bool read_arguments(int argc, char **argv, struct arguments *a) {
  *a = (struct arguments){.seconds = SECONDS, .seed = 1};
  for (int i = 1; i < argc; i += 2) {
    uint64_t value;
    if (i + 1 == argc)
      return false;
    if (strcmp(argv[i], "--svg") == 0)
      a->svg = argv[i + 1];
    else if (strcmp(argv[i], "--seed") == 0 && read_number(argv[i + 1], 0, UINT64_MAX, &value))
      a->seed = value;
    else if (strcmp(argv[i], "--seconds") == 0 &&
             read_number(argv[i + 1], 1, RUN_SECONDS_MAX, &value))
      a->seconds = (uint32_t)value;
    else
      return false;
  }
  return true;
}

static void print_line(const char *name, const char *knows, const struct run_result *r) {
  printf("%-22s %-6s %9llu %9llu %7llu %8llu %8.2f %8.2f %7llu %7llu %7llu\n", name, knows,
         (unsigned long long)r->calls, (unsigned long long)r->answered,
         (unsigned long long)r->errors, (unsigned long long)r->timeouts, r->p50_ms, r->p99_ms,
         (unsigned long long)r->slow, (unsigned long long)r->failing, (unsigned long long)r->fresh);
  fflush(stdout);
}

static int run_all(const struct select_balancer *balancer, const struct arguments *a,
                   struct chart_line *line) {
  struct run_settings settings = {.balancer = balancer, .seed = a->seed, .seconds = a->seconds};
  line->name = balancer->name;
  for (int i = 0; i < RUN_KINDS; i++) {
    settings.knowledge = (enum run_knowledge)i;
    struct run_result *result = &line->results[i];
    int r = run_balancer(&settings, result);
    if (r == 0 && (result->unreported != 0 ||
                   result->calls != result->answered + result->errors + result->timeouts)) {
      fprintf(stderr, "simulate: %s lost count of its calls\n", balancer->name);
      return -EPROTO;
    }
    if (r < 0)
      return r;
    print_line(balancer->name, run_names[i], result);
  }
  return 0;
}

int main(int argc, char **argv) {
  struct arguments a;
  struct chart_line lines[BALANCERS_MAX];
  unsigned count = 0;
  if (!read_arguments(argc, argv, &a))
    return refuse();
  printf("%-22s %-6s %9s %9s %7s %8s %8s %8s %7s %7s %7s\n", "balancer", "knows", "calls",
         "answered", "errors", "timeouts", "p50 ms", "p99 ms", "slow", "failing", "new");
  const struct select_balancer *balancer;
  int r = 0;
  for (; r == 0 && count < BALANCERS_MAX && (balancer = select_at(count)); count++)
    r = run_all(balancer, &a, &lines[count]);
  if (r == 0 && a.svg)
    r = chart_write(a.svg, lines, count);
  if (r < 0)
    fprintf(stderr, "simulate: %s\n", strerror(-r));
  return r < 0;
}

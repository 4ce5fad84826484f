/* How many instructions a pick executes, and its report where the balancer needs one: counted by
 * stepping through some in a process of its own, so also where the kernel lets nobody have a
 * counter. Without what the loop around them takes. `--json FILE` appends the figures. */
#include "bench/picks.h"

#include "catalog/writer.h"
#include "client/perigee.h"
#include "select/select.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

enum { SIZES = 2, PICKS = 16, STEPS_MAX = 1000000 };
static const int sizes[SIZES] = {10, 1000};

/* Stops before and after `picks` of them, when the ways there are known. */
static void pick_between_stops(const char *dir, unsigned b, int size, uint64_t picks) {
  struct perigee *p;
  struct perigee_service *s;
  char name[64];
  must(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? -errno : 0, "ptrace");
  snprintf(name, sizeof name, "%s-%d", select_at(b)->name, size);
  must(perigee_open(&p, dir), "perigee_open");
  must(perigee_service_open(p, name, &s), name);
  pick_many(s, select_at(b), 4ull * (uint64_t)size);
  raise(SIGSTOP);
  pick_many(s, select_at(b), picks);
  raise(SIGSTOP);
  _exit(0);
}

static bool stops(pid_t child) {
  int status;
  if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
    must(-ECHILD, "the child has ended");
  return WSTOPSIG(status) == SIGSTOP;
}

static double count_steps(const char *dir, unsigned b, int size, uint64_t picks) {
  int steps = 0;
  pid_t child = fork();
  must(child < 0 ? -errno : 0, "fork");
  if (child == 0)
    pick_between_stops(dir, b, size, picks);
  while (!stops(child))
    ;
  do
    must(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) < 0 ? -errno : 0, "a step");
  while (!stops(child) && ++steps < STEPS_MAX);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  return steps;
}

int main(int argc, char **argv) {
  FILE *json = argc == 3 && strcmp(argv[1], "--json") == 0 ? fopen(argv[2], "ae") : NULL;
  char dir[] = "/dev/shm/perigee-bench-XXXXXX";
  struct catalog_writer *w;
  if (argc != 1 && !json) {
    fprintf(stderr, "usage: instructions [--json FILE]\n");
    return 2;
  }
  must(mkdtemp(dir) ? 0 : -errno, dir);
  must(catalog_writer_open(dir, &w, NULL), "catalog_writer_open");
  for (int i = 0; i < SIZES; i++)
    publish(w, sizes[i]);
  for (unsigned b = 0; select_at(b); b++)
    for (int i = 0; i < SIZES; i++) {
      const char *what = select_at(b)->by_load ? "pick and report" : "pick";
      double around = count_steps(dir, b, sizes[i], 0);
      double each = (count_steps(dir, b, sizes[i], PICKS) - around) / PICKS;
      printf("%s, %s, %d: %.0f instructions\n", what, select_at(b)->name, sizes[i], each);
      if (json)
        fprintf(json, "{\"name\": \"%s, %s, %d\", \"value\": %.1f, \"unit\": \"instr.\"}\n", what,
                select_at(b)->name, sizes[i], each);
    }
  catalog_writer_close(w);
  remove_dir(dir);
  if (json)
    fclose(json);
  return 0;
}

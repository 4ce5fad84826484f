/* What the benches of picks share: operations that are timed in processes that are not the agent.
 *
 * Two processes are made. Each operation runs in the first one alone, and then in both at once,
 * each on a core of its own; a round counts as at once when the two runs overlapped for nine tenths
 * of the longer one. What counts is the time that a process had its core, and of it the least of
 * some rounds, which are shorter than a time slice: the machine may do other things too.
 *
 * The same is done with two loops that share nothing: in the same rounds with one of arithmetic
 * alone, that keeps all of a core busy, and afterwards with one of loads from memory of the
 * process's own. What they lose to each other is the machine's: two cores may be threads of one,
 * now and then where a host moves its guests, and have a cache and a memory together. */
#pragma once

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  MEASURE_ROUNDS = 9,
  MEASURE_LONGEST_NS =
      1500000000, /* until enough of them were at once; a third for the machine's */
  MEASURE_RUN_NS = 1000000,
  MEASURE_CASES = 64,
  MEASURE_MEMORY = 1 << 16, /* lines: 4 MiB, more than a core has for itself */
};

/* The allocations of this program are counted. */
static uint64_t allocations;
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
void *malloc(size_t size) {
  allocations++;
  return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
  allocations++;
  return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
  allocations++;
  return __libc_realloc(old, size);
}

static inline void must(int r, const char *what) {
  if (r < 0) {
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(-r));
    exit(1);
  }
}

static inline double clock_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline double now_ns(void) {
  return clock_ns(CLOCK_MONOTONIC);
}

static inline void lower(double *least, double value) {
  if (*least == 0 || value < *least)
    *least = value;
}

/* What runs in turn; an operation is the bench's own. */
enum measure_loop { MEASURE_OPERATION, MEASURE_CORE, MEASURE_OWN_MEMORY, MEASURE_LOOPS };

struct measured {
  double alone_ns;      /* an operation's */
  double at_once_ns[2]; /* each process's; 0: there is one core only */
  uint64_t allocations; /* in all rounds of the first process */
  struct {
    double alone_ns, at_once_ns[2];
  } machine[MEASURE_LOOPS]; /* the same of the loops that share nothing */
};

/* What is measured: `open` runs in each process and gives what `run` is called with, which does
 * `count` operations of a case. `meanwhile` runs in this process until all have ended. */
struct measure {
  void *(*open)(void *arg);
  void (*run)(void *opened, int one_of, uint64_t count);
  void (*meanwhile)(void *arg);
  void *arg;
  int cases;
  double round_ns; /* of an operation's round; 0: MEASURE_RUN_NS */
  bool alone;      /* nothing is measured in two processes at once */
};

struct measure_shared {
  pthread_barrier_t barrier;
  _Atomic uint64_t arrived[2];
  bool over; /* the case's time */
  double begun[2], ended[2];
  struct measured measured[MEASURE_CASES];
};

/* Loads that wait for each other, in an order that nobody foresees: a cycle through all lines. */
static inline void measure_load(uint64_t count) {
  static struct {
    uint32_t next;
    char unused[60];
  } * lines;
  static uint32_t at;
  if (!lines) {
    lines = mmap(NULL, MEASURE_MEMORY * sizeof *lines, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(lines == MAP_FAILED ? -errno : 0, "mmap");
    for (uint32_t i = 0; i < MEASURE_MEMORY; i++) /* a generator of full period */
      lines[i].next = (i * 1664525u + 1013904223u) % MEASURE_MEMORY;
  }
  for (; count; count--)
    at = lines[at].next;
}

/* As many steps at once as a core has room for: who only waited for one after another would not
 * notice that the core is shared. */
static inline void measure_add(uint64_t count) {
  uint64_t z[8] = {1, 2, 3, 4, 5, 6, 7, 8}, sum = 0;
  for (; count; count--)
    for (int i = 0; i < 8; i++) {
      z[i] += z[i] >> 7 ^ count;
      __asm__ volatile("" : "+r"(z[i])); /* one at a time, each in a register */
    }
  for (int i = 0; i < 8; i++)
    sum += z[i];
  volatile uint64_t sink = sum;
  (void)sink;
}

/* ns of the process's own time for an operation. */
static inline double measure_run(const struct measure *m, void *opened, int one_of,
                                 enum measure_loop loop, uint64_t count) {
  double begun = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  if (loop == MEASURE_OPERATION)
    m->run(opened, one_of, count);
  else if (loop == MEASURE_CORE)
    measure_add(count);
  else
    measure_load(count);
  return (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begun) / (double)count;
}

/* Both begin in the same moment, unless one is made to wait for its core. */
static inline void measure_meet(struct measure_shared *s, int process) {
  pthread_barrier_wait(&s->barrier);
  uint64_t mine = ++s->arrived[process];
  for (double begun = now_ns(); s->arrived[!process] < mine && now_ns() - begun < MEASURE_RUN_NS;)
    ;
}

/* Both decide alike: by numbers that they share. */
static inline bool measure_overlapped(const struct measure_shared *s) {
  double first = s->begun[0] > s->begun[1] ? s->begun[0] : s->begun[1];
  double last = s->ended[0] < s->ended[1] ? s->ended[0] : s->ended[1];
  double one = s->ended[0] - s->begun[0], other = s->ended[1] - s->begun[1];
  return last - first >= 0.9 * (one > other ? one : other);
}

/* One round of both; whether it was at once. */
static inline bool measure_both(const struct measure *m, struct measure_shared *s, int process,
                                void *opened, int one_of, enum measure_loop loop, uint64_t count) {
  struct measured *to = &s->measured[one_of];
  measure_meet(s, process);
  s->begun[process] = now_ns();
  double ns = measure_run(m, opened, one_of, loop, count);
  s->ended[process] = now_ns();
  pthread_barrier_wait(&s->barrier);
  bool counts = measure_overlapped(s);
  if (counts)
    lower(loop ? &to->machine[loop].at_once_ns[process] : &to->at_once_ns[process], ns);
  pthread_barrier_wait(&s->barrier); /* each has read what the other will write again */
  return counts;
}

/* How many take a round's time. */
static inline uint64_t measure_count(const struct measure *m, void *opened, int one_of,
                                     enum measure_loop loop) {
  uint64_t count = 16;
  double ns = !loop && m->round_ns > 0 ? m->round_ns : MEASURE_RUN_NS;
  while (measure_run(m, opened, one_of, loop, count) * (double)count < ns)
    count *= 2;
  return count;
}

/* Rounds of `first`, and of those up to `last` with it, until there are enough of `first`. */
static inline void measure_rounds(const struct measure *m, struct measure_shared *s, int process,
                                  void *opened, int one_of, int first, int last) {
  struct measured *to = &s->measured[one_of];
  uint64_t counts[MEASURE_LOOPS], before;
  for (int loop = first; loop <= last; loop++)
    counts[loop] = measure_count(m, opened, one_of, loop);
  before = allocations;
  double begun = now_ns(), longest = first ? MEASURE_LONGEST_NS / 3.0 : MEASURE_LONGEST_NS;
  bool over = false;
  for (int good = 0; good < MEASURE_ROUNDS && !over;) {
    for (int loop = first; loop <= last; loop++) {
      if (process == 0)
        lower(loop ? &to->machine[loop].alone_ns : &to->alone_ns,
              measure_run(m, opened, one_of, loop, counts[loop]));
      bool counted = m->alone || measure_both(m, s, process, opened, one_of, loop, counts[loop]);
      good += loop == first && counted;
    }
    if (process == 0)
      s->over = now_ns() - begun > longest;
    if (!m->alone)
      pthread_barrier_wait(&s->barrier);
    over = s->over;
    if (!m->alone)
      pthread_barrier_wait(&s->barrier);
  }
  if (process == 0 && first == MEASURE_OPERATION)
    to->allocations = allocations - before;
}

static inline void measure_process(const struct measure *m, struct measure_shared *s, int process) {
  cpu_set_t all, own;
  CPU_ZERO(&own);
  must(sched_getaffinity(0, sizeof all, &all) < 0 ? -errno : 0, "sched_getaffinity");
  for (int cpu = 0, n = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &all) && n++ == process)
      CPU_SET(cpu, &own);
  sched_setaffinity(0, sizeof own, &own);
  void *opened = m->open(m->arg);
  for (int i = 0; i < m->cases; i++) {
    measure_rounds(m, s, process, opened, i, MEASURE_OPERATION,
                   m->alone ? MEASURE_OPERATION : MEASURE_CORE);
    if (!m->alone)
      measure_rounds(m, s, process, opened, i, MEASURE_OWN_MEMORY, MEASURE_OWN_MEMORY);
  }
  _exit(0);
}

/* The results: m->cases of them. */
static inline const struct measured *measure(struct measure *m) {
  m->alone = m->alone || sysconf(_SC_NPROCESSORS_ONLN) < 2;
  int processes = m->alone ? 1 : 2;
  struct measure_shared *s =
      mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_barrierattr_t shared;
  must(s == MAP_FAILED ? -errno : m->cases > MEASURE_CASES ? -E2BIG : 0, "measure");
  pthread_barrierattr_init(&shared);
  pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(&s->barrier, &shared, 2);
  for (int process = 0; process < processes; process++) {
    pid_t pid = fork();
    must(pid < 0 ? -errno : 0, "fork");
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL); /* one that has failed must not be waited for */
      measure_process(m, s, process);
    }
  }
  for (int left = processes; left > 0;) {
    int status = 0;
    if (m->meanwhile)
      m->meanwhile(m->arg);
    pid_t pid = waitpid(-1, &status, m->meanwhile ? WNOHANG : 0);
    must(pid > 0 && status ? -ECHILD : 0, "a process failed");
    left -= pid > 0;
  }
  return s->measured;
}

static inline double slower_of(const double ns[2]) {
  return ns[0] > ns[1] ? ns[0] : ns[1];
}

static inline double measured_slower(const struct measured *m) {
  return slower_of(m->at_once_ns);
}

/* How much longer the slower of two takes that share nothing; 0: they were never at once. */
static inline double measured_machine(const struct measured *m, enum measure_loop loop) {
  return slower_of(m->machine[loop].at_once_ns) / m->machine[loop].alone_ns;
}

/* The machine's part in the cases' two at once, as a line of the table. */
static inline void measured_print_machine(const struct measured *m, int cases) {
  double least[MEASURE_LOOPS] = {0}, most[MEASURE_LOOPS] = {0};
  for (int i = 0; i < cases; i++)
    for (int loop = MEASURE_CORE; loop < MEASURE_LOOPS; loop++) {
      double ratio = measured_machine(&m[i], loop);
      if (ratio > 0)
        lower(&least[loop], ratio);
      most[loop] = ratio > most[loop] ? ratio : most[loop];
    }
  printf("two at once that share nothing, beside these: arithmetic %.2f to %.2f, loads from "
         "memory of their own %.2f to %.2f\n",
         least[MEASURE_CORE], most[MEASURE_CORE], least[MEASURE_OWN_MEMORY],
         most[MEASURE_OWN_MEMORY]);
}

/* Whether a figure is what it is to be: at most `limit`. NAN: it could not be measured. */
static inline void verdict(double value, double limit, const char *unit, const char *what, ...) {
  char text[128];
  va_list args;
  va_start(args, what);
  vsnprintf(text, sizeof text, what, args);
  va_end(args);
  if (isnan(value))
    printf("not measured  %s\n", text);
  else
    printf("%-12s  %-66s %10.2f of at most %.2f%s%s\n", value <= limit ? "holds" : "DOES NOT HOLD",
           text, value, limit, *unit ? " " : "", unit);
}

/* Of two processes at once each is to take no more than a tenth longer than one alone. Where two
 * that share nothing lose as much to each other in the same rounds, it is not known. */
static inline void verdict_at_once(const struct measured *m, const char *what) {
  const double most = 1.1;
  double ratio = measured_slower(m) > 0 ? measured_slower(m) / m->alone_ns : NAN;
  double core = measured_machine(m, MEASURE_CORE), memory = measured_machine(m, MEASURE_OWN_MEMORY);
  double machine = core > memory ? core : memory;
  if (ratio > most && machine > most)
    printf("not measured  %s, two at once: %.2f, and two that share nothing %.2f\n", what, ratio,
           machine);
  else
    verdict(ratio, most, "of one alone", "%s, two at once", what);
}

/* One figure of the table, and of the file: with a peer when `peer` is not NULL. */
static inline void figure(FILE *json, const char *name, double value, const char *unit,
                          const char *peer, double peer_value) {
  if (!json)
    return;
  fprintf(json, "{\"name\": \"%s\", \"value\": %.3f, \"unit\": \"%s\"", name, value, unit);
  if (peer)
    fprintf(json, ", \"peer\": \"%s\", \"peer_value\": %.3f, \"ratio\": %.3f", peer, peer_value,
            value / peer_value);
  fprintf(json, "}\n");
}

static inline void remove_dir(const char *dir) {
  static const char *const files[] = {"catalog", "lock", "feedback.sock"};
  char path[128];
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    snprintf(path, sizeof path, "%s/%s", dir, files[i]);
    unlink(path);
  }
  rmdir(dir);
}

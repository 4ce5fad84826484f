/* What the specs of the catalog share: a run directory of their own, and endpoints whose every part
 * says what the others must be, so that a reader that mixes two of them gives itself away. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "catalog/writer.h"
#include "client/perigee.h"
#include "select/select.h"

enum { RECORDS_MAX = 4096 };

struct record {
  char id[64], address[64];
  uint16_t port;
};

static inline uint64_t record_mix(uint64_t a, uint64_t b) {
  struct select_state s = {.random = a * 0x9e3779b97f4a7c15u ^ b};
  return select_random_next(&s);
}

/* Number `k` of the snapshot of `version`. */
static inline void record_make(struct record *r, unsigned k, uint64_t version) {
  uint64_t h = record_mix(k, version);
  snprintf(r->id, sizeof r->id, "r-%u-%llu-%0*d", k, (unsigned long long)version, (int)(h % 24), 7);
  snprintf(r->address, sizeof r->address, h & 256 ? "10.%u.%u.%u" : "host-%u.%u.%u.example.net",
           (unsigned)(h >> 16 & 255), (unsigned)(h >> 24 & 255), (unsigned)(h >> 32 & 255));
  r->port = (uint16_t)(h >> 48);
}

/* NULL, or what is wrong with an endpoint and the id that came with it. */
static inline const char *record_check(const struct perigee_endpoint *e, const char *id) {
  struct record expected;
  unsigned k;
  unsigned long long version;
  if (sscanf(id, "r-%u-%llu-", &k, &version) != 2)
    return "an id that nobody gave";
  if (version != e->version)
    return "an id of another version";
  record_make(&expected, k, version);
  if (strcmp(expected.id, id) != 0)
    return "a torn id";
  if (strcmp(expected.address, e->address) != 0 || strlen(expected.address) != e->address_length)
    return "an address of another endpoint";
  return expected.port == e->port ? NULL : "a port of another endpoint";
}

/* Publishes records 0 to count - 1 of the next version under `service`. Slot k + 1 is k's. */
static inline int publish_records_by(struct catalog_writer *w, const char *service,
                                     const char *balancer, unsigned count, uint64_t *version) {
  static struct record records[RECORDS_MAX];
  static struct catalog_endpoint endpoints[RECORDS_MAX];
  for (unsigned k = 0; k < count; k++) {
    record_make(&records[k], k, catalog_version(w) + 1);
    endpoints[k] = (struct catalog_endpoint){.id = records[k].id,
                                             .address = records[k].address,
                                             .port = records[k].port,
                                             .slot = k + 1,
                                             .slot_generation = 1,
                                             .weight = 1 + k % 3};
  }
  struct catalog_snapshot s = {.service = service,
                               .balancer = balancer,
                               .endpoints = endpoints,
                               .count = count,
                               .moves_version = 1};
  return catalog_publish(w, &s, version);
}

static inline int publish_records(struct catalog_writer *w, const char *service, unsigned count,
                                  uint64_t *version) {
  return publish_records_by(w, service, NULL, count, version);
}

/* A pick of a record, checked. 0, or the pick's error. */
static inline int pick_record(struct perigee_service *s, struct perigee_endpoint *e) {
  char id[64];
  int r = perigee_pick_id(s, NULL, e, id, sizeof id);
  const char *wrong = r == 0 ? record_check(e, id) : NULL;
  if (wrong) {
    fprintf(stderr, "%s: %s:%u %s of version %llu\n", wrong, e->address, e->port, id,
            (unsigned long long)e->version);
    abort();
  }
  return r;
}

static char run_dir[64];

static inline int make_run_dir(void **state) {
  strcpy(run_dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/perigee-spec-XXXXXX"
                                                : "/tmp/perigee-spec-XXXXXX");
  return mkdtemp(run_dir) ? 0 : -1;
}

static inline const char *in_run_dir(const char *name) {
  static char path[128];
  snprintf(path, sizeof path, "%s/%s", run_dir, name);
  return path;
}

static inline void empty_run_dir(void) {
  static const char *const names[] = {"catalog", "catalog.new", "catalog.previous", "lock"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    unlink(in_run_dir(names[i]));
}

static inline int remove_run_dir(void **state) {
  empty_run_dir();
  return rmdir(run_dir);
}

static inline struct catalog_writer *open_writer(void) {
  struct catalog_writer *w;
  assert_int_equal(catalog_writer_open(run_dir, &w, NULL), 0);
  return w;
}

/* Memory that forked processes share. */
static inline void *shared_memory(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(p != MAP_FAILED);
  return p;
}

/* fork; the child ends with its parent, also when a test of that fails. */
static inline pid_t fork_child(void) {
  pid_t pid = fork();
  if (pid == 0)
    prctl(PR_SET_PDEATHSIG, SIGKILL);
  return pid;
}

static inline void await_child(pid_t pid) {
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
}

/* For a child: ends it when the condition does not hold, so that the parent fails. */
#define CHILD_MUST(condition)                                                                      \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "%s:%d: child: %s\n", __FILE__, __LINE__, #condition);                       \
      _exit(1);                                                                                    \
    }                                                                                              \
  } while (0)

/* Patience of a loop that waits for a condition, in seconds; more under sanitizers. */
static inline double patience(void) {
  const char *slower = getenv("SPEC_SLOWER");
  return 30 * (slower ? atof(slower) : 1);
}

static inline double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

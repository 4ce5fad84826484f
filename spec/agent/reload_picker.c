/* A process that does nothing but pick, for specs: picker RUN_DIR SERVICE. It prints a line
 * whenever it is given another port ("PORT at NANOSECONDS", of CLOCK_MONOTONIC), and at SIGTERM "N
 * picks, N failed". A first endpoint is waited for; from then on every pick must succeed. */
#include "perigee.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

static volatile sig_atomic_t told;

static void on_term(int number) {
  (void)number;
  told = 1;
}

static long long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

int main(int argc, char **argv) {
  struct perigee *p;
  struct perigee_service *s;
  struct perigee_endpoint e;
  unsigned long long picks = 0, failed = 0;
  int port = 0, last = 0;
  signal(SIGTERM, on_term);
  if (argc < 3 || perigee_open(&p, argv[1]) != 0 || perigee_service_open(p, argv[2], &s) != 0)
    return 1;
  while (perigee_pick(s, NULL, &e) != 0 && !told)
    perigee_wait(s, perigee_version(s), 100);
  for (; !told; picks++) {
    int r = perigee_pick(s, NULL, &e);
    if (r != 0 && r != -EAGAIN) {
      failed++;
      last = r;
    } else if (r == 0 && e.port != port) {
      port = e.port;
      printf("%d at %lld\n", port, now_ns());
      fflush(stdout);
    }
  }
  printf("%llu picks, %llu failed, last error %d\n", picks, failed, last);
  perigee_service_close(s);
  perigee_close(p);
  return 0;
}

/* picker: what a process on the host sees of a service while something goes wrong.
 *
 *     picker RUN_DIR SERVICE ADDRESS:PORT...
 *
 * Picks about 2,000 times a second until SIGTERM. A pick that fails, and one that gives another
 * endpoint than these, is a line on standard output; so is the number of picks, at the end.
 * "picking" after the first. */
#include "perigee.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TOLD = 20 }; /* lines about what went wrong */

static volatile sig_atomic_t ended;

static void on_signal(int number) {
  (void)number;
  ended = 1;
}

static bool expected(const struct perigee_endpoint *e, char **among) {
  char text[300];
  snprintf(text, sizeof text, "%s:%u", e->address, e->port);
  for (; *among; among++)
    if (strcmp(*among, text) == 0)
      return true;
  return false;
}

int main(int argc, char **argv) {
  const struct timespec pause = {.tv_nsec = 500000};
  struct perigee *p;
  struct perigee_service *s;
  unsigned long picks = 0, wrong = 0;
  if (argc < 4 || perigee_open(&p, argv[1]) != 0 || perigee_service_open(p, argv[2], &s) != 0)
    return 1;
  signal(SIGTERM, on_signal);
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (; !ended; nanosleep(&pause, NULL)) {
    struct perigee_endpoint e;
    int rc = perigee_pick(s, NULL, &e);
    if (rc != 0 && wrong++ < TOLD)
      printf("pick %lu: %s\n", picks, strerror(-rc));
    else if (rc == 0 && !expected(&e, argv + 3) && wrong++ < TOLD)
      printf("pick %lu: %s:%u\n", picks, e.address, e.port);
    if (picks++ == 0)
      puts("picking");
  }
  printf("%lu picks, %lu wrong\n", picks, wrong);
  perigee_service_close(s);
  perigee_close(p);
  return 0;
}

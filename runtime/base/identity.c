#include "base/identity.h"

#include "base/clock.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

static char own[IDENTITY_LENGTH + 1];

static void make(void) {
  snprintf(own, sizeof own, "%016" PRIx64, clock_random());
}

const char *identity(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make);
  return own;
}

#include "base/backoff.h"

#include "base/clock.h"

static const double first_s = 1, factor = 1.6, most_s = 16, longest_s = 20, jitter = 0.5;

double backoff_s(unsigned failures) {
  double delay = first_s;
  for (unsigned i = 1; i < failures && delay < most_s; i++)
    delay *= factor;
  if (delay > most_s)
    delay = most_s;
  delay *= 1 + jitter * (2 * clock_random_unit() - 1);
  return delay < longest_s ? delay : longest_s;
}

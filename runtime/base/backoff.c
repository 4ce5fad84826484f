#include "base/backoff.h"

#include "base/clock.h"

static const double first = 0.3, factor = 1.6;

double backoff_s(unsigned failures, double longest_s) {
  double most = first * longest_s;
  for (unsigned i = 1; i < failures && most < longest_s; i++)
    most *= factor;
  if (most > longest_s)
    most = longest_s;
  double least = failures > 1 ? most / 2 : most / 20;
  return least + (most - least) * clock_random_unit();
}

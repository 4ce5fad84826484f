#include "select/math.h"
#include "select/shape.h"

enum { SECOND_NS = 1000000000 };

double select_slow_start(uint64_t age_ns, uint64_t window_ns, double aggression, double least) {
  if (age_ns >= window_ns)
    return 1;
  double part = (double)(age_ns < SECOND_NS ? SECOND_NS : age_ns) / (double)window_ns;
  if (part >= 1)
    return 1;
  if (aggression != 1)
    part = select_exp_minus(-select_ln(part) / aggression);
  return part < least ? least : part;
}

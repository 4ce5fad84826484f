#include "backends.h"

#include <math.h>

/* The slow one takes five times as long; half of the failing one's answers are errors, at once,
 * which is what makes it look idle; the new one begins five times slower than the others. */
enum { SLOWNESS = 5, COLDNESS = 5, FAILS_IN = 2 };
#define FAILS_AFTER_NS 1000000ull

uint64_t simulate_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

uint64_t simulate_exponential(uint64_t *state, double mean) {
  double u = ((double)(simulate_random(state) >> 11) + 0.5) * 0x1p-53;
  return (uint64_t)(-log(u) * mean);
}

static double slowness(const struct backends *b, uint32_t number, uint64_t now_ns) {
  if (number == BACKEND_SLOW)
    return SLOWNESS;
  uint64_t age = now_ns - b->new_since_ns;
  if (number != BACKEND_NEW || age >= BACKEND_WARM_NS)
    return 1;
  return COLDNESS - (COLDNESS - 1) * ((double)age / (double)BACKEND_WARM_NS);
}

struct backend_answer backends_serve(struct backends *b, uint32_t number, uint64_t now_ns) {
  if (number == BACKEND_FAILING && simulate_random(&b->random) % FAILS_IN == 0)
    return (struct backend_answer){.after_ns = FAILS_AFTER_NS, .error = true};
  uint64_t *server = &b->free_ns[number][0];
  for (int i = 1; i < BACKEND_SERVERS; i++)
    if (b->free_ns[number][i] < *server)
      server = &b->free_ns[number][i];
  uint64_t begins = *server > now_ns ? *server : now_ns;
  double mean = (double)BACKEND_MEAN_NS * slowness(b, number, now_ns);
  uint64_t ends = begins + simulate_exponential(&b->random, mean);
  bool left = begins - now_ns >= BACKEND_TIMEOUT_NS;
  if (!left) /* who left while it was served is served all the same */
    *server = ends;
  if (ends - now_ns >= BACKEND_TIMEOUT_NS)
    return (struct backend_answer){.after_ns = BACKEND_TIMEOUT_NS, .timeout = true};
  return (struct backend_answer){.after_ns = ends - now_ns};
}

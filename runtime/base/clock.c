#include "base/clock.h"

#include <stdatomic.h>
#include <sys/random.h>
#include <time.h>

static const struct clock_source *source;

static int64_t read_clock(clockid_t id) {
  struct timespec ts;
  clock_gettime(id, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_now_ns(void) {
  return source ? source->now_ns(source->arg) : read_clock(CLOCK_MONOTONIC);
}

int64_t clock_real_ns(void) {
  return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_thread_ns(void) {
  return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

int64_t clock_wall_us(void) {
  return source ? source->wall_us(source->arg) : read_clock(CLOCK_REALTIME) / 1000;
}

static _Atomic int64_t steady_offset_us;

int64_t clock_steady_us(void) {
  int64_t now_us = clock_now_ns() / 1000, offset_us = atomic_load(&steady_offset_us);
  if (offset_us == 0) {
    int64_t measured_us = clock_wall_us() - now_us;
    if (atomic_compare_exchange_strong(&steady_offset_us, &offset_us, measured_us))
      offset_us = measured_us;
  }
  return now_us + offset_us;
}

/* splitmix64 over a counter that starts at a random place: no lock, no state but the counter
 * (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014). */
uint64_t clock_random(void) {
  if (source)
    return source->random(source->arg);
  static _Atomic uint64_t counter;
  if (atomic_load_explicit(&counter, memory_order_relaxed) == 0) {
    uint64_t seed = 0, expected = 0;
    if (getrandom(&seed, sizeof seed, 0) != (long)sizeof seed)
      seed = (uint64_t)read_clock(CLOCK_REALTIME);
    atomic_compare_exchange_strong(&counter, &expected, seed | 1);
  }
  uint64_t z = atomic_fetch_add_explicit(&counter, 0x9e3779b97f4a7c15u, memory_order_relaxed);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

double clock_random_unit(void) {
  return (double)(clock_random() >> 11) * 0x1.0p-53;
}

void clock_use(const struct clock_source *s) {
  source = s;
  atomic_store(&steady_offset_us, 0);
}

#include "serve/exchange/counters.h"

#include "base/buf.h"
#include "base/metric.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Every status that this server answers with; the last stands for any other. */
static const int statuses[] = {200, 400, 401, 403, 404, 405, 408, 413, 414,
                               417, 429, 431, 500, 501, 503, 505, 0};
enum { STATUSES = sizeof statuses / sizeof statuses[0] };

static const int64_t bounds_ns[] = {20000,    50000,     100000,    250000,    500000,
                                    1000000,  2500000,   5000000,   10000000,  25000000,
                                    50000000, 100000000, 250000000, 500000000, 1000000000};
enum { BOUNDS = sizeof bounds_ns / sizeof bounds_ns[0] };

typedef _Atomic uint64_t cell;

struct counters {
  _Alignas(64) cell plain[COUNTERS];
  struct route_counters {
    cell requests[STATUSES];
    cell buckets[BOUNDS + 1]; /* not cumulative; the last is above all bounds */
    cell nanoseconds;
  } routes[COUNTERS_ROUTES];
};

static void cell_add(cell *c, uint64_t n) {
  atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static uint64_t cell_read(const cell *c) {
  return atomic_load_explicit(c, memory_order_relaxed);
}

struct counters *counters_new(unsigned workers) {
  void *all = mmap(NULL, workers * sizeof(struct counters), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return all == MAP_FAILED ? NULL : all;
}

void counters_free(struct counters *all, unsigned workers) {
  if (all)
    munmap(all, workers * sizeof *all);
}

struct counters *counters_of(struct counters *all, unsigned worker) {
  return &all[worker];
}

void counter_add(struct counters *c, enum counter which, uint64_t n) {
  cell_add(&c->plain[which], n);
}

void counters_request(struct counters *c, unsigned route, int status, int64_t ns) {
  struct route_counters *r = &c->routes[route];
  unsigned s = 0, b = 0;
  while (s < STATUSES - 1 && statuses[s] != status)
    s++;
  while (b < BOUNDS && ns > bounds_ns[b])
    b++;
  cell_add(&r->requests[s], 1);
  cell_add(&r->buckets[b], 1);
  cell_add(&r->nanoseconds, (uint64_t)ns);
}

static uint64_t counters_sum(const struct counters *all, unsigned workers, enum counter which) {
  uint64_t sum = 0;
  for (unsigned w = 0; w < workers; w++)
    sum += cell_read(&all[w].plain[which]);
  return sum;
}

struct route_sums {
  uint64_t requests[STATUSES], buckets[BOUNDS + 1], nanoseconds, count;
};

static struct route_sums sums_of(const struct counters *all, unsigned workers, unsigned route) {
  struct route_sums sums = {0};
  for (unsigned w = 0; w < workers; w++) {
    const struct route_counters *r = &all[w].routes[route];
    for (unsigned s = 0; s < STATUSES; s++)
      sums.requests[s] += cell_read(&r->requests[s]);
    for (unsigned b = 0; b <= BOUNDS; b++)
      sums.buckets[b] += cell_read(&r->buckets[b]);
    sums.nanoseconds += cell_read(&r->nanoseconds);
  }
  for (unsigned b = 0; b <= BOUNDS; b++)
    sums.count += sums.buckets[b];
  return sums;
}

static void print_requests(const struct route_sums *sums, const char *route, struct buf *out) {
  for (unsigned s = 0; s < STATUSES; s++) {
    if (!sums->requests[s])
      continue;
    buf_format(out, "perigee_http_requests_total{route=\"%s\",status=\"", route);
    if (statuses[s])
      buf_integer(out, statuses[s]);
    else
      buf_text(out, "other");
    buf_format(out, "\"} %llu\n", (unsigned long long)sums->requests[s]);
  }
}

static void print_seconds(const struct route_sums *sums, const char *route, struct buf *out) {
  uint64_t below = 0;
  for (unsigned b = 0; b < BOUNDS; b++) {
    below += sums->buckets[b];
    buf_format(out, "perigee_http_request_seconds_bucket{route=\"%s\",le=\"%g\"} %llu\n", route,
               (double)bounds_ns[b] / 1e9, (unsigned long long)below);
  }
  buf_format(out, "perigee_http_request_seconds_bucket{route=\"%s\",le=\"+Inf\"} %llu\n", route,
             (unsigned long long)sums->count);
  buf_format(out, "perigee_http_request_seconds_sum{route=\"%s\"} %.9f\n", route,
             (double)sums->nanoseconds / 1e9);
  buf_format(out, "perigee_http_request_seconds_count{route=\"%s\"} %llu\n", route,
             (unsigned long long)sums->count);
}

void counters_print(const struct counters *all, unsigned workers, unsigned routes,
                    const char *(*route_name)(unsigned route), struct buf *out) {
  uint64_t sums[COUNTERS];
  for (unsigned i = 0; i < COUNTERS; i++)
    sums[i] = counters_sum(all, workers, (enum counter)i);
  /* Read one after the other while others count: it may look as if more closed than came. */
  uint64_t came = sums[COUNTER_CONNECTIONS], gone = sums[COUNTER_CLOSED];
  metric_gauge(out, "perigee_http_connections", "Open HTTP connections.",
               (double)(came > gone ? came - gone : 0));
  metric_counter(out, "perigee_http_connections_total", "HTTP connections accepted.",
                 sums[COUNTER_CONNECTIONS]);
  static const char refused[] = "perigee_http_connections_refused_total";
  metric_family(out, refused, "counter", "Connections over a limit: of all, of one client.");
  metric_sample(out, refused, "limit", "all", (double)sums[COUNTER_OVER_TOTAL]);
  metric_sample(out, refused, "limit", "client", (double)sums[COUNTER_OVER_CLIENT]);
  metric_counter(out, "perigee_http_timeouts_total",
                 "Connections ended by a deadline in the middle of a request or an answer.",
                 sums[COUNTER_TIMEOUTS]);
  metric_counter(out, "perigee_http_received_bytes_total", "Bytes received.",
                 sums[COUNTER_BYTES_IN]);
  metric_counter(out, "perigee_http_sent_bytes_total", "Bytes of answers.",
                 sums[COUNTER_BYTES_OUT]);
  metric_counter(out, "perigee_http_picks_total", "Picks answered with an endpoint.",
                 sums[COUNTER_PICKS]);
  came = sums[COUNTER_PARKED], gone = sums[COUNTER_UNPARKED];
  metric_gauge(out, "perigee_http_waiting", "Requests that are held until there is news (?index).",
               (double)(came > gone ? came - gone : 0));

  metric_family(out, "perigee_http_requests_total", "counter", "Requests answered.");
  for (unsigned i = 0; i < routes; i++) {
    struct route_sums s = sums_of(all, workers, i);
    print_requests(&s, route_name(i), out);
  }
  metric_family(out, "perigee_http_request_seconds", "histogram",
                "From a request's last byte to its answer, of a stream to the answer's beginning.");
  for (unsigned i = 0; i < routes; i++) {
    struct route_sums s = sums_of(all, workers, i);
    if (s.count)
      print_seconds(&s, route_name(i), out);
  }
}

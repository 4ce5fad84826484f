#include "watch/outlier.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

const char *outlier_reason_name(enum outlier_reason reason) {
  static const char *const names[] = {"none", "consecutive", "success_rate", "failure_share"};
  return names[reason];
}

uint32_t outlier_most(const struct outlier_rules *rules, uint32_t count) {
  /* A hair more, so that 0.1 of 10 is 1 whatever 0.1 is in binary. */
  double most = (double)count * rules->most + 1e-9;
  return most < count ? (uint32_t)most : count;
}

void outlier_members(struct outlier_group *g, struct outlier_endpoint **endpoints, uint32_t count) {
  g->endpoints = endpoints;
  g->count = count;
  g->ejected = g->available = 0;
  for (uint32_t i = 0; i < count; i++) {
    g->ejected += endpoints[i]->ejected_until_ns != 0;
    g->available += endpoints[i]->healthy && !endpoints[i]->ejected_until_ns;
  }
}

static bool eject(struct outlier_group *g, struct outlier_endpoint *e, int64_t now_ns) {
  const struct outlier_rules *rules = &g->rules;
  bool last = e->healthy && g->available <= 1;
  if (e->ejected_until_ns || last || g->ejected >= outlier_most(rules, g->count))
    return false;
  int64_t longest = rules->longest_ns > rules->ejection_ns ? rules->longest_ns : rules->ejection_ns;
  if (e->ejections <= longest / rules->ejection_ns)
    e->ejections++;
  int64_t length = rules->ejection_ns * e->ejections;
  e->ejected_until_ns = now_ns + (length < longest ? length : longest);
  e->consecutive = 0;
  g->ejected++;
  g->available -= e->healthy;
  return true;
}

static void let_in(struct outlier_group *g, struct outlier_endpoint *e) {
  e->ejected_until_ns = 0;
  e->good = e->bad = 0; /* what was reported in the meantime is of before */
  g->ejected--;
  g->available += e->healthy;
}

void outlier_pardon(struct outlier_group *g,
                    void (*changed)(void *arg, uint32_t i, enum outlier_reason reason), void *arg) {
  for (uint32_t i = 0; i < g->count && g->ejected > 0; i++)
    if (g->endpoints[i]->ejected_until_ns) {
      let_in(g, g->endpoints[i]);
      changed(arg, i, OUTLIER_NONE);
    }
}

bool outlier_report(struct outlier_group *g, uint32_t i, uint32_t good, uint32_t bad,
                    int64_t now_ns) {
  struct outlier_endpoint *e = g->endpoints[i];
  e->good += good;
  e->bad += bad;
  /* What order they came in is not known; a success among them ends a row of failures. */
  e->consecutive = good ? 0 : e->consecutive + bad < bad ? UINT32_MAX : e->consecutive + bad;
  if (e->ejected_until_ns || g->rules.consecutive == 0 || e->consecutive < g->rules.consecutive)
    return false;
  return eject(g, e, now_ns);
}

static double success_rate(const struct outlier_endpoint *e) {
  return (double)e->good / (double)(e->good + e->bad);
}

static bool counts(const struct outlier_endpoint *e, uint32_t requests) {
  return !e->ejected_until_ns && e->good + e->bad >= requests && e->good + e->bad > 0;
}

/* mean - factor * standard deviation (of the population), or -1 when too few had enough calls. */
static double rate_threshold(const struct outlier_group *g) {
  const struct outlier_rules *rules = &g->rules;
  double sum = 0, squares = 0;
  uint32_t n = 0;
  for (uint32_t i = 0; i < g->count; i++)
    if (counts(g->endpoints[i], rules->rate_requests)) {
      sum += success_rate(g->endpoints[i]);
      n++;
    }
  if (n == 0 || n < rules->rate_endpoints)
    return -1;
  for (uint32_t i = 0; i < g->count; i++)
    if (counts(g->endpoints[i], rules->rate_requests)) {
      double d = success_rate(g->endpoints[i]) - sum / n;
      squares += d * d;
    }
  return sum / n - rules->factor * sqrt(squares / n);
}

static bool fails_enough(const struct outlier_group *g) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < g->count; i++)
    n += counts(g->endpoints[i], g->rules.failure_requests);
  return n > 0 && n >= g->rules.failure_endpoints;
}

/* Who is to be ejected, before anyone is: the first ejected must not change how the next is judged.
 */
static void judge(const struct outlier_group *g, unsigned char *verdicts) {
  const struct outlier_rules *rules = &g->rules;
  double threshold = rules->factor > 0 ? rate_threshold(g) : -1;
  bool by_share = rules->failure_share > 0 && fails_enough(g);
  for (uint32_t i = 0; i < g->count; i++) {
    const struct outlier_endpoint *e = g->endpoints[i];
    if (threshold >= 0 && counts(e, rules->rate_requests) && success_rate(e) < threshold)
      verdicts[i] = OUTLIER_RATE;
    else if (by_share && counts(e, rules->failure_requests) &&
             1 - success_rate(e) >= rules->failure_share)
      verdicts[i] = OUTLIER_FAILURES;
  }
}

int outlier_sweep(struct outlier_group *g, int64_t now_ns,
                  void (*changed)(void *arg, uint32_t i, enum outlier_reason reason), void *arg) {
  unsigned char *verdicts = calloc(g->count ? g->count : 1, 1);
  for (uint32_t i = 0; i < g->count; i++) {
    struct outlier_endpoint *e = g->endpoints[i];
    if (!e->ejected_until_ns) {
      e->ejections -= e->ejections > 0;
    } else if (now_ns >= e->ejected_until_ns) {
      let_in(g, e);
      changed(arg, i, OUTLIER_NONE);
    }
  }
  if (verdicts)
    judge(g, verdicts);
  for (uint32_t i = 0; i < g->count; i++) {
    if (verdicts && verdicts[i] && eject(g, g->endpoints[i], now_ns))
      changed(arg, i, (enum outlier_reason)verdicts[i]);
    g->endpoints[i]->good = g->endpoints[i]->bad = 0;
  }
  bool judged = verdicts != NULL;
  free(verdicts);
  return judged ? 0 : -ENOMEM;
}

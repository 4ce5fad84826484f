/* Calling with retries: which endpoint is tried next, and when. The bookkeeping alone; the calls
 * are the caller's. Envoy's defaults for pauses and budget. */
#include "client/handle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TRIES = 3, TIMEOUT_MS = 5000, BACKOFF_MS = 25, BACKOFF_MOST_MS = 250, PICKS = 100 };

#define MS_NS 1000000ull

static uint32_t or_default(uint32_t value, uint32_t otherwise) {
  return value ? value : otherwise;
}

void perigee_tries_begin(struct perigee_tries *t, struct perigee_service *s,
                         const struct perigee_call_options *options) {
  memset(t, 0, offsetof(struct perigee_tries, endpoints));
  if (options)
    memcpy(&t->options, options,
           options->size < sizeof t->options ? options->size : sizeof t->options);
  struct perigee_call_options *o = &t->options;
  o->tries = or_default(o->tries, TRIES);
  o->tries = o->tries < PERIGEE_TRIES_MAX ? o->tries : PERIGEE_TRIES_MAX;
  o->timeout_ms = or_default(o->timeout_ms, TIMEOUT_MS);
  o->backoff_ms = or_default(o->backoff_ms, BACKOFF_MS);
  o->backoff_most_ms = or_default(o->backoff_most_ms, BACKOFF_MOST_MS);
  t->service = s;
  t->winner = -1;
  t->deadline_ns = (uint64_t)client_now_ns() + o->timeout_ms * MS_NS;
}

/* `flags`: PERIGEE_TRACK, and PERIGEE_RETRY but for the first. */
static int pick_next(struct perigee_tries *t, uint32_t flags) {
  const struct perigee_pick_options *from = t->options.pick;
  struct perigee_pick_options options = {.size = sizeof options};
  if (from)
    memcpy(&options, from, from->size < sizeof options ? from->size : sizeof options);
  options.size = sizeof options;
  options.flags = (options.flags & PERIGEE_HASH) | flags;
  options.avoid = t->endpoints;
  options.avoid_count = t->count;
  int r = -EAGAIN;
  for (int i = 0; r == -EAGAIN && i < PICKS; i++)
    r = perigee_pick(t->service, &options, &t->endpoints[t->count]);
  if (r < 0)
    return r;
  t->tries[t->count++] = (struct perigee_try){.outcome = -1};
  t->open++;
  return 0;
}

static int wait_until(struct perigee_tries *t, uint64_t at_ns, uint64_t now) {
  at_ns = at_ns < t->deadline_ns ? at_ns : t->deadline_ns;
  t->wait_ns = at_ns > now ? at_ns - now : 0;
  return 1;
}

/* Nothing is sent on a connection that was not made; all else may have been done already. */
static bool may_repeat(const struct perigee_tries *t) {
  for (uint32_t i = 0; i < t->count; i++)
    if (t->tries[i].outcome != PERIGEE_CONNECT_FAILURE && !(t->options.flags & PERIGEE_IDEMPOTENT))
      return false;
  return true;
}

static int next_beside(struct perigee_tries *t, uint64_t now) {
  bool hedges =
      t->options.hedge_ms && t->options.flags & PERIGEE_IDEMPOTENT && t->count < t->options.tries;
  if (!hedges || now < t->next_ns)
    return wait_until(t, hedges ? t->next_ns : UINT64_MAX, now);
  int r = pick_next(t, PERIGEE_TRACK | PERIGEE_RETRY);
  t->next_ns = now + t->options.hedge_ms * MS_NS;
  return r == 0 ? 0 : wait_until(t, UINT64_MAX, now); /* the open one may still succeed */
}

int perigee_tries_next(struct perigee_tries *t) {
  uint64_t now = (uint64_t)client_now_ns();
  if (t->winner >= 0)
    return -EALREADY;
  if (now >= t->deadline_ns)
    return -ETIMEDOUT;
  if (t->open)
    return next_beside(t, now);
  if (t->count && (t->count >= t->options.tries || !may_repeat(t)))
    return -EREMOTEIO;
  if (t->next_ns >= t->deadline_ns)
    return -ETIMEDOUT;
  if (now < t->next_ns)
    return wait_until(t, t->next_ns, now);
  int r = pick_next(t, PERIGEE_TRACK | (t->count ? PERIGEE_RETRY : 0));
  t->next_ns = now + t->options.hedge_ms * MS_NS;
  return r;
}

/* A random pause below least * 2^n: all that failed together must not come back together. */
static uint64_t pause_of(struct perigee_tries *t) {
  uint64_t most = (uint64_t)t->options.backoff_ms << t->count;
  most = most < t->options.backoff_most_ms ? most : t->options.backoff_most_ms;
  double unit = (double)(select_random_next(&t->service->state) >> 11) * 0x1p-53;
  return (uint64_t)(unit * (double)(most * MS_NS));
}

int perigee_tries_done(struct perigee_tries *t, uint32_t i, int outcome, uint64_t latency_ns,
                       const char *message) {
  if (i >= t->count || t->tries[i].outcome != -1)
    return -EINVAL;
  int r = perigee_done(t->service, &t->endpoints[i], outcome, latency_ns);
  if (r < 0)
    return r;
  struct perigee_try *try = &t->tries[i];
  try->outcome = outcome;
  try->latency_ns = latency_ns;
  snprintf(try->message, sizeof try->message, "%s", message ? message : "");
  t->open--;
  if (outcome == PERIGEE_SUCCESS && t->winner < 0)
    t->winner = (int)i;
  else if (t->open == 0)
    t->next_ns = (uint64_t)client_now_ns() + pause_of(t);
  return 0;
}

static const char *outcome_name(int outcome) {
  static const char *const names[] = {"success", "server error", "timeout", "connect failure",
                                      "abandoned"};
  return outcome < 0 ? "not ended" : names[outcome];
}

static void address_text(const struct perigee_endpoint *e, char *text, size_t size) {
  if (e->family == PERIGEE_UNIX)
    snprintf(text, size, "unix:%s", e->address);
  else if (e->family == PERIGEE_IP6)
    snprintf(text, size, "[%s]:%u", e->address, e->port);
  else
    snprintf(text, size, "%s:%u", e->address, e->port);
}

void perigee_tries_text(const struct perigee_tries *t, char *text, size_t size) {
  size_t at = 0;
  *text = 0;
  for (uint32_t i = 0; i < t->count && at < size; i++) {
    const struct perigee_try *try = &t->tries[i];
    char address[sizeof t->endpoints[i].address + 16];
    if (try->outcome == PERIGEE_SUCCESS)
      continue;
    address_text(&t->endpoints[i], address, sizeof address);
    int n = snprintf(text + at, size - at, "%s%s: %s%s%s", at ? "; " : "", address,
                     outcome_name(try->outcome), *try->message ? ": " : "", try->message);
    at += n > 0 ? (size_t)n : 0;
  }
}

static void sleep_ns(uint64_t ns) {
  struct timespec left = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
  while (nanosleep(&left, &left) < 0 && errno == EINTR)
    ;
}

int perigee_call(struct perigee_service *s, const struct perigee_call_options *options,
                 perigee_try_fn attempt, void *arg, struct perigee_tries *t) {
  struct perigee_tries own;
  t = t ? t : &own;
  perigee_tries_begin(t, s, options);
  for (;;) {
    int r = perigee_tries_next(t);
    if (r < 0)
      return r == -EALREADY ? 0 : r;
    if (r > 0) {
      sleep_ns(t->wait_ns);
      continue;
    }
    char message[sizeof t->tries[0].message] = "";
    uint32_t i = t->count - 1;
    uint64_t begun = (uint64_t)client_now_ns();
    int outcome = attempt(arg, &t->endpoints[i], t->deadline_ns, message, sizeof message);
    if (outcome < 0 || outcome > PERIGEE_ABANDONED)
      outcome = PERIGEE_SERVER_ERROR;
    r = perigee_tries_done(t, i, outcome, (uint64_t)client_now_ns() - begun, message);
    if (r < 0)
      return r;
  }
}

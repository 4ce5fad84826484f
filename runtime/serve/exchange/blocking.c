#include "serve/exchange/blocking.h"

#include "base/clock.h"
#include "base/text.h"
#include "serve/exchange/answer.h"

#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
static const int64_t usual_ns = 300 * SECOND, most_ns = 600 * SECOND;

static bool digits_only(const char *text) {
  return *text && text[strspn(text, "0123456789")] == 0 && strlen(text) <= 19;
}

/* Go's clients say `wait=10000ms`; a negative or bare number is refused by Consul, too. */
bool blocking_read(struct exchange *x, struct blocking *out) {
  const char *index = exchange_param(x, "index"), *wait = exchange_param(x, "wait");
  int64_t ns = 0;
  if (wait && *wait && duration_parse(wait, &ns, NULL) != 0) {
    answer_text(x, 400, "Invalid wait time");
    return false;
  }
  if (index && *index && !digits_only(index)) {
    answer_text(x, 400, "Invalid index");
    return false;
  }
  out->index = index ? strtoull(index, NULL, 10) : 0;
  out->wait_ns = ns <= 0 ? usual_ns : ns < most_ns ? ns : most_ns;
  return true;
}

bool blocking_wait(struct exchange *x, const struct blocking *b, const char *service,
                   parking_state state) {
  struct parking *parking = x->site->parking;
  if (!b->index || x->over || !parking)
    return false;
  if (!x->until_ns) {
    double jitter = (double)b->wait_ns / 16 * clock_random_unit();
    x->until_ns = clock_now_ns() + b->wait_ns + (int64_t)jitter;
  }
  const struct view_service *s = service ? view_service(x->root, service) : NULL;
  if (s)
    view_service_use(s, x->until_ns);
  if (!parking_add(parking, &x->parked, x->root, service, state, x->until_ns))
    return false;
  counter_add(x->site->counters, COUNTER_PARKED, 1);
  return true;
}

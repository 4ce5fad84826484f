#include "serve/exchange/exchange.h"

#include "base/clock.h"
#include "base/identity.h"
#include "serve/exchange/answer.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

void site_free(struct site *site) {
  buf_free(&site->body);
  buf_free(&site->text);
  buf_free(&site->value);
}

void site_clock(struct site *site, uint64_t now_ms) {
  int64_t second = (int64_t)(now_ms / 1000);
  if (second == site->date_second)
    return;
  site->date_second = second;
  time_t wall = (time_t)(clock_wall_us() / 1000000);
  struct tm tm;
  gmtime_r(&wall, &tm);
  site->date_length = strftime(site->date, sizeof site->date,
                               "Date: %a, %d %b %Y %H:%M:%S GMT\r\n" IDENTITY_HEADER ": ", &tm);
  site->date_length += (size_t)snprintf(
      site->date + site->date_length, sizeof site->date - site->date_length, "%s\r\n", identity());
}

const char *exchange_param(const struct exchange *x, const char *key) {
  return params_get(&x->site->params, key);
}

void exchange_ask(struct exchange *x, struct errand *e) {
  if (!e) {
    answer_errno(x, -ENOMEM, NULL);
    return;
  }
  e->worker = x->site->owner;
  x->errand = e;
  x->site->ask(x->site, e);
}

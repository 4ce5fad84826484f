/* GET /v1/services, /v1/services/SERVICE: what perigee knows, in its own words. */
#include "serve/routes/routes.h"

#include "base/clock.h"
#include "base/identity.h"
#include "serve/exchange/answer.h"
#include "serve/exchange/blocking.h"
#include "serve/json/json_instance.h"
#include "serve/view/view_sorted.h"
#include "watch/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_counts(struct buf *out, const struct view_service *s) {
  uint32_t counts[3] = {0};
  for (uint32_t i = 0; i < s->count; i++)
    counts[s->rows[i].status]++;
  buf_text(out, "\"name\":");
  buf_json_text(out, s->name);
  buf_text(out, ",\"version\":");
  buf_integer(out, (int64_t)s->version);
  buf_text(out, s->stale ? ",\"stale\":true" : ",\"stale\":false");
  if (s->stale)
    buf_format(out, ",\"stale_seconds\":%.3f", (double)(clock_now_ns() - s->stale_since_ns) / 1e9);
  buf_format(out, ",\"count\":%u,\"passing\":%u,\"warning\":%u,\"critical\":%u", s->count,
             counts[STATUS_PASSING], counts[STATUS_WARNING], counts[STATUS_CRITICAL]);
}

void services_get(struct exchange *x) {
  size_t count;
  const struct view_service **all = services_sorted(x->root, &count);
  if (!all) {
    answer_text(x, 503, "Out of memory.");
    return;
  }
  struct buf *out = answer_body(x);
  buf_char(out, '[');
  for (size_t i = 0; i < count; i++) {
    buf_text(out, i ? ",{" : "{");
    add_counts(out, all[i]);
    buf_char(out, '}');
  }
  buf_char(out, ']');
  free(all);
  answer_json(x, 200);
}

static void add_ports(struct buf *out, const struct instance *in) {
  buf_char(out, '{');
  for (unsigned i = 0; i < in->port_count; i++) {
    if (i)
      buf_char(out, ',');
    buf_json_text(out, in->ports[i].name);
    buf_char(out, ':');
    buf_integer(out, in->ports[i].port);
  }
  buf_char(out, '}');
}

/* What it counts for in picks, where somebody has changed that. */
static void add_plan(struct buf *out, const struct plan_row *row) {
  buf_text(out, ",\"plan\":{\"weight\":");
  buf_json_number(out, row->weight);
  buf_format(out, ",\"tier\":%u,\"drop\":%s,\"by\":", row->tier, row->drop ? "true" : "false");
  buf_json_text(out, plan_by_name((enum plan_by)row->by));
  buf_char(out, '}');
}

static void add_row(struct buf *out, const struct view_row *row, const struct plan_row *plan) {
  const struct instance *in = row->instance;
  buf_text(out, "{\"id\":");
  buf_json_text(out, in->id);
  buf_text(out, ",\"address\":");
  buf_json_text(out, in->address);
  buf_format(out, ",\"port\":%u,\"ports\":", in->port);
  add_ports(out, in);
  buf_text(out, ",\"zone\":");
  buf_json_text(out, in->zone);
  buf_text(out, ",\"weight\":");
  buf_json_number(out, in->weight);
  buf_text(out, ",\"status\":");
  buf_json_text(out, status_name(row->status));
  buf_text(out, ",\"tags\":");
  json_tags(out, in);
  buf_text(out, ",\"meta\":");
  json_meta(out, in);
  if (plan && plan->by != PLAN_REGISTRY)
    add_plan(out, plan);
  buf_char(out, '}');
}

static int is_of_service(void *arg, const struct registration_state *s) {
  return strcmp(s->registration->instance->service, arg) == 0;
}

void answer_no_service(struct exchange *x) {
  if (view_each_registration(x->root, is_of_service, (void *)x->name))
    answer_text(x, 404,
                "\"%.255s\" is registered with this agent, and held back by its policy: GET "
                "/v1/policies says why.\n",
                x->name);
  else
    answer_text(x, 404,
                "No service \"%.255s\" is known here: register it, or configure a watch for it. "
                "GET /v1/services lists what is.\n",
                x->name);
}

static void answer_service(struct exchange *x, const struct view_service *s) {
  struct buf *out = answer_body(x);
  buf_char(out, '{');
  add_counts(out, s);
  buf_text(out, ",\"endpoints\":[");
  for (uint32_t i = 0; i < s->count; i++) {
    if (i)
      buf_char(out, ',');
    add_row(out, &s->rows[i], s->plan ? &s->plan[i] : NULL);
  }
  buf_text(out, "]}");
  answer_json(x, 200);
}

/* Of one that is not there: when the last one went. */
static uint64_t index_of(const struct view_root *root, const struct view_service *s) {
  uint64_t index = s ? s->version : view_ended(root);
  return index ? index : 1;
}

/* What another perigee that watches this one wants to hear of: as it has what picks go by from us,
 * also that it is, or is not any more, stale. */
static uint64_t state_of(const struct view_root *root, const char *service) {
  const struct view_service *s = view_service(root, service);
  return index_of(root, s) << 1 | (s && s->stale);
}

/* Whether the client has what it would be told: ?index, and ?stale where it says that. */
static bool is_known(const struct exchange *x, const struct blocking *b,
                     const struct view_service *s) {
  const char *stale = exchange_param(x, "stale");
  return b->index == index_of(x->root, s) &&
         (!stale || (strcmp(stale, "true") == 0) == (s && s->stale));
}

static void answer_now(struct exchange *x, const struct view_service *s) {
  char headers[120 + VIA_MOST];
  int n = snprintf(headers, sizeof headers, "X-Perigee-Index: %llu\r\n",
                   (unsigned long long)index_of(x->root, s));
  if (s && s->stale)
    n += snprintf(headers + n, sizeof headers - (size_t)n, "X-Perigee-Stale: %.3f\r\n",
                  (double)(clock_now_ns() - s->stale_since_ns) / 1e9);
  if (s && s->via)
    snprintf(headers + n, sizeof headers - (size_t)n, VIA_HEADER ": %s\r\n", s->via);
  x->more_headers = headers;
  if (s)
    answer_service(x, s);
  else
    answer_no_service(x);
  x->more_headers = NULL;
}

static void answer_when_news(struct exchange *x, const struct errand *e) {
  const struct view_service *s = view_service(x->root, x->name);
  struct blocking b;
  (void)e; /* it is watched by now, or nobody can */
  if (blocking_read(x, &b) && !(is_known(x, &b, s) && blocking_wait(x, &b, x->name, state_of)))
    answer_now(x, s);
}

/* Who watches (?index) wants it to be watched here, too. */
void service_get(struct exchange *x) {
  const struct view_service *s = view_service(x->root, x->name);
  bool watching = exchange_param(x, "index") != NULL;
  struct blocking b;
  if (!blocking_read(x, &b))
    return;
  if (s)
    view_service_use(s, x->began_ns);
  if (watching && !x->until_ns && (!s || is_known(x, &b, s)))
    exchange_ask(x, errand_new(ERRAND_RESOLVE, x->name, NULL, answer_when_news));
  else
    answer_when_news(x, NULL);
}

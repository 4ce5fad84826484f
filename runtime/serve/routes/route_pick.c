/* GET /v1/pick/SERVICE: one endpoint, by the service's balancer, from the shared catalog. */
#include "serve/routes/routes.h"

#include "base/clock.h"
#include "base/text.h"
#include "serve/exchange/answer.h"
#include "serve/exchange/picks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
  TRIES = 4,          /* of a catalog that changes */
  TEXT_BYTES = 65600, /* more than "meta:" and its longest string */
};

static const char *const status_words[] = {"passing", "warning", "critical"};

/* What is being written, of whom. `value` and `key` have TEXT_BYTES each: on the stack, so much
 * would be touched page by page for each string. */
struct pick {
  struct buf *out;
  struct perigee_service *service;
  const struct perigee_endpoint *endpoint;
  char *value, *key;
};

/* One string of the endpoint, as JSON; "" when it has none. */
static int add_text(const struct pick *p, const char *what) {
  int n = perigee_endpoint_text(p->service, p->endpoint, what, p->value, TEXT_BYTES);
  if (n < 0 && n != -ENOENT)
    return n;
  buf_json_bytes(p->out, p->value, n < 0 ? 0 : (size_t)n);
  return 0;
}

static int add_tags(const struct pick *p) {
  char what[24] = "tag:0";
  buf_char(p->out, '[');
  for (int i = 0;; i++) {
    if (i > 0)
      snprintf(what, sizeof what, "tag:%d", i);
    int n = perigee_endpoint_text(p->service, p->endpoint, what, p->value, TEXT_BYTES);
    if (n == -ENOENT)
      break;
    if (n < 0)
      return n;
    if (i > 0)
      buf_char(p->out, ',');
    buf_json_bytes(p->out, p->value, (size_t)n);
  }
  buf_char(p->out, ']');
  return 0;
}

static int add_meta(const struct pick *p) {
  static const char meta[] = "meta:";
  const size_t prefix = sizeof meta - 1;
  char *key = p->key + prefix;
  memcpy(p->key, meta, prefix);
  buf_char(p->out, '{');
  for (int i = 0;; i++) {
    int n = perigee_endpoint_meta_key(p->service, p->endpoint, i, key, TEXT_BYTES - prefix);
    if (n == -ENOENT)
      break;
    if (n < 0)
      return n;
    if (i > 0)
      buf_char(p->out, ',');
    buf_json_bytes(p->out, key, (size_t)n);
    buf_char(p->out, ':');
    n = add_text(p, p->key);
    if (n < 0)
      return n;
  }
  buf_char(p->out, '}');
  return 0;
}

/* 0, or -ESTALE: the endpoint left the catalog while its strings were fetched. */
static int add_endpoint(const struct pick *p, const char *service) {
  struct buf *out = p->out;
  const struct perigee_endpoint *e = p->endpoint;
  buf_text(out, "{\"service\":");
  buf_json_text(out, service);
  buf_text(out, ",\"id\":");
  int r = add_text(p, "id");
  if (r < 0)
    return r;
  buf_text(out, ",\"address\":");
  buf_json_bytes(out, e->address, e->address_length);
  buf_text(out, ",\"port\":");
  buf_integer(out, e->port);
  buf_text(out, ",\"version\":");
  buf_integer(out, (int64_t)e->version);
  buf_text(out, ",\"zone\":");
  if ((r = add_text(p, "zone")) < 0)
    return r;
  buf_text(out, ",\"weight\":");
  if (e->weight < 1e6f && e->weight == (float)(int)e->weight)
    buf_integer(out, (int)e->weight);
  else
    buf_json_number(out, (double)e->weight);
  buf_text(out, ",\"status\":\"");
  buf_text(out, e->status < 3 ? status_words[e->status] : "critical");
  buf_text(out, "\",\"tags\":");
  if ((r = add_tags(p)) < 0)
    return r;
  buf_text(out, ",\"meta\":");
  if ((r = add_meta(p)) < 0)
    return r;
  buf_char(out, '}');
  return 0;
}

static void answer_failure(struct exchange *x, int r, const char *port) {
  switch (r) {
  case -ENOENT:
    answer_no_service(x);
    break;
  case -EHOSTUNREACH:
    answer_text(x, 503,
                "Service \"%.255s\" has no endpoint to pick: GET /v1/services/%.255s shows what "
                "is known of it.\n",
                x->name, x->name);
    break;
  case -ENXIO:
    answer_text(x, 404,
                "The endpoint picked for \"%.255s\" has no port named \"%.255s\": GET "
                "/v1/services/%.255s shows its ports.\n",
                x->name, port, x->name);
    break;
  default:
    answer_text(x, 503, "The catalog cannot be read (%s): see GET /readyz, and try again.\n",
                strerror(-r));
  }
}

static int pick_once(struct exchange *x, const struct perigee_pick_options *options,
                     struct buf *body) {
  struct perigee_service *s;
  struct perigee_endpoint e;
  int r = picks_service(x->site->picks, x->name, &s);
  if (r != 0)
    return r == -ENOENT ? -ENODATA : r; /* no catalog is not the same as no service */
  r = perigee_pick(s, options, &e);
  if (r == -ENOENT)
    picks_forget(x->site->picks, x->name);
  if (r != 0)
    return r;
  buf_clear(body);
  if (buf_reserve(&x->site->value, 2 * TEXT_BYTES) != 0)
    return -ENOMEM;
  struct pick p = {.out = body,
                   .service = s,
                   .endpoint = &e,
                   .value = x->site->value.data,
                   .key = x->site->value.data + TEXT_BYTES};
  return add_endpoint(&p, x->name);
}

/* Its source cannot be reached: the answer says so, and for how long. */
static void add_stale(const struct view_service *s, struct buf *body) {
  if (!s->stale)
    return;
  body->length--; /* the closing brace */
  buf_format(body, ",\"stale\":true,\"stale_seconds\":%.3f}",
             (double)(clock_now_ns() - s->stale_since_ns) / 1e9);
}

static int pick_try(struct exchange *x, const struct perigee_pick_options *options) {
  struct buf *body = answer_body(x);
  int r = -EAGAIN;
  for (int i = 0; i < TRIES && (r == -EAGAIN || r == -ESTALE); i++)
    r = pick_once(x, options, body);
  const struct view_service *s = r == 0 ? view_service(x->root, x->name) : NULL;
  if (s) {
    view_service_use(s, x->began_ns);
    add_stale(s, body);
  }
  if (r == 0) {
    answer_json(x, 200);
    counter_add(x->site->counters, COUNTER_PICKS, 1);
  }
  return r;
}

static struct perigee_pick_options options_of(struct exchange *x) {
  struct perigee_pick_options options = {.size = sizeof options, .flags = PERIGEE_NO_REPORT};
  options.key = exchange_param(x, "key");
  options.key_length = options.key ? strlen(options.key) : 0;
  options.port = exchange_param(x, "port");
  return options;
}

/* The agent knows of it by now, or never will. */
static void finish_pick(struct exchange *x, const struct errand *e) {
  struct perigee_pick_options options = options_of(x);
  int r = pick_try(x, &options);
  if (r != 0)
    answer_failure(x, r, options.port);
}

void pick_get(struct exchange *x) {
  if (!name_valid(x->name, x->name_length)) {
    answer_text(x, 400,
                "GET /v1/pick/SERVICE needs a service's name, of 1 to 255 bytes of UTF-8 "
                "without control characters.\n");
    return;
  }
  struct perigee_pick_options options = options_of(x);
  int r = pick_try(x, &options);
  if (r == -ENOENT)
    exchange_ask(x, errand_new(ERRAND_RESOLVE, x->name, NULL, finish_pick));
  else if (r != 0)
    answer_failure(x, r, options.port);
}

/* Any bytes as what a client sends. The first byte chooses: a registration's body through the
 * decoder; else a connection's bytes, in pieces, through the reader, the router and the handlers,
 * with a view that has a service, no sockets, and a control thread that answers at once. */
#include "base/fault.h"
#include "client/perigee.h"
#include "serve/json/decode_registration.h"
#include "serve/exchange/exchange.h"
#include "serve/exchange/picks.h"
#include "serve/routes/dispatch.h"
#include "serve/http/reader.h"

#include <errno.h>
#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct view_node node = {
    .name = "n1", .id = "id", .address = "10.0.0.1", .datacenter = "dc1", .zone = "z"};

static struct site site;
static struct parking parking;
static struct errand *asked;
static const atomic_bool ready = true;

static void ask(struct site *s, struct errand *e) {
  (void)s;
  asked = e;
}

/* Once, for the whole run: a service with a registration that has a check. */
static void site_make(void) {
  struct registration_asked from = {.node = &node};
  struct registration *r;
  struct fault f;
  static const char body[] =
      "{\"Name\":\"web\",\"Port\":80,\"Tags\":[\"v1\"],\"Meta\":{\"a\":\"b\"},"
      "\"Check\":{\"TTL\":\"1s\"}}";
  if (registration_from_json(body, sizeof body - 1, &from, &r, &f) != 0 ||
      view_new(&node, 1, &site.view) != 0)
    abort();
  struct check_state check = {.output = "fine"};
  struct registration_state *s = registration_state_new(
      &(struct registration_state){.registration = r, .modify_index = 2, .checks = &check});
  struct set_row row = {.instance = r->instance};
  view_publish_registration(site.view, s, false);
  view_publish_service(
      site.view, &(struct set_published){.service = "web", .version = 3, .rows = &row, .count = 1});
  view_commit(site.view);
  registration_state_unref(s);
  registration_unref(r);
  site.picks = picks_new("/nonexistent", 4, NULL);
  site.version = "0";
  site.ready = &ready;
  site.counters = counters_new(1);
  site.all_counters = site.counters;
  static const _Atomic unsigned one = 1;
  site.all_count = &one;
  site.ask = ask;
  parking_open(&parking, uv_default_loop(), site.view, 0);
  site.parking = &parking;
  site.date_second = -1;
}

/* An answer is whole: a status line, and as many bytes as its length says. */
static void check_answer(const struct buf *out, bool head) {
  const char *end = out->data ? strstr(out->data, "\r\n\r\n") : NULL;
  if (!end || strncmp(out->data, "HTTP/1.1 ", 9) != 0)
    abort();
  const char *length = strstr(out->data, "Content-Length: ");
  if (!length || length > end)
    abort();
  size_t body = out->length - (size_t)(end + 4 - out->data);
  if (body != (head ? 0 : strtoul(length + 16, NULL, 10)))
    abort();
}

/* A plugin that looks at all that it is asked, and answers with the body that it was sent. */
static void visit(struct errand *e) {
  const struct visit *v = e->visit;
  size_t all = strlen(v->method) + strlen(v->route) + strlen(v->path);
  for (size_t i = 0; i < v->query_count; i++)
    all += strlen(v->query[i].name) + strlen(v->query[i].value);
  for (size_t i = 0; i < v->header_count; i++)
    all += strlen(v->headers[i].name) + strlen(v->headers[i].value);
  e->answer = visit_answer_new(200 + (int)(all % 2), "X-A: b\r\n", v->body, v->body_length);
}

static void run(struct reader *r, struct buf *out) {
  struct exchange x = {.site = &site,
                       .method = r->parser.method,
                       .keep_alive = r->keep_alive,
                       .http10 = r->parser.http_minor == 0,
                       .target = r->target.data,
                       .target_length = r->target.length,
                       .request_body = &r->body,
                       .request_headers = &r->headers,
                       .out = out};
  buf_clear(out);
  asked = NULL;
  exchange_run(&x);
  while (exchange_waits(&x)) {
    struct errand *e = asked;
    if (parked_is(&x.parked)) { /* its time is over at once */
      parking_remove(&x.parked);
      exchange_again(&x, true);
      continue;
    }
    e->result = e->kind == ERRAND_DEREGISTER ? -ENOENT : 0;
    if (e->kind == ERRAND_VISIT)
      visit(e);
    exchange_resume(&x, e);
    errand_free(e);
  }
  check_answer(out, x.method == HTTP_HEAD);
}

static void feed_connection(const uint8_t *data, size_t size, size_t piece) {
  struct reader r;
  struct buf out = {0};
  reader_init(&r, 2048, 4096);
  while (size > 0 && r.phase != READER_REFUSED) {
    size_t n = size < piece ? size : piece, used = 0;
    char *copy = malloc(n); /* of its own, so that a read past it is seen */
    memcpy(copy, data, n);
    enum reader_phase phase = reader_feed(&r, copy, n, &used);
    free(copy);
    if (used > n)
      abort();
    data += used;
    size -= used;
    if (phase == READER_WHOLE) {
      run(&r, &out);
      reader_next(&r);
    } else if (phase == READER_REFUSED) {
      struct exchange x = {.site = &site, .out = &out};
      buf_clear(&out);
      exchange_refuse(&x, r.status, r.reason);
      check_answer(&out, false);
    } else if (used != n) {
      abort(); /* neither done nor all used */
    }
  }
  reader_free(&r);
  buf_free(&out);
}

static void decode(const uint8_t *data, size_t size) {
  struct registration_asked from = {.node = &node};
  struct registration *r = NULL;
  struct fault f = {0};
  struct check_update update;
  int status = registration_from_json((const char *)data, size, &from, &r, &f);
  if ((status == 0) != (r != NULL) || (status != 0 && !f.text[0]))
    abort();
  if (r) {
    if (registration_check(r, &f) != 0) /* what is decoded can be held */
      abort();
    registration_unref(r);
  }
  if (check_update_from_json((const char *)data, size, &update, &f) == 0)
    check_update_free(&update);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!site.view)
    site_make();
  if (size < 2)
    return 0;
  if (data[0] == '{')
    decode(data, size);
  else
    feed_connection(data + 1, size - 1, data[0] % 61 + 1);
  return 0;
}

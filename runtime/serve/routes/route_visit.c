/* /v1/x/...: what a plugin answers (visit.h). */
#include "serve/routes/routes.h"

#include "serve/exchange/answer.h"
#include "serve/exchange/exchange.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

/* ---- the question ---- */

static size_t count_lines(const char *headers) {
  size_t n = 0;
  for (; *headers; headers++)
    n += *headers == '\n';
  return n;
}

/* Where the next part of the visit's text goes. */
static char *put(char **at, const char *text, size_t length) {
  char *here = *at;
  memcpy(here, text, length);
  here[length] = '\0';
  *at += length + 1;
  return here;
}

static void read_query(const struct params *params, struct visit_pair *out, char **at) {
  for (size_t i = 0; i < params->count; i++) {
    const struct param *p = &params->items[i];
    out[i].name = put(at, p->key, strlen(p->key));
    out[i].value = put(at, p->value, strlen(p->value));
  }
}

/* "name: value\n" each, as the reader keeps them. */
static size_t read_headers(const char *lines, struct visit_pair *out, char **at) {
  size_t n = 0;
  for (const char *end; (end = strchr(lines, '\n')); lines = end + 1) {
    const char *colon = memchr(lines, ':', (size_t)(end - lines));
    if (!colon || end - colon < 2) /* a folded line's rest */
      continue;
    out[n].name = put(at, lines, (size_t)(colon - lines));
    out[n++].value = put(at, colon + 2, (size_t)(end - colon - 2));
  }
  return n;
}

static size_t query_bytes(const struct params *params) {
  size_t n = 0;
  for (size_t i = 0; i < params->count; i++)
    n += strlen(params->items[i].key) + strlen(params->items[i].value) + 2;
  return n;
}

static struct visit *visit_new(const struct exchange *x) {
  const struct params *params = &x->site->params;
  const char *headers = x->request_headers->length ? x->request_headers->data : "";
  const struct buf *body = x->request_body;
  size_t pairs = params->count + count_lines(headers);
  size_t text =
      x->name_length + query_bytes(params) + x->request_headers->length + body->length + 16;
  struct visit *v = calloc(1, sizeof *v + pairs * sizeof *v->pairs + text);
  if (!v)
    return NULL;
  struct visit_pair *list = v->pairs;
  char *at = (char *)(list + pairs);
  const char *slash = memchr(x->name, '/', x->name_length);
  size_t route = slash ? (size_t)(slash - x->name) : x->name_length;
  v->method = llhttp_method_name((llhttp_method_t)x->method);
  v->may_operate = x->may_operate;
  v->route = put(&at, x->name, route);
  v->path = put(&at, x->name + route, x->name_length - route);
  v->query = list;
  v->query_count = params->count;
  read_query(params, list, &at);
  v->headers = list + params->count;
  v->header_count = read_headers(headers, list + params->count, &at);
  v->body_length = body->length;
  v->body = put(&at, body->length ? body->data : "", body->length);
  return v;
}

/* ---- the answer ---- */

static void finish_visit(struct exchange *x, const struct errand *e) {
  const struct visit_answer *a = e->answer;
  x->more_headers = a ? a->headers : NULL;
  if (x->streaming)
    answer_end(x, !a || !a->broken);
  else if (!a)
    answer_text(x, 503, "Out of memory.");
  else
    answer_bytes(x, a->status, NULL, a->body, a->length);
  x->more_headers = NULL;
}

void visit_piece(struct exchange *x, const struct errand *piece) {
  const struct visit_answer *a = piece->answer;
  x->more_headers = a->headers;
  if (a->status > 0)
    answer_begin(x, a->status);
  x->more_headers = NULL;
  answer_more(x, a->body, a->length);
}

void visit_any(struct exchange *x) {
  if (!x->name_length) {
    answer_text(x, 404, "Which route? Its name follows: /v1/x/NAME\n");
    return;
  }
  struct errand *e = errand_new(ERRAND_VISIT, NULL, NULL, finish_visit);
  if (e && !(e->visit = visit_new(x))) {
    errand_free(e);
    e = NULL;
  }
  exchange_ask(x, e);
}

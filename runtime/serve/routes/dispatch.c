#include "serve/routes/dispatch.h"

#include "base/clock.h"
#include "base/text.h"
#include "serve/exchange/answer.h"
#include "serve/exchange/consul_query.h"
#include "serve/routes/router.h"

#include <errno.h>
#include <llhttp.h>
#include <string.h>

/* "http://host/path" may be asked of any server: only the path matters here. */
static void target_strip_authority(const char **target, size_t *length) {
  static const char scheme[] = "http://";
  size_t n = sizeof scheme - 1;
  if (*length < n || memcmp(*target, scheme, n) != 0)
    return;
  const char *slash = memchr(*target + n, '/', *length - n);
  if (!slash)
    return;
  *length -= (size_t)(slash - *target);
  *target = slash;
}

/* Decodes the path's rest and the query into the site's text. False: it has been answered. */
static bool request_decode(struct exchange *x, const char *rest, size_t rest_length,
                           const char *query, size_t query_length) {
  struct site *site = x->site;
  buf_clear(&site->text);
  site->params.count = 0;
  x->name = "";
  if (rest_length == 0 && query_length == 0)
    return true;
  if (buf_reserve(&site->text, rest_length + query_length + 2) != 0) {
    answer_errno(x, -ENOMEM, NULL);
    return false;
  }
  char *name = site->text.data, *q = name + rest_length + 1;
  memcpy(name, rest, rest_length);
  if (query_length)
    memcpy(q, query, query_length);
  long n = percent_decode(name, rest_length, false);
  if (n < 0) {
    answer_text(x, 400, "The path has a bad percent-encoding, or a zero byte.");
    return false;
  }
  x->name = name;
  x->name_length = (size_t)n;
  int r = params_parse(&site->params, q, query_length);
  if (r == -E2BIG)
    answer_text(x, 400, "The query has more than %d parameters.", PARAMS_MAX);
  else if (r != 0)
    answer_text(x, 400, "The query has a bad percent-encoding, or a zero byte.");
  return r == 0;
}

/* OPTIONS first, as Consul has it. */
static const char *allow_text(unsigned methods) {
  switch (methods) {
  case METHOD_GET:
    return "OPTIONS,GET";
  case METHOD_PUT:
    return "OPTIONS,PUT";
  default:
    return "OPTIONS,GET,PUT,POST,DELETE";
  }
}

static void answer_not_allowed(struct exchange *x, unsigned allowed) {
  x->allow = allow_text(allowed);
  if (x->method == HTTP_OPTIONS)
    answer_empty(x, 200);
  else
    answer_text(x, 405, "method %s not allowed", llhttp_method_name((llhttp_method_t)x->method));
}

/* Its route, and what the request says, as far as a handler may ask. False: it has been answered.
 */
static bool exchange_read(struct exchange *x) {
  const char *target = x->target;
  size_t length = x->target_length, rest;
  target_strip_authority(&target, &length);
  const char *query = memchr(target, '?', length);
  size_t path_length = query ? (size_t)(query - target) : length;
  size_t query_length = query ? length - path_length - 1 : 0;

  unsigned allowed;
  x->route = route_find(x->method, target, path_length, &allowed, &rest);
  if (!x->route) {
    answer_text(x, 404, "Invalid URL path: not a recognized HTTP API endpoint");
    return false;
  }
  if (allowed) {
    answer_not_allowed(x, allowed);
    return false;
  }
  if ((x->route->flags & ROUTE_OPERATOR) && !x->may_operate) {
    answer_text(
        x, 403,
        "This operates the agent: ask it over the unix socket in its run directory, and not "
        "from a plugin.");
    return false;
  }
  if (!request_decode(x, target + rest, path_length - rest, query ? query + 1 : "", query_length))
    return false;
  x->pretty = exchange_param(x, "pretty") != NULL;
  return true;
}

static void exchange_answer(struct exchange *x) {
  const struct view_service *s =
      x->route->flags & ROUTE_SERVICE ? view_service(x->root, x->name) : NULL;
  if (s)
    view_service_use(s, x->began_ns);
  if ((x->route->flags & ROUTE_READ) && !consul_query_check(x))
    return;
  x->route->handle(x);
}

/* Whether the agent may watch it for this one: it is not known here, or somebody goes on waiting
 * for its news. */
static bool wants_resolved(const struct exchange *x) {
  return (x->route->flags & ROUTE_SERVICE) && view_node(x->site->view)->resolves && !x->until_ns &&
         name_valid(x->name, x->name_length) &&
         (exchange_param(x, "index") || !view_service(x->root, x->name));
}

/* To a client of Consul's an empty list is word of nobody: it is not said for want of an answer. */
static void answer_resolved(struct exchange *x, const struct errand *e) {
  if (e->result == -EAGAIN && !view_service(x->root, x->name))
    answer_text(x, 500, "The registry in which \"%.255s\" is looked for has not answered yet",
                x->name);
  else
    exchange_answer(x);
}

static void exchange_handle(struct exchange *x) {
  if (!exchange_read(x))
    return;
  if (wants_resolved(x))
    exchange_ask(x, errand_new(ERRAND_RESOLVE, x->name, NULL, answer_resolved));
  else
    exchange_answer(x);
}

static void exchange_count(struct exchange *x) {
  int64_t answered_ns = x->streaming ? x->head_ns : clock_now_ns();
  if (x->status)
    counters_request(x->site->counters, route_number(x->route), x->status,
                     answered_ns - x->began_ns);
}

void exchange_run(struct exchange *x) {
  x->began_ns = clock_now_ns();
  x->status = 0;
  x->route = NULL;
  x->errand = NULL;
  x->until_ns = 0;
  x->over = false;
  x->name = "";
  x->name_length = 0;
  x->index = x->content_hash = 0;
  x->known_leader = true;
  x->stale_allowed = x->pretty = false;
  x->allow = x->more_headers = NULL;
  x->streaming = false;
  x->root = view_enter(x->site->view, x->site->worker);
  exchange_handle(x);
  view_leave(x->site->view, x->site->worker);
  x->root = NULL;
  exchange_count(x);
}

/* What the site had of the request is another's by now: it is read again. */
void exchange_resume(struct exchange *x, const struct errand *e) {
  x->errand = NULL;
  x->root = view_enter(x->site->view, x->site->worker);
  if (exchange_read(x))
    e->finish(x, e);
  view_leave(x->site->view, x->site->worker);
  x->root = NULL;
  exchange_count(x);
}

void exchange_again(struct exchange *x, bool over) {
  x->over = over;
  x->began_ns = clock_now_ns(); /* the time that it waited is not the time that it took */
  x->root = view_enter(x->site->view, x->site->worker);
  exchange_handle(x);
  view_leave(x->site->view, x->site->worker);
  x->root = NULL;
  exchange_count(x);
}

void exchange_refuse(struct exchange *x, int status, const char *text) {
  x->began_ns = clock_now_ns();
  x->route = NULL;
  x->index = x->content_hash = 0;
  x->allow = x->more_headers = NULL;
  x->keep_alive = false;
  x->method = HTTP_GET;
  answer_text(x, status, "%s", text);
  exchange_count(x);
}

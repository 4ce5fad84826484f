#include "agent/routes/answering.h"

#include "agent/plugins/plugins.h"
#include "agent/routes/response.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "vm/bind/bind_answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 30000 }; /* until its first word */

struct answering {
  struct answering *next, **link;
  struct answerings *all;
  const struct visit *visit; /* until it is answered */
  void *to;
  struct call *call;
  struct answer_binding *binding; /* NULL: it has not begun to run */
  bool streaming;                 /* its head is out */
  uv_timer_t timer;
};

void answer_sentence(void *to, int status, const char *headers, const char *format, ...) {
  char text[400], lines[400];
  va_list ap;
  va_start(ap, format);
  vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  snprintf(lines, sizeof lines, "Content-Type: text/plain; charset=utf-8\r\n%s",
           headers ? headers : "");
  server_visit_end(to, visit_answer_new(status, lines, text, strlen(text)));
}

/* ---- its end ---- */

static void on_closed(uv_handle_t *timer) {
  free(timer->data);
}

/* Its call has ended: nothing of the plugin's uses it any more. */
static void finish(struct answering *a) {
  if (a->binding)
    answer_binding_revoke(a->binding);
  *a->link = a->next;
  if (a->next)
    a->next->link = a->link;
  a->all->stats.under_way--;
  uv_close((uv_handle_t *)&a->timer, on_closed);
}

static void cancel(struct answering *a) {
  call_cancel(a->call);
  plugins_note(a->all->plugins, attachment_plugin(a->all->attachment), false);
}

static void end_stream(struct answering *a, bool broken) {
  struct visit_answer *end = broken ? visit_answer_new(0, NULL, NULL, 0) : NULL;
  if (end)
    end->broken = true;
  server_visit_end(a->to, end);
}

static void fail(struct answering *a, const char *why) {
  a->all->stats.failed++;
  log_error("route failed", LOG_S("route", a->visit->route), LOG_S("method", a->visit->method),
            LOG_S("path", a->visit->path), LOG_S("error", why));
  if (a->streaming)
    end_stream(a, true);
  else
    answer_sentence(a->to, 500, NULL, "The route failed; the agent's log says why.\n");
}

static void on_late(uv_timer_t *timer) {
  struct answering *a = timer->data;
  a->all->stats.late++;
  cancel(a);
  answer_sentence(a->to, 504, NULL, "The route said nothing in %d s.\n", PATIENCE_MS / 1000);
  finish(a);
}

/* What the plugin returned becomes the answer. */
static void respond(struct answering *a, const struct call_result *result) {
  struct response response;
  struct fault f = {0};
  int r = response_read(result, &response, &f);
  struct visit_answer *answer = r == 0 ? visit_answer_new(response.status, response.headers.data,
                                                          response.body.data, response.body.length)
                                       : NULL;
  response_clear(&response);
  plugins_note(a->all->plugins, attachment_plugin(a->all->attachment), r == -EINVAL);
  if (r != 0) {
    fail(a, f.text);
  } else {
    a->all->stats.answered++;
    server_visit_end(a->to, answer);
  }
}

/* What has begun ends here; with nil and a message it is not all that there was to say. */
static void end_pieces(struct answering *a, const struct call_result *result) {
  const char *why = response_failure(result);
  plugins_note(a->all->plugins, attachment_plugin(a->all->attachment), false);
  if (why) {
    fail(a, why);
  } else {
    a->all->stats.answered++;
    end_stream(a, false);
  }
}

static void on_done(void *arg, const struct call_result *result) {
  struct answering *a = arg;
  a->call = NULL;
  if (result->status == -ECANCELED) {
    fail(a, result->fault->text);
  } else if (result->status != 0) {
    plugins_note(a->all->plugins, attachment_plugin(a->all->attachment), true);
    fail(a, result->fault->text);
  } else if (a->streaming) {
    end_pieces(a, result);
  } else {
    respond(a, result);
  }
  finish(a);
}

void answering_gone(struct answering *a) {
  a->all->stats.gone++;
  cancel(a);
  end_stream(a, true);
  finish(a);
}

void answering_room(struct answering *a) {
  answer_binding_room(a->binding); /* the task runs on, and may end this */
}

void answerings_end(struct answerings *all, bool streams_only) {
  for (struct answering *a = all->first, *next; a; a = next) {
    next = a->next;
    if (streams_only && !a->streaming)
      continue;
    cancel(a);
    if (a->streaming)
      end_stream(a, false);
    else
      answer_sentence(a->to, 503, NULL, "The route is no more.\n");
    finish(a);
  }
}

struct answering *answering_find(const struct answerings *all, void *to) {
  struct answering *a = all->first;
  while (a && a->to != to)
    a = a->next;
  return a;
}

/* ---- in pieces ---- */

static int on_start(void *arg, int status, const struct value *headers, struct fault *f) {
  struct answering *a = arg;
  struct buf lines = {0};
  int r = response_headers(headers, "text/plain; charset=utf-8", &lines, f);
  struct visit_answer *head = r == 0 ? visit_answer_new(status, lines.data, NULL, 0) : NULL;
  buf_free(&lines);
  if (r != 0)
    return r;
  r = head ? server_visit_write(a->to, head) : -ENOMEM;
  a->streaming |= r == 0;
  uv_timer_stop(&a->timer);
  return r == 0 ? 0 : fault_set(f, r, "nobody waits for the answer any more");
}

static int on_write(void *arg, const char *text, size_t length, struct fault *f) {
  struct answering *a = arg;
  struct visit_answer *piece = visit_answer_new(0, NULL, text, length);
  int r = piece ? server_visit_write(a->to, piece) : -ENOMEM;
  return r == 0 ? 0 : fault_set(f, r, "nobody waits for the answer any more");
}

static const struct answer_events in_pieces = {.start = on_start, .write = on_write};

/* ---- its beginning ---- */

/* The first of a name that is there several times. */
static void set_pairs(lua_State *L, const char *field, const struct visit_pair *pairs,
                      size_t count) {
  lua_createtable(L, 0, (int)count);
  for (size_t i = count; i-- > 0;) {
    lua_pushstring(L, pairs[i].value);
    lua_setfield(L, -2, pairs[i].name);
  }
  lua_setfield(L, -2, field);
}

static int push_request(lua_State *L, void *arg) {
  struct answering *a = arg;
  const struct visit *v = a->visit;
  lua_createtable(L, 0, 8);
  lua_pushstring(L, v->method);
  lua_setfield(L, -2, "method");
  lua_pushstring(L, v->path);
  lua_setfield(L, -2, "path");
  lua_pushlstring(L, v->body, v->body_length);
  lua_setfield(L, -2, "body");
  lua_pushboolean(L, v->may_operate);
  lua_setfield(L, -2, "operator");
  set_pairs(L, "query", v->query, v->query_count);
  set_pairs(L, "headers", v->headers, v->header_count);
  a->binding = push_answering(L, &in_pieces, a);
  return 1;
}

void answering_begin(struct answerings *all, const char *method, const struct visit *v, void *to) {
  struct answering *a = calloc(1, sizeof *a);
  if (!a) {
    server_visit_end(to, NULL);
    return;
  }
  *a =
      (struct answering){.all = all, .visit = v, .to = to, .next = all->first, .link = &all->first};
  if (a->next)
    a->next->link = &a->next;
  all->first = a;
  all->stats.under_way++;
  uv_timer_init(all->loop, &a->timer);
  a->timer.data = a;
  int r = attachment_call(all->attachment, method, push_request, on_done, a, 0, &a->call);
  if (r == 0) {
    uv_timer_start(&a->timer, on_late, PATIENCE_MS, 0);
    return;
  }
  plugins_note(all->plugins, attachment_plugin(all->attachment), true);
  fail(a, strerror(-r));
  finish(a);
}

/* eval: { code, plugin, session, keep, timeout }: { text }, what it printed and returned; { error,
 * text } where it failed; { incomplete: true } where more lines are to come. eval_complete: the
 * same fields, `code` being what stands before the cursor: { names }. eval_cancel and eval_end: {
 * session }. */
#include "agent/consoles.h"
#include "agent/operations.h"
#include "agent/parts.h"

#include "base/buf.h"
#include "base/fault.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_S 20.0
#define TIMEOUT_MOST_S 3600.0

struct reply {
  server_reply reply;
  void *to;
};

static json_t *read_body(const char *body, struct console_question *q, struct fault *f) {
  json_error_t error;
  json_t *all = json_loads(body, 0, &error), *timeout = json_object_get(all, "timeout");
  if (!json_is_object(all)) {
    fault_set(f, -EINVAL, "a JSON object is expected: %s", all ? "not that" : error.text);
    json_decref(all);
    return NULL;
  }
  double seconds = json_is_number(timeout) ? json_number_value(timeout) : TIMEOUT_S;
  if (!(seconds > 0 && seconds <= TIMEOUT_MOST_S))
    seconds = TIMEOUT_MOST_S;
  *q = (struct console_question){
      .code = json_string_value(json_object_get(all, "code")),
      .plugin = json_string_value(json_object_get(all, "plugin")),
      .session = json_string_value(json_object_get(all, "session")),
      .keep = json_is_true(json_object_get(all, "keep")),
      .deadline_ns = (int64_t)(seconds * 1e9),
  };
  return all;
}

static void answer(const struct reply *r, const struct buf *json) {
  r->reply(r->to, json->failed ? -ENOMEM : 0, json->failed ? "out of memory" : json->data);
}

static void answer_fault(const struct reply *r, const struct fault *f) {
  r->reply(r->to, f->code, f->text);
}

static void write_field(struct buf *out, const char *name, const char *text) {
  buf_format(out, "%s\"%s\":", out->length > 1 ? "," : "", name);
  buf_json_text(out, text);
}

static void on_evaluated(void *arg, int status, const char *text, const struct fault *fault) {
  struct reply *r = arg;
  struct buf json = {0};
  buf_char(&json, '{');
  write_field(&json, "text", text ? text : "");
  if (status != 0)
    write_field(&json, "error", fault->text);
  buf_char(&json, '}');
  answer(r, &json);
  buf_free(&json);
  free(r);
}

/* What is no Lua is the operator's mistake, as what raises is: an answer, with the place. */
static void answer_refusal(const struct reply *r, const struct fault *f) {
  struct buf json = {0};
  if (f->code == -ENODATA)
    buf_text(&json, "{\"incomplete\":true");
  else
    buf_char(&json, '{');
  write_field(&json, "error", f->text);
  buf_char(&json, '}');
  answer(r, &json);
  buf_free(&json);
}

void operate_eval(struct agent *a, const char *body, server_reply reply, void *to) {
  struct console_question q;
  struct fault f = {0};
  struct reply *r = malloc(sizeof *r);
  json_t *all = r ? read_body(body, &q, &f) : NULL;
  if (!r) {
    reply(to, -ENOMEM, "out of memory");
    return;
  }
  *r = (struct reply){reply, to};
  q.asker = to;
  if (all && !q.code)
    fault_set(&f, -EINVAL, "code is missing: the Lua to evaluate");
  bool asked = all && q.code;
  int status = asked ? consoles_evaluate(a->consoles, &q, on_evaluated, r, &f) : f.code;
  json_decref(all);
  if (status == 0)
    return;
  if (asked && (status == -EINVAL || status == -ENODATA))
    answer_refusal(r, &f);
  else
    answer_fault(r, &f);
  free(r);
}

void operate_eval_complete(struct agent *a, const char *body, server_reply reply, void *to) {
  struct console_question q;
  struct fault f = {0};
  struct buf names = {0}, json = {0};
  struct reply r = {reply, to};
  json_t *all = read_body(body, &q, &f);
  if (all && !q.code)
    fault_set(&f, -EINVAL, "code is missing: what stands before the cursor");
  int status = f.code ? f.code : consoles_complete(a->consoles, &q, &names, &f);
  json_decref(all);
  if (status != 0) {
    answer_fault(&r, &f);
    buf_free(&names);
    return;
  }
  buf_text(&json, "{\"names\":[");
  for (const char *name = names.data ? names.data : ""; *name;) {
    size_t length = strcspn(name, "\n");
    buf_text(&json, json.data[json.length - 1] == '[' ? "" : ",");
    buf_json_bytes(&json, name, length);
    name += length + 1;
  }
  buf_text(&json, "]}");
  answer(&r, &json);
  buf_free(&names);
  buf_free(&json);
}

static void by_session(struct agent *a, const char *body, const struct reply *r,
                       int (*verb)(struct consoles *all, const char *session, struct fault *f)) {
  struct console_question q;
  struct fault f = {0};
  json_t *all = read_body(body, &q, &f);
  if (all && !q.session)
    fault_set(&f, -EINVAL, "session is missing");
  else if (all)
    verb(a->consoles, q.session, &f);
  json_decref(all);
  if (f.code)
    answer_fault(r, &f);
  else
    r->reply(r->to, 0, "{}");
}

void operate_eval_cancel(struct agent *a, const char *body, server_reply reply, void *to) {
  by_session(a, body, &(struct reply){reply, to}, consoles_cancel);
}

static int end_session(struct consoles *all, const char *session, struct fault *f) {
  (void)f;
  consoles_end(all, session);
  return 0;
}

void operate_eval_end(struct agent *a, const char *body, server_reply reply, void *to) {
  by_session(a, body, &(struct reply){reply, to}, end_session);
}

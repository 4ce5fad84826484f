#include "cli/console.h"

#include "base/clock.h"
#include "base/text.h"
#include "cli/api.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_S 20.0
#define GRACE_S 5.0 /* that the agent's own deadline has before this side gives up */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
  (void)number;
  interrupted = 1;
}

int console_begin(struct console *c, const struct arguments *a) {
  int64_t ns = (int64_t)(TIMEOUT_S * 1e9);
  int status = arguments_duration(a, "timeout", &ns);
  if (status)
    return status;
  *c = (struct console){
      .arguments = a, .plugin = arguments_option(a, "plugin"), .timeout_s = (double)ns / 1e9};
  snprintf(c->session, sizeof c->session, "%d-%016llx", (int)getpid(),
           (unsigned long long)clock_random());
  struct sigaction action = {.sa_handler = on_interrupt}; /* no SA_RESTART: reading ends too */
  sigaction(SIGINT, &action, NULL);
  return EXIT_DONE;
}

/* { code, session, keep, plugin, timeout } */
static void write_question(const struct console *c, const char *code, struct buf *out) {
  buf_text(out, "{\"code\":");
  buf_json_text(out, code);
  buf_format(out, ",\"session\":\"%s\",\"keep\":%s", c->session, c->keep ? "true" : "false");
  if (c->plugin) {
    buf_text(out, ",\"plugin\":");
    buf_json_text(out, c->plugin);
  }
  buf_format(out, ",\"timeout\":%g}", c->timeout_s);
}

static void tell_session(const struct console *c, const char *path) {
  struct buf body = {0}, answer = {0};
  write_question(c, "", &body);
  api_call(c->arguments, "POST", path, &body, &answer);
  buf_free(&body);
  buf_free(&answer);
}

void console_end(struct console *c) {
  if (c->keep && !c->plugin)
    tell_session(c, "/v1/operate/eval_end");
}

static int read_answer(const struct console *c, const struct buf *answer,
                       struct console_answer *out) {
  json_error_t error;
  out->all = json_loadb(answer->data ? answer->data : "", answer->length, 0, &error);
  if (!json_is_object(out->all))
    return complain(c->arguments, EXIT_FAILED, "the agent's answer makes no sense: %s", error.text);
  const char *text = json_string_value(json_object_get(out->all, "text"));
  out->text = text ? text : "";
  out->error = json_string_value(json_object_get(out->all, "error"));
  out->incomplete = json_is_true(json_object_get(out->all, "incomplete"));
  return EXIT_DONE;
}

int console_evaluate(struct console *c, const char *code, struct console_answer *out) {
  struct buf body = {0}, answer = {0};
  struct api_patience patience = {c->timeout_s + GRACE_S, &interrupted};
  *out = (struct console_answer){.text = ""};
  if (!text_is_utf8(code))
    return complain(c->arguments, EXIT_FAILED,
                    "the code is not UTF-8: other bytes are written as in \"\\255\"");
  interrupted = 0;
  write_question(c, code, &body);
  int status =
      api_call_patiently(c->arguments, "POST", "/v1/operate/eval", &body, &answer, &patience);
  if (status == EXIT_STOPPED) {
    interrupted = 0;
    tell_session(c, "/v1/operate/eval_cancel");
  }
  if (status == EXIT_DONE)
    status = read_answer(c, &answer, out);
  buf_free(&body);
  buf_free(&answer);
  return status;
}

void console_answer_free(struct console_answer *out) {
  json_decref(out->all);
}

void console_complete(struct console *c, const char *text, struct buf *names) {
  struct buf body = {0}, answer = {0};
  size_t i;
  json_t *name;
  write_question(c, text, &body);
  if (api_call(c->arguments, "POST", "/v1/operate/eval_complete", &body, &answer) == EXIT_DONE) {
    json_t *all = json_loadb(answer.data ? answer.data : "", answer.length, 0, NULL);
    json_array_foreach(json_object_get(all, "names"), i, name)
        buf_format(names, "%s\n", json_string_value(name) ? json_string_value(name) : "");
    json_decref(all);
  }
  buf_free(&body);
  buf_free(&answer);
}

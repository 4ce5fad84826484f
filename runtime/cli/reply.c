#include "cli/reply.h"

#include "cli/api.h"
#include "cli/output.h"

#include <stdio.h>
#include <time.h>

static int show(const struct arguments *a, const struct buf *answer, reply_write write,
                const void *arg, struct buf *out) {
  const char *text = answer->data ? answer->data : "";
  if (arguments_flag(a, "json")) {
    buf_format(out, "%s\n", text);
    return EXIT_DONE;
  }
  json_t *json = json_loadb(text, answer->length, 0, NULL);
  bool expected = write(arg, json, out);
  reply_mention_unkept(a, json);
  json_decref(json);
  return expected ? EXIT_DONE
                  : complain(a, EXIT_FAILED, "the agent's answer is not what was expected");
}

static int ask(const struct arguments *a, const char *method, const char *path,
               const struct buf *body, reply_write write, const void *arg) {
  struct buf answer = {0}, out = {0};
  int status = api_call(a, method, path, body, &answer);
  if (!status)
    status = show(a, &answer, write, arg, &out);
  output_write(&out);
  buf_free(&answer);
  buf_free(&out);
  return status;
}

int reply_show(const struct arguments *a, const char *path, reply_write write, const void *arg) {
  return ask(a, "GET", path, NULL, write, arg);
}

int reply_operate(const struct arguments *a, const char *verb, const struct buf *body,
                  reply_write write, const void *arg) {
  char path[100];
  snprintf(path, sizeof path, "/v1/operate/%s", verb);
  return ask(a, "POST", path, body, write, arg);
}

void reply_mention_unkept(const struct arguments *a, const json_t *answer) {
  if (json_is_false(json_object_get(answer, "kept")))
    complain(a, EXIT_DONE,
             "it is in force, but could not be put on the disk: the agent forgets it when it "
             "ends. Its log says why");
}

const char *reply_text(const json_t *o, const char *key) {
  const char *text = json_string_value(json_object_get(o, key));
  return text ? text : "";
}

double reply_number(const json_t *o, const char *key) {
  return json_number_value(json_object_get(o, key));
}

bool reply_flag(const json_t *o, const char *key) {
  return json_is_true(json_object_get(o, key));
}

void reply_write_time(struct buf *out, double unix_seconds) {
  char text[40];
  time_t at = (time_t)unix_seconds;
  struct tm tm;
  strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", localtime_r(&at, &tm));
  buf_text(out, text);
}

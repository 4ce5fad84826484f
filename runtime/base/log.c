#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int threshold = LOG_LEVEL_INFO;
static _Atomic int as_json;
static _Atomic int log_fd = 2;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

int log_level_parse(const char *word) {
  for (int i = 0; i < 4; i++)
    if (strcmp(word, level_names[i]) == 0)
      return i;
  return -EINVAL;
}

void log_set_level(enum log_level level) {
  threshold = (int)level;
}

void log_set_json(int on) {
  as_json = on;
}

void log_set_fd(int fd) {
  log_fd = fd;
}

/* What can stand in a line as it is, without being misread. */
static int is_plain(unsigned char c) {
  return c > 0x20 && c < 0x7f && c != '"' && c != '=' && c != '\\';
}

/* A value stands bare where it can; anything else is quoted as JSON does it. */
static void add_text(struct buf *b, const char *text, int json) {
  char cut[LOG_TEXT_MAX + sizeof "..."];
  if (!text)
    text = "";
  if (strnlen(text, LOG_TEXT_MAX + 1) > LOG_TEXT_MAX) {
    memcpy(cut, text, LOG_TEXT_MAX);
    memcpy(cut + LOG_TEXT_MAX, "...", sizeof "...");
    text = cut;
  }
  int bare = !json && *text;
  for (const char *p = text; bare && *p; p++)
    bare = is_plain((unsigned char)*p);
  if (bare)
    buf_text(b, text);
  else
    buf_json_text(b, text);
}

/* A plugin's, too, so it is a word whatever is in it. */
static void add_key(struct buf *b, const char *key, int json) {
  size_t length = strnlen(key, LOG_KEY_MAX);
  buf_text(b, json ? ",\"" : " ");
  for (size_t i = 0; i < length; i++)
    buf_char(b, is_plain((unsigned char)key[i]) ? key[i] : '_');
  buf_text(b, json ? "\":" : "=");
}

static void add_value(struct buf *b, const struct log_field *f, int json) {
  switch (f->type) {
  case LOG_TEXT:
    add_text(b, f->text, json);
    break;
  case LOG_INTEGER:
    buf_integer(b, f->integer);
    break;
  case LOG_NUMBER:
    buf_json_number(b, f->number);
    break;
  }
}

static void add_time(struct buf *b) {
  int64_t us = clock_wall_us();
  time_t seconds = us / 1000000;
  struct tm tm;
  gmtime_r(&seconds, &tm);
  char text[32];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
  buf_format(b, "%s.%03dZ", text, (int)(us / 1000 % 1000));
}

void log_event(enum log_level level, const char *event, const struct log_field *fields) {
  if ((int)level < threshold)
    return;
  int json = as_json;
  struct buf b = {0};
  buf_text(&b, json ? "{\"time\":\"" : "time=");
  add_time(&b);
  buf_format(&b, json ? "\",\"level\":\"%s\",\"event\":" : " level=%s event=", level_names[level]);
  add_text(&b, event, json);
  for (; fields->key && b.length < LOG_LINE_MAX; fields++) {
    add_key(&b, fields->key, json);
    add_value(&b, fields, json);
  }
  buf_text(&b, json ? "}\n" : "\n");
  if (!b.failed) {
    ssize_t written = write(log_fd, b.data, b.length);
    (void)written; /* a log that cannot be written has nobody to tell */
  }
  buf_free(&b);
}

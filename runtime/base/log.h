/* log: one event a line, key=value or JSON, to standard error.
 *
 * Any thread may log; a line is written with one write(2). What comes from a plugin carries
 * plugin=NAME and is rate-limited by its isolate, not here. Values are quoted and escaped, and in
 * keys stands "_" for what would have to be, so a line never breaks; what is too long is cut. */
#pragma once

#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

enum {
  LOG_TEXT_MAX = 4096,  /* bytes of a value */
  LOG_KEY_MAX = 64,     /* bytes of a key */
  LOG_LINE_MAX = 16384, /* bytes of a line after which no field follows */
};

struct log_field {
  const char *key; /* NULL ends a list */
  enum { LOG_TEXT, LOG_INTEGER, LOG_NUMBER } type;
  union {
    const char *text; /* NULL prints as an empty string */
    int64_t integer;
    double number;
  };
};

#define LOG_S(k, v) ((struct log_field){.key = (k), .type = LOG_TEXT, .text = (v)})
#define LOG_I(k, v) ((struct log_field){.key = (k), .type = LOG_INTEGER, .integer = (int64_t)(v)})
#define LOG_N(k, v) ((struct log_field){.key = (k), .type = LOG_NUMBER, .number = (v)})

/* log_info("status changed", LOG_S("service", name), LOG_I("n", 3)) */
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_at(level, event, ...)                                                                  \
  log_event((level), (event), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = 0}})

/* Writes one line when `level` is at or above the threshold. Takes nothing over. Any thread. */
void log_event(enum log_level level, const char *event, const struct log_field *fields);

/* Both before threads start: the threshold (default info), and JSON lines instead of key=value. */
void log_set_level(enum log_level level);
void log_set_json(int on);

/* "debug", "info", "warn", "error" → level, or -EINVAL. */
int log_level_parse(const char *word);

/* Where lines go; default 2. A test may capture them. */
void log_set_fd(int fd);

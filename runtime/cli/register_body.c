#include "cli/register_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct writing {
  const struct arguments *arguments;
  struct buf *body;
  const char *address;
  long port;
};

static void member(struct buf *body, const char *key, const char *value) {
  if (!value)
    return;
  if (body->length && body->data[body->length - 1] != '{')
    buf_char(body, ',');
  buf_json_text(body, key);
  buf_char(body, ':');
  buf_json_text(body, value);
}

static void begin(struct buf *body, const char *key, const char *bracket) {
  buf_char(body, ',');
  buf_json_text(body, key);
  buf_char(body, ':');
  buf_text(body, bracket);
}

static void write_tags(struct writing *w) {
  const char *tag;
  begin(w->body, "Tags", "[");
  for (size_t i = 0; (tag = arguments_each(w->arguments, "tag", i)); i++) {
    if (i)
      buf_char(w->body, ',');
    buf_json_text(w->body, tag);
  }
  buf_char(w->body, ']');
}

static int write_meta(struct writing *w) {
  const char *pair;
  begin(w->body, "Meta", "{");
  for (size_t i = 0; (pair = arguments_each(w->arguments, "meta", i)); i++) {
    const char *equals = strchr(pair, '=');
    if (!equals || equals == pair)
      return complain(w->arguments, EXIT_USAGE, "--meta is KEY=VALUE, not \"%s\"", pair);
    if (i)
      buf_char(w->body, ',');
    buf_json_bytes(w->body, pair, (size_t)(equals - pair));
    buf_char(w->body, ':');
    buf_json_text(w->body, equals + 1);
  }
  buf_char(w->body, '}');
  return 0;
}

/* The instance's own address and port, as they go into a URL. */
static void write_host(struct writing *w, struct buf *out) {
  bool six = strchr(w->address, ':') != NULL;
  buf_format(out, six ? "[%s]:%ld" : "%s:%ld", w->address, w->port);
}

/* http=/path and tcp alone mean the instance itself: the API takes whole URLs and addresses. */
static int write_kind(struct writing *w, const char *kind, const char *value) {
  struct buf whole = {0};
  if (strcasecmp(kind, "http") == 0 && value && *value == '/') {
    buf_text(&whole, "http://");
    write_host(w, &whole);
    buf_text(&whole, value);
  } else if (strcasecmp(kind, "tcp") == 0 && !value) {
    write_host(w, &whole);
  } else if (value && *value) {
    buf_text(&whole, value);
  }
  const char *name = strcasecmp(kind, "http") == 0  ? "HTTP"
                     : strcasecmp(kind, "tcp") == 0 ? "TCP"
                     : strcasecmp(kind, "ttl") == 0 ? "TTL"
                                                    : NULL;
  int status = 0;
  if (!name)
    status = complain(w->arguments, EXIT_USAGE,
                      "--check begins with http=PATH, tcp or ttl=DURATION, not \"%s\"", kind);
  else if (!whole.length)
    status = complain(w->arguments, EXIT_USAGE, "--check %s needs a value: %s=...", kind, kind);
  else
    member(w->body, name, whole.data);
  buf_free(&whole);
  return status;
}

static int write_setting(struct writing *w, const char *key, const char *value) {
  static const struct {
    const char *key, *name;
    bool number;
  } settings[] = {{"interval", "Interval", false},
                  {"timeout", "Timeout", false},
                  {"name", "Name", false},
                  {"id", "CheckID", false},
                  {"notes", "Notes", false},
                  {"initial", "Status", false},
                  {"rise", "SuccessBeforePassing", true},
                  {"fall", "FailuresBeforeCritical", true},
                  {"deregister-after", "DeregisterCriticalServiceAfter", false}};
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    if (strcmp(settings[i].key, key) != 0 || !value)
      continue;
    if (!settings[i].number)
      member(w->body, settings[i].name, value);
    else if (!*value || value[strspn(value, "0123456789")] || strlen(value) > 9)
      return complain(w->arguments, EXIT_USAGE, "%s is a number, not \"%s\"", key, value);
    else
      buf_format(w->body, ",\"%s\":%ld", settings[i].name, strtol(value, NULL, 10));
    return 0;
  }
  return complain(w->arguments, EXIT_USAGE,
                  "a check has interval, timeout, name, id, notes, initial, rise, fall and "
                  "deregister-after = VALUE, not \"%s\"",
                  key);
}

/* http=/healthz,interval=2s,timeout=1s */
static int write_check(struct writing *w, const char *text) {
  char *copy = strdup(text), *rest = NULL;
  int status = copy ? 0 : complain(w->arguments, EXIT_FAILED, "out of memory");
  bool first = true, ttl = false, interval = false;
  buf_char(w->body, '{');
  for (char *word = copy ? strtok_r(copy, ",", &rest) : NULL; word && !status;
       word = strtok_r(NULL, ",", &rest)) {
    char *value = strchr(word, '=');
    if (value)
      *value++ = 0;
    ttl |= first && strcasecmp(word, "ttl") == 0;
    interval |= strcmp(word, "interval") == 0;
    status = first ? write_kind(w, word, value) : write_setting(w, word, value);
    first = false;
  }
  if (!status && first)
    status = complain(w->arguments, EXIT_USAGE, "--check needs a value: http=PATH, tcp or ttl=...");
  if (!status && !ttl && !interval)
    member(w->body, "Interval", "10s");
  buf_char(w->body, '}');
  free(copy);
  return status;
}

static int write_checks(struct writing *w) {
  const char *check, *ttl = arguments_option(w->arguments, "ttl");
  int64_t ns;
  int status = arguments_duration(w->arguments, "ttl", &ns);
  size_t i = 0;
  begin(w->body, "Checks", "[");
  for (; !status && (check = arguments_each(w->arguments, "check", i)); i++) {
    if (i)
      buf_char(w->body, ',');
    status = write_check(w, check);
  }
  if (ttl) {
    buf_text(w->body, i ? ",{" : "{");
    member(w->body, "TTL", ttl);
    buf_char(w->body, '}');
  }
  buf_char(w->body, ']');
  return status;
}

/* A lease and an owner are perigee's own: Consul has neither. */
static int write_own(struct writing *w) {
  const char *lease = arguments_option(w->arguments, "lease");
  long owner;
  int64_t ns;
  int status = arguments_number(w->arguments, "owner", 1, 0x7fffffff, 0, &owner);
  if (!status)
    status = arguments_duration(w->arguments, "lease", &ns);
  if (status || (!lease && !owner))
    return status;
  begin(w->body, "Perigee", "{");
  member(w->body, "Lease", lease);
  if (owner)
    buf_format(w->body, "%s\"Owner\":%ld", lease ? "," : "", owner);
  buf_char(w->body, '}');
  return 0;
}

int register_body(const struct arguments *a, struct buf *body, struct buf *id) {
  static const char *const named[] = {"name", "id", "address"};
  const char *name = arguments_option(a, "name"), *said = arguments_option(a, "id"),
             *address = arguments_option(a, "address");
  struct writing w = {.arguments = a, .body = body, .address = address ? address : "127.0.0.1"};
  for (size_t i = 0; i < sizeof named / sizeof *named; i++)
    if (arguments_flag(a, named[i]) && !*arguments_option(a, named[i]))
      return complain(a, EXIT_USAGE, "--%s is empty", named[i]);
  if (!name)
    return complain(a, EXIT_USAGE, "--name is missing: the service, or FILE with the whole body");
  int status = arguments_number(a, "port", 1, 65535, 0, &w.port);
  if (status)
    return status;
  if (!w.port)
    return complain(a, EXIT_USAGE, "--port is missing");
  if (said)
    buf_text(id, said);
  else
    buf_format(id, "%s-%s-%ld", name, w.address, w.port);
  buf_char(body, '{');
  member(body, "Name", name);
  member(body, "ID", id->data);
  member(body, "Address", w.address);
  buf_format(body, ",\"Port\":%ld", w.port);
  write_tags(&w);
  status = write_meta(&w);
  if (!status)
    status = write_checks(&w);
  if (!status)
    status = write_own(&w);
  buf_char(body, '}');
  return status;
}

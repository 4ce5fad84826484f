/* A target against what its registry's adapter says that its targets may have. */
#include "base/fault.h"
#include "base/findings.h"
#include "base/schema.h"
#include "base/value.h"
#include "config/target.h"
#include "vm/plugin/target_form.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is wrong with a part, and how far into it. */
struct wrong {
  const char *what;
  size_t at;
};

static bool wrong_at(struct wrong *w, size_t at, const char *what) {
  *w = (struct wrong){what, at};
  return false;
}

static const char host_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "0123456789.-_";

/* How much of `one` is the host; 0: it is none. */
static size_t host_length(const char *one, struct wrong *w) {
  char six[64];
  struct in6_addr ignored;
  if (*one != '[') {
    size_t length = strspn(one, host_letters), end = strcspn(one, ":,");
    const char *second = one[end] == ':' ? strpbrk(one + end + 1, ":,") : NULL;
    if (second && *second == ':')
      wrong_at(w, 0, "an IPv6 address is written in brackets, as in [::1]:80");
    else if (length < end)
      wrong_at(w, length, "no character of a host's name");
    else if (length == 0)
      wrong_at(w, 0, "expected a host");
    else
      return length;
    return 0;
  }
  size_t inside = strcspn(one + 1, "],");
  if (one[inside + 1] != ']')
    return wrong_at(w, inside + 1, "expected \"]\" after an IPv6 address");
  snprintf(six, sizeof six, "%.*s", (int)strcspn(one + 1, "]%,"), one + 1);
  if (inet_pton(AF_INET6, six, &ignored) != 1)
    return wrong_at(w, 1, "expected an IPv6 address between the brackets");
  return inside + 2;
}

static bool port_is_right(const char *one, size_t length, size_t at, struct wrong *w) {
  unsigned port = 0;
  for (size_t i = at; i < length; i++) {
    if (one[i] < '0' || one[i] > '9' || (port = port * 10 + (unsigned)(one[i] - '0')) > 65535)
      return wrong_at(w, at, "expected a port from 1 to 65535");
  }
  return port ? true : wrong_at(w, at, "expected a port from 1 to 65535");
}

/* Hosts with ports, which may be missing in an authority: its adapter has a default. */
static bool addresses_are_right(const char *text, bool several, bool needs_port, struct wrong *w) {
  const char *one = text;
  for (;; one++) {
    size_t length = strcspn(one, ","), host = host_length(one, w);
    bool right = host != 0;
    if (right && host < length && one[host] != ':')
      right = wrong_at(w, host, "expected \":\" and a port");
    else if (right && host == length && needs_port)
      right = wrong_at(w, host, "expected \":\" and a port, as in host:80");
    else if (right && host < length)
      right = port_is_right(one, length, host + 1, w);
    if (right && one[length] && !several)
      right = wrong_at(w, length, "one address is expected");
    if (!right)
      w->at += (size_t)(one - text);
    one += length;
    if (!right || !*one)
      return right;
  }
}

static bool part_is_right(enum target_part part, const char *text, bool needs_port,
                          struct wrong *w) {
  switch (part) {
  case TARGET_NONE:
    return !*text;
  case TARGET_ANY:
    return true;
  case TARGET_ADDRESS:
  case TARGET_ADDRESSES:
    return (!*text && !needs_port) ||
           addresses_are_right(text, part == TARGET_ADDRESSES, needs_port, w);
  }
  return true;
}

/* Where in the text the i-th character of a part is. What is encoded is pointed at as a whole. */
static const char *character(const char *text, size_t part_at, const char *part, size_t i) {
  bool plain = strncmp(text + part_at, part, strlen(part)) == 0;
  return text + part_at + (plain ? i : 0);
}

static const char *option_at(const struct target *t, const char *text, const char *path) {
  for (size_t i = 0; i < t->option_count; i++) {
    const struct target_option *o = &t->options[i];
    if (strcmp(o->key, path) == 0)
      return text + o->at;
  }
  return text + strlen(text); /* one that is missing */
}

/* The option that a finding is about: its path is NAME, NAME[2] or ["na.me"]. */
static void name_of(const char *path, char *name, size_t size) {
  bool quoted = strncmp(path, "[\"", 2) == 0;
  const char *start = quoted ? path + 2 : path;
  snprintf(name, size, "%.*s", (int)strcspn(start, quoted ? "\"" : ".["), start);
}

static int check_options(const struct target *t, const char *text, const struct schema *schema,
                         struct fault *f) {
  struct value *written = value_table(), *read = NULL;
  struct findings findings = {0};
  int r = written ? 0 : -ENOMEM;
  for (size_t i = 0; r == 0 && i < t->option_count; i++)
    r = value_set(written, t->options[i].key,
                  schema_value_of_text(schema, t->options[i].key, t->options[i].value));
  bool refused = r == 0 && schema_check(schema, written, "", &findings, &read) != 0;
  if (refused && findings.items) {
    const struct finding *first = &findings.items[0];
    char name[200];
    name_of(first->path, name, sizeof name);
    r = target_refuse(text, option_at(t, text, name), f, "the option \"%s\": %s", name,
                      first->text);
  } else if (refused || r != 0) {
    r = fault_set(f, -ENOMEM, "out of memory");
  }
  findings_free(&findings);
  value_unref(read);
  value_unref(written);
  return r;
}

int target_check(const struct target *t, const char *text, const struct target_form *form,
                 struct fault *f) {
  struct wrong w = {0};
  if (!form)
    return 0;
  if (!part_is_right(form->authority, t->authority, false, &w)) {
    if (form->authority != TARGET_NONE)
      return target_refuse(text, character(text, t->authority_at, t->authority, w.at), f, "%s",
                           w.what);
    return target_refuse(text, text + t->authority_at, f,
                         "%s has no server to choose: expected a third \"/\", as in %s:///%s",
                         t->registry, t->registry, t->name);
  }
  if (!part_is_right(form->name, t->name, true, &w))
    return target_refuse(text, character(text, t->name_at, t->name, w.at), f, "%s", w.what);
  return check_options(t, text, form->options, f);
}

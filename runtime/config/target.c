#include "config/target.h"

#include "base/fault.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char registry_rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "0123456789_-.";

/* The text that is read, and how far. */
struct reader {
  const char *text, *at;
  struct fault *f;
};

/* The text up to a user, and what comes after it. */
static const char *without_user(const char *text, int *before) {
  const char *authority = strstr(text, "://"), *end = authority ? authority + 3 : text;
  end += authority ? strcspn(end, "/?") : 0;
  *before = authority ? (int)(authority + 3 - text) : 0;
  for (const char *at = end; authority && at > authority + 3; at--)
    if (at[-1] == '@' || strncmp(at - 1, "%40", 3) == 0)
      return at[-1] == '@' ? at : at + 2;
  return text + *before;
}

int target_refuse(const char *text, const char *at, struct fault *f, const char *format, ...) {
  char what[400];
  int before;
  const char *rest = without_user(text, &before);
  va_list ap;
  va_start(ap, format);
  vsnprintf(what, sizeof what, format, ap);
  va_end(ap);
  return fault_set(f, -EINVAL, "\"%.*s%s%.200s\": character %zu: %s", before, text,
                   rest > text + before ? "...@" : "", rest, (size_t)(at - text) + 1, what);
}

static int refuse(const struct reader *r, const char *at, const char *expected) {
  return target_refuse(r->text, at, r->f, "%s", expected);
}

static int hex(char c) {
  return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Reads up to one of `stops` or the end, decoding %XX. Control characters, spaces and NUL (written
 * as they are or encoded) are refused: nothing that is watched has them in its name. */
static int read_part(struct reader *r, const char *stops, const char *what, char **out) {
  size_t length = strcspn(r->at, stops), n = 0;
  char *part = malloc(length + 1);
  if (!part)
    return fault_set(r->f, -ENOMEM, "out of memory");
  for (const char *p = r->at, *end = r->at + length; p < end; p++) {
    char c = *p;
    const char *from = p;
    if (c == '%') {
      if (!isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2])) {
        free(part);
        return refuse(r, p, "expected two hexadecimal digits after %");
      }
      c = (char)(hex(p[1]) * 16 + hex(p[2]));
      p += 2;
    }
    if ((unsigned char)c <= ' ' || c == 0x7f) {
      free(part);
      return refuse(r, from, what);
    }
    part[n++] = c;
  }
  part[n] = 0;
  r->at += length;
  *out = part;
  return 0;
}

static int read_registry(struct reader *r, struct target *t) {
  size_t length = 0;
  if (*r->at && strchr(letters, *r->at))
    length = strspn(r->at, registry_rest);
  if (!length)
    return refuse(r, r->at, "expected a registry's name, as in registry:///name");
  if (strncmp(r->at + length, "://", 3) != 0)
    return refuse(r, r->at + length, "expected \"://\" after the registry's name");
  t->registry = strndup(r->at, length);
  r->at += length + 3;
  return t->registry ? 0 : fault_set(r->f, -ENOMEM, "out of memory");
}

static int read_option(struct reader *r, struct target *t) {
  const char *start = r->at;
  char *key = NULL, *value = NULL;
  int status = read_part(r, "=&", "no spaces or control characters in an option", &key);
  if (!status && (!key || !*key))
    status = refuse(r, start, "expected an option's name, as in ?key=value");
  if (!status && *r->at != '=')
    status = refuse(r, r->at, "expected \"=\" and the option's value");
  if (!status && target_option(t, key))
    status = refuse(r, start, "this option was given before");
  if (!status) {
    r->at++;
    status = read_part(r, "&", "no spaces or control characters in an option", &value);
  }
  struct target_option *more =
      status ? NULL : realloc(t->options, (t->option_count + 1) * sizeof *more);
  if (!more) {
    free(key);
    free(value);
    return status ? status : fault_set(r->f, -ENOMEM, "out of memory");
  }
  t->options = more;
  t->options[t->option_count++] = (struct target_option){key, value, (size_t)(start - r->text)};
  return 0;
}

static int read_target(struct reader *r, struct target *t) {
  int status = read_registry(r, t);
  const char *authority = r->at;
  t->authority_at = (size_t)(authority - r->text);
  if (!status)
    status = read_part(r, "/?", "no spaces or control characters in the authority", &t->authority);
  if (status)
    return status;
  if (strchr(t->authority, '@'))
    return refuse(r, authority,
                  "no user and no password in a target: they are options of the registry");
  if (*r->at != '/')
    return refuse(r, r->at, "expected \"/\" and the name to watch, as in registry:///name");
  const char *name = ++r->at;
  t->name_at = (size_t)(name - r->text);
  status = read_part(r, "?", "no spaces or control characters in a name", &t->name);
  if (!status && !*t->name)
    status = refuse(r, name, "expected the name to watch");
  while (!status && *r->at) { /* at the ? first, then at each & */
    r->at++;
    status = read_option(r, t);
  }
  return status;
}

int target_parse(const char *text, struct target *out, struct fault *f) {
  struct reader r = {text, text, f};
  *out = (struct target){0};
  int status = read_target(&r, out);
  if (status)
    target_clear(out);
  return status;
}

void target_clear(struct target *t) {
  for (size_t i = 0; i < t->option_count; i++) {
    free(t->options[i].key);
    free(t->options[i].value);
  }
  free(t->options);
  free(t->registry);
  free(t->authority);
  free(t->name);
  *t = (struct target){0};
}

const char *target_option(const struct target *t, const char *key) {
  for (size_t i = 0; i < t->option_count; i++)
    if (strcmp(t->options[i].key, key) == 0)
      return t->options[i].value;
  return NULL;
}

#include "config/target.h"

#include "base/fault.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
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

static int refuse(const struct reader *r, const char *at, const char *expected) {
  return fault_set(r->f, -EINVAL, "\"%.200s\": character %zu: %s", r->text,
                   (size_t)(at - r->text) + 1, expected);
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
  t->options[t->option_count++] = (struct target_option){key, value};
  return 0;
}

static int read_target(struct reader *r, struct target *t) {
  int status = read_registry(r, t);
  if (!status)
    status = read_part(r, "/?", "no spaces or control characters in the authority", &t->authority);
  if (status)
    return status;
  if (*r->at != '/')
    return refuse(r, r->at, "expected \"/\" and the name to watch, as in registry:///name");
  const char *name = ++r->at;
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

int target_each_address(const char *name,
                        int (*each)(void *arg, const char *host, unsigned short port), void *arg,
                        struct fault *f) {
  for (const char *p = name;; p++) {
    size_t length = strcspn(p, ",");
    char one[300], host[256];
    uint16_t port;
    if (length >= sizeof one)
      return fault_set(f, -EINVAL, "an address is too long: \"%.40s...\"", p);
    memcpy(one, p, length);
    one[length] = 0;
    int status = address_parse(one, host, sizeof host, &port, f);
    if (!status && (!*host || !port))
      status = fault_set(f, -EINVAL, "\"%s\": an endpoint has a host and a port", one);
    if (!status && each)
      status = each(arg, host, port);
    if (status)
      return status;
    p += length;
    if (!*p)
      return 0;
  }
}

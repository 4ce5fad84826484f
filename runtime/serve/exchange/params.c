#include "serve/exchange/params.h"

#include <errno.h>
#include <string.h>

static int hex(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

long percent_decode(char *text, size_t length, bool plus) {
  size_t to = 0;
  for (size_t from = 0; from < length; from++, to++) {
    char c = text[from];
    if (c == '%') {
      int high = from + 2 < length ? hex(text[from + 1]) : -1;
      int low = high >= 0 ? hex(text[from + 2]) : -1;
      if (low < 0)
        return -EINVAL;
      c = (char)(high * 16 + low);
      from += 2;
    } else if (c == '+' && plus) {
      c = ' ';
    }
    if (!c)
      return -EINVAL;
    text[to] = c;
  }
  text[to] = 0;
  return (long)to;
}

static int params_add(struct params *p, char *text, size_t length) {
  if (length == 0)
    return 0;
  if (p->count == PARAMS_MAX)
    return -E2BIG;
  char *equals = memchr(text, '=', length);
  size_t key = equals ? (size_t)(equals - text) : length;
  char *value = text + key + (equals ? 1 : 0);
  /* The value first: the key's terminating NUL goes where the '=' or the value's end is. */
  if (percent_decode(value, length - (size_t)(value - text), true) < 0 ||
      percent_decode(text, key, true) < 0)
    return -EINVAL;
  p->items[p->count++] = (struct param){.key = text, .value = equals ? value : ""};
  return 0;
}

int params_parse(struct params *p, char *text, size_t length) {
  p->count = 0;
  while (length > 0) {
    char *and = memchr(text, '&', length);
    size_t one = and? (size_t)(and-text) : length;
    int r = params_add(p, text, one);
    if (r != 0)
      return r;
    one += and? 1 : 0;
    text += one;
    length -= one;
  }
  return 0;
}

const char *params_next(const struct params *p, const char *key, size_t *at) {
  for (; *at < p->count; (*at)++)
    if (strcmp(p->items[*at].key, key) == 0)
      return p->items[(*at)++].value;
  return NULL;
}

const char *params_get(const struct params *p, const char *key) {
  size_t at = 0;
  return params_next(p, key, &at);
}

#include "base/buf.h"

#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_free(struct buf *b) {
  free(b->data);
  *b = (struct buf){0};
}

void buf_clear(struct buf *b) {
  b->length = 0;
  b->failed = 0;
  if (b->data)
    b->data[0] = 0;
}

int buf_reserve(struct buf *b, size_t more) {
  if (more >= SIZE_MAX / 2 - b->length) {
    b->failed = 1;
    return -ENOMEM;
  }
  size_t need = b->length + more + 1;
  if (need <= b->capacity)
    return 0;
  size_t capacity = b->capacity ? b->capacity : 64;
  while (capacity < need)
    capacity *= 2;
  char *data = realloc(b->data, capacity);
  if (!data) {
    b->failed = 1;
    return -ENOMEM;
  }
  b->data = data;
  b->capacity = capacity;
  b->data[b->length] = 0;
  return 0;
}

void buf_add(struct buf *b, const void *bytes, size_t length) {
  if (buf_reserve(b, length) != 0)
    return;
  if (length)
    memcpy(b->data + b->length, bytes, length);
  b->length += length;
  b->data[b->length] = 0;
}

void buf_text(struct buf *b, const char *text) {
  buf_add(b, text, strlen(text));
}

void buf_char(struct buf *b, char c) {
  buf_add(b, &c, 1);
}

void buf_format(struct buf *b, const char *format, ...) {
  va_list ap, again;
  va_start(ap, format);
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, format, ap);
  va_end(ap);
  if (n >= 0 && buf_reserve(b, (size_t)n) == 0) {
    vsnprintf(b->data + b->length, (size_t)n + 1, format, again);
    b->length += (size_t)n;
  }
  va_end(again);
}

void buf_integer(struct buf *b, int64_t n) {
  char digits[24];
  char *end = digits + sizeof digits, *p = end;
  uint64_t u = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
  do {
    *--p = (char)('0' + u % 10);
    u /= 10;
  } while (u);
  if (n < 0)
    *--p = '-';
  buf_add(b, p, (size_t)(end - p));
}

static void add_escape(struct buf *b, unsigned char c) {
  static const char names[] = {
      ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
  if (c == '"' || c == '\\')
    buf_format(b, "\\%c", c);
  else if (c < sizeof names && names[c])
    buf_format(b, "\\%c", names[c]);
  else
    buf_format(b, "\\u%04x", c);
}

void buf_json_inside(struct buf *b, const char *text, size_t length) {
  const unsigned char *s = (const unsigned char *)text;
  size_t plain = 0; /* where the run not yet copied begins */
  for (size_t i = 0; i < length;) {
    size_t n = utf8_length(s + i, length - i);
    if (n > 1 || (n == 1 && s[i] >= 0x20 && s[i] != '"' && s[i] != '\\' && s[i] != 0x7f)) {
      i += n;
      continue;
    }
    buf_add(b, text + plain, i - plain);
    if (n == 0)
      buf_text(b, "\xef\xbf\xbd");
    else
      add_escape(b, s[i]);
    plain = ++i;
  }
  buf_add(b, text + plain, length - plain);
}

void buf_json_bytes(struct buf *b, const char *text, size_t length) {
  buf_char(b, '"');
  buf_json_inside(b, text, length);
  buf_char(b, '"');
}

void buf_json_text(struct buf *b, const char *text) {
  buf_json_bytes(b, text, strlen(text));
}

void buf_json_number(struct buf *b, double n) {
  if (!isfinite(n))
    buf_text(b, "null");
  else if (n == floor(n) && fabs(n) < 0x1p53)
    buf_integer(b, (int64_t)n);
  else
    buf_format(b, "%.17g", n);
}

void buf_json_next(struct buf *b) {
  char last = b->length ? b->data[b->length - 1] : '[';
  if (last != '[' && last != '{')
    buf_char(b, ',');
}

void buf_member(struct buf *b, const char *key) {
  buf_json_next(b);
  buf_json_text(b, key);
  buf_char(b, ':');
}

void buf_member_text(struct buf *b, const char *key, const char *text) {
  buf_member(b, key);
  if (text)
    buf_json_text(b, text);
  else
    buf_text(b, "null");
}

void buf_member_number(struct buf *b, const char *key, double n) {
  buf_member(b, key);
  buf_json_number(b, n);
}

void buf_member_flag(struct buf *b, const char *key, int flag) {
  buf_member(b, key);
  buf_text(b, flag ? "true" : "false");
}

/* buf: a growable run of bytes. Zero-initialised is empty. One owner, no thread of its own.
 * Running out of memory sets `failed` and drops what does not fit: check once, at the end. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf {
  char *data; /* NUL-terminated whenever not NULL */
  size_t length, capacity;
  int failed;
};

void buf_free(struct buf *b);
void buf_clear(struct buf *b);               /* keeps the memory */
int buf_reserve(struct buf *b, size_t more); /* 0 or -ENOMEM */
void buf_add(struct buf *b, const void *bytes, size_t length);
void buf_text(struct buf *b, const char *text);
void buf_char(struct buf *b, char c);
void buf_format(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_integer(struct buf *b, int64_t n);

/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buf_json_text(struct buf *b, const char *text);
void buf_json_bytes(struct buf *b, const char *text, size_t length);
void buf_json_inside(struct buf *b, const char *text, size_t length); /* without the quotes */
/* A JSON number; what JSON cannot say (NaN, infinite) becomes null. */
void buf_json_number(struct buf *b, double n);
/* Before an element of a list or a member of an object: a comma, where it is not the first. */
void buf_json_next(struct buf *b);
/* A member's key, with that; its value is to follow. */
void buf_member(struct buf *b, const char *key);
void buf_member_text(struct buf *b, const char *key, const char *text); /* NULL: null */
void buf_member_number(struct buf *b, const char *key, double n);
void buf_member_flag(struct buf *b, const char *key, int flag);

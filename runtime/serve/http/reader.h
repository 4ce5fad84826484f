/* reader: bytes → HTTP/1.1 requests, one at a time, by llhttp, within limits. Knows no socket and
 * no clock, so that a fuzzer can drive it. One owner; worker thread. */
#pragma once

#include "base/buf.h"

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>

enum reader_phase {
  READER_IDLE,    /* between requests; nothing of the next one has come */
  READER_HEAD,    /* in the request line or the headers */
  READER_BODY,    /* in the body */
  READER_WHOLE,   /* a request is here, until reader_next */
  READER_REFUSED, /* what came is not a request that can be answered; see `status`, `reason` */
};

struct reader {
  llhttp_t parser;
  enum reader_phase phase;
  size_t head_limit, body_limit; /* bytes */
  size_t head_bytes;             /* of this request so far */
  struct buf target;             /* path and query, as they came */
  struct buf body;
  struct buf headers; /* "name: value\n" each, names in lower case; for /v1/x/ alone */
  bool keep_alive;
  bool has_host;
  bool expects;              /* an Expect header came; `continue_wanted` if it was 100-continue */
  bool continue_wanted;      /* the client waits for "100 Continue" before it sends the body */
  int status;                /* READER_REFUSED: the answer's status */
  const char *reason;        /* and its text */
  char field[24], value[24]; /* the header being read, lower case; longer ones are of no interest */
  unsigned field_length, value_length;
};

void reader_init(struct reader *r, size_t head_limit, size_t body_limit);
void reader_free(struct reader *r);

/* Reads on until a request is whole, the bytes are used up, or it must refuse. `*used` is how many
 * bytes it took: not all of them when another request follows a whole one. Not to be called with a
 * whole request inside, nor after a refusal. */
enum reader_phase reader_feed(struct reader *r, const char *bytes, size_t length, size_t *used);
/* The whole request was answered: forget it. */
void reader_next(struct reader *r);

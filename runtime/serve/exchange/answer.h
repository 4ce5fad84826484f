/* answer: how a handler answers an exchange. Exactly one of these, once, or exchange_ask. */
#pragma once

#include "serve/exchange/exchange.h"

/* An empty buffer to write a body into; valid until the handler returns. */
struct buf *answer_body(struct exchange *x);
/* What was written into it, as JSON; indented when ?pretty was asked for. */
void answer_json(struct exchange *x, int status);
void answer_bytes(struct exchange *x, int status, const char *type, const char *body,
                  size_t length);
/* A sentence, as text/plain. */
void answer_text(struct exchange *x, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A whole answer's head without its length; the body follows in pieces, and its end, which closes
 * the connection where it is not `whole`. */
void answer_begin(struct exchange *x, int status);
void answer_more(struct exchange *x, const char *bytes, size_t length);
void answer_end(struct exchange *x, bool whole);
void answer_empty(struct exchange *x, int status);
/* What a negative errno of the control thread means to an HTTP client; `text` may be NULL. */
void answer_errno(struct exchange *x, int error, const char *text);

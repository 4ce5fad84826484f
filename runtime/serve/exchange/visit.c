#include "serve/exchange/visit.h"

#include <stdlib.h>
#include <string.h>

struct visit_answer *visit_answer_new(int status, const char *headers, const char *body,
                                      size_t length) {
  struct visit_answer *a = calloc(1, sizeof *a);
  if (!a)
    return NULL;
  a->status = status;
  a->headers = headers ? strdup(headers) : NULL;
  a->body = length ? malloc(length) : NULL;
  a->length = length;
  if ((headers && !a->headers) || (length && !a->body)) {
    visit_answer_free(a);
    return NULL;
  }
  if (length)
    memcpy(a->body, body, length);
  return a;
}

void visit_answer_free(struct visit_answer *a) {
  if (!a)
    return;
  free(a->headers);
  free(a->body);
  free(a);
}

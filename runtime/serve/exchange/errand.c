#include "serve/exchange/errand.h"

#include <stdlib.h>
#include <string.h>

struct errand *errand_new(enum errand_kind kind, const char *id, const char *output,
                          void (*finish)(struct exchange *x, const struct errand *e)) {
  struct errand *e = calloc(1, sizeof *e);
  if (!e)
    return NULL;
  e->kind = kind;
  e->finish = finish;
  if ((id && !(e->id = strdup(id))) || (output && !(e->output = strdup(output)))) {
    errand_free(e);
    return NULL;
  }
  return e;
}

void errand_free(struct errand *e) {
  if (!e)
    return;
  if (e->registration)
    registration_unref(e->registration);
  free(e->id);
  free(e->output);
  free(e->text);
  free(e->visit);
  visit_answer_free(e->answer);
  free(e);
}

/* errand: a question that a worker's handler asks the control thread, and its answer. One owner at
 * a time: the worker makes it, the control thread answers it, the worker finishes and frees it. */
#pragma once

#include "registry/registration.h"
#include "serve/exchange/mailbox.h"
#include "serve/exchange/visit.h"

struct exchange;

enum errand_kind {
  ERRAND_REGISTER,
  ERRAND_DEREGISTER,
  ERRAND_RENEW,
  ERRAND_CHECK,
  ERRAND_METRICS,
  ERRAND_STATUS,
  ERRAND_PLUGINS,
  ERRAND_POLICIES,
  ERRAND_RESOLVE,
  ERRAND_OPERATE,
  ERRAND_VISIT,
  /* Word of a visit that is under way, or of any long errand (GONE), and answered by nothing: to
   * the worker, to the control thread. */
  ERRAND_PIECE,
  ERRAND_ROOM,
  ERRAND_GONE,
  ERRAND_EXPLAIN,
};

struct errand {
  struct letter letter;
  enum errand_kind kind;
  void *worker;     /* to whom the answer goes */
  void *connection; /* who waits for it; NULL once that has gone. Worker thread only */
  /* the question */
  struct registration *registration; /* a reference */
  char *id; /* of an instance, a check or a service; or the verb to operate by; owned */
  enum status status;
  char *output;         /* of a check; or what the verb is given; owned */
  struct visit *visit;  /* owned */
  uint64_t number;      /* of a long one, unique: its own, or of the one that it is word of */
  struct errand *about; /* ERRAND_PIECE: the visit's errand, which comes back after it */
  /* the answer */
  int result;                  /* 0 or a negative errno */
  char *text;                  /* owned; may be NULL */
  struct visit_answer *answer; /* owned; of a visit */
  /* Writes the HTTP answer. Worker thread, inside the view. */
  void (*finish)(struct exchange *x, const struct errand *e);
};

/* It takes as long as a plugin's or an operator's code does: whether anybody still waits is
 * watched, and told. */
static inline bool errand_is_long(const struct errand *e) {
  return e->kind == ERRAND_VISIT || e->kind == ERRAND_OPERATE;
}

/* `id` and `output` are copied when not NULL. NULL: out of memory. */
struct errand *errand_new(enum errand_kind kind, const char *id, const char *output,
                          void (*finish)(struct exchange *x, const struct errand *e));
void errand_free(struct errand *e);

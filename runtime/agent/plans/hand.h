/* hand: what an operator has said of one service: weights that override every plan for a while,
 * the plan that is frozen, shadows that are live. Plain data, and its form in the store. Control
 * thread only. */
#pragma once

#include "watch/plan.h"

struct value;

struct override {
  char *id;
  double weight;
  int64_t until_us; /* clock_steady_us */
};

/* Zero-initialised it says nothing. */
struct hand {
  struct override *overrides; /* by id */
  size_t override_count;
  bool is_frozen;
  struct outcome frozen; /* when is_frozen */
  int64_t thaws_us;      /* clock_steady_us; 0: it stays so until somebody says otherwise */
  char **promoted;       /* names of plugins */
  size_t promoted_count;
};

/* Replaces the one of that id. 0 or -ENOMEM. */
int hand_override(struct hand *h, const char *id, double weight, int64_t until_us);
bool hand_release(struct hand *h, const char *id); /* takes it back; whether there was one */
/* Ends what is over by then; whether there was anything. */
bool hand_expire(struct hand *h, int64_t now_us);
int64_t hand_due_us(const struct hand *h); /* when the next ends; 0: nothing does */
const struct override *hand_find(const struct hand *h, const char *id);

/* Takes the outcome over, until `thaws_us`, 0: for good. NULL: no more. */
void hand_freeze(struct hand *h, struct outcome *frozen, int64_t thaws_us);

/* 0 or -ENOMEM. */
int hand_promote(struct hand *h, const char *plugin, bool live);

bool hand_is_empty(const struct hand *h);
/* The last word on each of q's endpoints; whether it has changed one. */
bool hand_apply(const struct hand *h, const struct plan_question *q, struct plan_row *out);

struct value *hand_to_value(const struct hand *h); /* NULL: out of memory */
/* Adds what `v` says of `service` to an empty one. 0, -ENOMEM, or -EPROTO: it is of another form.
 */
int hand_from_value(struct hand *h, const char *service, const struct value *v);
void hand_free(struct hand *h); /* empties it */

/* decision: what policies said of an instance, and the changes that they make to it on the way.
 * Plain data. Control thread only. */
#pragma once

#include "registry/registration.h"

struct buf;
struct value;

enum verdict {
  VERDICT_NONE, /* nobody has said anything yet: it waits */
  VERDICT_REGISTER,
  VERDICT_HOLD,     /* not yet; what is registered stays */
  VERDICT_WITHDRAW, /* not registered, and still wanted */
  VERDICT_REFUSE
};
const char *verdict_name(enum verdict v);               /* "undecided", "register", ... */
int verdict_parse(const char *word, enum verdict *out); /* 0, or -EINVAL: none that is said */

struct decision {
  enum verdict verdict;
  char *reason;          /* NULL: none was given */
  char *policy;          /* the plugin that said so; NULL where all agreed to register */
  struct value *changes; /* a list of tables with tags, meta, weight, zone; NULL: none */
  bool stays;            /* of VERDICT_HOLD: it is registered, and so after a restart, too */
};
void decision_clear(struct decision *d);
/* The same but for the reason, which may tell of a moment. */
bool decision_equal(const struct decision *a, const struct decision *b);

/* ⇄ bytes, for the store. 0, -ENOMEM, -EPROTO. */
int decision_encode(const struct decision *d, struct buf *out);
int decision_decode(const void *bytes, size_t length, struct decision *out);

/* What may be changed, and to what: 0, or -EINVAL and `f` says what is wrong. */
int changes_check(const struct value *changes, struct fault *f);
/* The instance with one table of changes: tags and meta are added, weight and zone replaced. 0,
 * -ENOMEM, or -EINVAL: it would not be an endpoint. */
int changes_apply(const struct instance *in, const struct value *changes, struct instance **out,
                  struct fault *f);
/* The state with all changes of a list in its instance; its own reference where there are none.
 * NULL: out of memory. */
struct registration_state *changes_show(const struct registration_state *s,
                                        const struct value *list);

/* roll: who is in a service, as one registry says. Two rolls are one service: an instance that both
 * have counts once, by its id, or by its address and port where they name it differently. Holds a
 * reference of each instance. Zero-initialised is empty. Control thread only. */
#pragma once

#include "watch/instances.h"

struct roll {
  struct instances has;     /* by id */
  struct instance **places; /* the same by address and port, those that have both; NULL: not asked
                               for since it was filled */
  size_t place_count;
};

/* 0, or -ENOMEM and the roll is what it was. */
int roll_fill(struct roll *r, const struct set_row *rows, size_t count);
void roll_free(struct roll *r);

/* Where in `has` this instance is; -ENOENT. For want of memory only its id is looked at. */
long roll_find(struct roll *r, const struct instance *in);

/* Adds to `out`, by id, all of `a`, and of `b` what `a` has not. 0 or -ENOMEM. */
int roll_unite(struct roll *a, struct roll *b, struct instances *out);
/* Takes out of `r` what is in `those` too. */
void roll_drop(struct roll *r, struct roll *those);

/* How two rolls differ. `unlike`: in both, with another address, port, zone, weight, tags or
 * status. */
struct roll_difference {
  size_t only_first, only_second, unlike;
};
void roll_compare(struct roll *a, struct roll *b, struct roll_difference *out);

/* feed: from what one or two sources say of a service to what is published of it. A source that is
 * unreachable keeps its last word; a sudden loss is held (guard.h); two sources are merged, or the
 * second stands in for the first. What is published when it begins (of a former life, or of other
 * sources) stays until the sources that now have the say have spoken. Control thread only. */
#pragma once

#include "watch/guard.h"
#include "watch/roll.h"

enum feed_merge {
  FEED_FALLBACK, /* the second while the first has too few, or is stale for too long */
  FEED_UNION,    /* both (roll.h), but for one that is stale for too long; of an instance that both
                    have, the first one's facts */
  FEED_COMPARE   /* the first; how they differ is only told */
};
/* What is published for want of endpoints: when there are fewer than `min_endpoints`, or nobody
 * that could be gone by was reached for `stale_after`. */
enum feed_on_empty {
  FEED_EMPTY, /* none */
  FEED_KEEP,  /* what was published before */
  FEED_SWITCH /* the larger of both lists, the first where they are equal, however small; what was
                 published before while one that has not spoken may have more */
};

struct feed_rule {
  enum feed_merge merge;
  enum feed_on_empty on_empty;
  uint32_t min_endpoints; /* at least 1 */
  int64_t stale_after_ns; /* 0: what cannot be reached stays its last word for ever */
  int64_t hold_ns;        /* of a sudden loss (guard.h); 0: none is */
};

enum { FEED_SOURCES = 2 };

struct feed_events {
  bool (*withdrew)(void *arg, const struct instance *in); /* by this agent itself; may be NULL */
  /* Newly held: whoever can find out whether it answers tells by feed_disprove. May be NULL. */
  void (*held)(void *arg, const struct instance *in);
};

struct feed;

/* `into` outlives it. NULL: out of memory. */
struct feed *feed_new(struct set *into, const struct feed_rule *rule,
                      const struct feed_events *events, void *arg);
void feed_free(struct feed *f);

/* Another rule from now on. */
void feed_change(struct feed *f, const struct feed_rule *rule);
/* What the sources say first is believed whole, whatever was published before: others are asked
 * now than those that said that. */
void feed_believe(struct feed *f);

/* Source `i` (0 or 1) has this. `known`: it was reached at least once. */
void feed_told(struct feed *f, unsigned i, const struct set_published *what);
/* What was known in a former life: stale since then, until a source speaks. */
void feed_seed(struct feed *f, const struct instances *copy, int64_t since_ns);
void feed_disprove(struct feed *f, const char *id); /* a held one does not answer */

/* Does what is due; returns when something is due next (clock_now_ns), 0: nothing. */
int64_t feed_tick(struct feed *f);
/* Whether there is something to go by: a source was reached, or a copy of a former life. */
bool feed_ready(const struct feed *f);
bool feed_is_told(const struct feed *f); /* a source was reached, and says how it is now */

/* Whether source `i` has this endpoint of the service, by this id or where it is. */
bool feed_has(struct feed *f, unsigned i, const struct instance *in);

enum feed_merge feed_merge(const struct feed *f);

struct feed_stats {
  uint64_t held;        /* endpoints, now */
  uint64_t holds, kept; /* ever: sudden losses held; too short lists not published */
  bool compared;        /* FEED_COMPARE, and both were reached: `differing` is how it is */
  struct roll_difference differing;
  bool switched; /* the second source stands in */
};
void feed_stats(const struct feed *f, struct feed_stats *out);

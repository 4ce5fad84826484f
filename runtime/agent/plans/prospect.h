/* prospect: which endpoints a service would have under another configuration, as far as that can be
 * known before: those that it has now, with what the configuration changes of its own instances.
 * One that is added counts as healthy, unless a policy is to decide about it first. What another
 * registry has is known when it is asked. Control thread only. */
#pragma once

#include "watch/set.h"

struct config;
struct config_watch;
struct prospects;

/* Both configurations outlive them. NULL: out of memory. */
struct prospects *prospects_new(const struct config *old, const struct config *next);
void prospects_free(struct prospects *all);

/* The services that one of the two watches, or whose own instances differ: by name. */
size_t prospects_count(const struct prospects *all);
const char *prospects_service(const struct prospects *all, size_t i);

/* The service's watch in the old configuration, or the next; NULL: it has none. */
const struct config_watch *prospects_watch(const struct prospects *all, const char *service,
                                           bool next);
/* Whether it could have other endpoints than now. */
bool prospects_concern(const struct prospects *all, const char *service);

struct prospect {
  struct set_row *rows; /* by id, each with a reference to its instance */
  size_t count;
};

/* Of a service with these `rows` now; `sets` has what other names have. 0, -ENOMEM; -ENODATA: it is
 * to come from where nobody has asked for it yet. */
int prospect_make(const struct prospects *all, const char *service, struct sets *sets,
                  const struct set_row *rows, size_t count, struct prospect *out);
void prospect_free(struct prospect *p);

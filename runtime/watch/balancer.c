#include "watch/balancer.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/value.h"
#include "select/select.h"

#include <errno.h>

/* "name", or { "name" }: the algorithms that there are take no options. */
static const char *stage_name(const struct value *stage) {
  if (value_kind(stage) == VALUE_TABLE && value_length(stage) == 1 && value_fields(stage) == 0)
    stage = value_at(stage, 0);
  return value_as_text(stage, NULL);
}

static int refuse_name(const char *name, struct fault *f) {
  struct buf known = {0};
  const struct select_balancer *b;
  for (unsigned i = 0; (b = select_at(i)) != NULL; i++)
    buf_format(&known, "%s%s", i ? ", " : "", b->name);
  int r = fault_set(f, -EINVAL, "no balancer is called %s; there are %s", name,
                    known.data ? known.data : "none");
  buf_free(&known);
  return r;
}

int balancer_parse(const struct value *balancer, const char **name, struct fault *f) {
  *name = NULL;
  if (value_kind(balancer) == VALUE_NIL)
    return 0;
  const char *found = stage_name(balancer);
  if (!found && value_kind(balancer) == VALUE_TABLE && value_length(balancer) == 1)
    found = stage_name(value_at(balancer, 0));
  if (!found)
    return fault_set(f, -EINVAL,
                     "expected a balancer's name; stages and options come with balancer plugins");
  if (!select_by_name(found))
    return refuse_name(found, f);
  *name = found;
  return 0;
}

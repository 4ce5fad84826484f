#include "watch/outlier_stage.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/text.h"
#include "base/value.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

enum form { FORM_COUNT, FORM_SHARE, FORM_FACTOR, FORM_TIME };

/* What can be said, and where it goes. */
static const struct option {
  const char *name;
  enum form form;
  size_t at; /* in struct outlier_rules */
} options[] = {
    {"consecutive", FORM_COUNT, offsetof(struct outlier_rules, consecutive)},
    {"interval", FORM_TIME, offsetof(struct outlier_rules, interval_ns)},
    {"ejection", FORM_TIME, offsetof(struct outlier_rules, ejection_ns)},
    {"longest", FORM_TIME, offsetof(struct outlier_rules, longest_ns)},
    {"most", FORM_SHARE, offsetof(struct outlier_rules, most)},
    {"factor", FORM_FACTOR, offsetof(struct outlier_rules, factor)},
    {"rate_endpoints", FORM_COUNT, offsetof(struct outlier_rules, rate_endpoints)},
    {"rate_requests", FORM_COUNT, offsetof(struct outlier_rules, rate_requests)},
    {"failure_share", FORM_SHARE, offsetof(struct outlier_rules, failure_share)},
    {"failure_endpoints", FORM_COUNT, offsetof(struct outlier_rules, failure_endpoints)},
    {"failure_requests", FORM_COUNT, offsetof(struct outlier_rules, failure_requests)},
};
enum { OPTIONS = sizeof options / sizeof *options };
#define LEAST_TIME_NS 10000000 /* 10 ms */

static bool is_outlier(const struct value *stage) {
  const char *name = value_as_text(stage, value_as_text(value_at(stage, 0), ""));
  return strcmp(name, "outlier") == 0;
}

const struct value *outlier_stage_find(const struct value *balancer) {
  if (is_outlier(balancer) && value_kind(balancer) == VALUE_TABLE && value_fields(balancer))
    return balancer;
  for (size_t i = 0; i < value_length(balancer); i++)
    if (is_outlier(value_at(balancer, i)))
      return value_at(balancer, i);
  return NULL;
}

static const struct option *option_of(const char *name) {
  for (size_t i = 0; i < OPTIONS; i++)
    if (strcmp(options[i].name, name) == 0)
      return &options[i];
  return NULL;
}

static int refuse_option(const char *name, struct fault *f) {
  struct buf known = {0};
  for (size_t i = 0; i < OPTIONS; i++)
    buf_format(&known, "%s%s", i ? ", " : "", options[i].name);
  int r = fault_set(f, -EINVAL, "outlier has no option %s; it has %s", name,
                    known.data ? known.data : "others");
  buf_free(&known);
  return r;
}

static int set_time(const struct option *o, const struct value *v, void *to, struct fault *f) {
  int64_t ns = 0;
  const char *text = value_as_text(v, NULL);
  if (text && duration_parse(text, &ns, f) == 0 && ns >= LEAST_TIME_NS) {
    memcpy(to, &ns, sizeof ns);
    return 0;
  }
  return fault_set(f, -EINVAL, "outlier's %s is a duration from \"10ms\" on, as in \"30s\"",
                   o->name);
}

static int set_option(const struct option *o, const struct value *v, struct outlier_rules *rules,
                      struct fault *f) {
  void *to = (char *)rules + o->at;
  double n = value_as_number(v, -1), most = o->form == FORM_SHARE ? 1 : 1e9;
  uint32_t count = n >= 0 && n <= most ? (uint32_t)n : 0;
  if (o->form == FORM_TIME)
    return set_time(o, v, to, f);
  if (!(n >= 0 && n <= most) || (o->form == FORM_COUNT && count != n))
    return fault_set(f, -EINVAL, "outlier's %s is %s", o->name,
                     o->form == FORM_SHARE   ? "a number from 0 to 1"
                     : o->form == FORM_COUNT ? "a whole number, 0 or more"
                                             : "a number, 0 or more");
  if (o->form == FORM_COUNT)
    memcpy(to, &count, sizeof count);
  else
    memcpy(to, &n, sizeof n);
  return 0;
}

int outlier_stage_parse(const struct value *stage, struct outlier_rules *rules, struct fault *f) {
  *rules = outlier_defaults;
  for (size_t i = 0; i < value_fields(stage); i++) {
    const char *name;
    const struct value *v = value_field(stage, i, &name);
    const struct option *o = option_of(name);
    int r = o ? set_option(o, v, rules, f) : refuse_option(name, f);
    if (r < 0)
      return r;
  }
  return value_length(stage) <= 1
             ? 0
             : fault_set(f, -EINVAL, "outlier takes its options by name, as in most = 0.5");
}

#include "watch/stage.h"

#include "base/fault.h"
#include "base/schema.h"
#include "base/value.h"
#include "select/select.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_NS 10000000 /* of the agent's sweeps */

/* One option, as schema.h has them. */
struct option {
  const char *name, *type;
  double otherwise, least, most;  /* numbers */
  const char *text;               /* the default of what is no number; NULL = may be absent */
  const char *shortest, *longest; /* durations; NULL = any */
  bool needed, main;
};

struct stage {
  const char *name;
  enum stage_rank rank;
  const struct option *options; /* until one without a name */
  int (*apply)(const struct value *checked, const struct balancer_host *host, struct balancer *b,
               struct fault *f);
};

static double number(const struct value *checked, const char *name) {
  return value_as_number(value_get(checked, name), 0);
}
static uint32_t whole(const struct value *checked, const char *name) {
  return (uint32_t)number(checked, name);
}

static const struct option no_options[] = {{0}};

static const struct option select_options[] = {{.name = "tag", .type = "string", .main = true},
                                               {.name = "zone", .type = "string"},
                                               {.name = "meta", .type = "map"},
                                               {0}};
static int apply_select(const struct value *checked, const struct balancer_host *host,
                        struct balancer *b, struct fault *f) {
  b->select = (struct selection){.tag = value_as_text(value_get(checked, "tag"), NULL),
                                 .zone = value_as_text(value_get(checked, "zone"), NULL),
                                 .meta = value_get(checked, "meta")};
  if (!b->select.tag && !b->select.zone && !b->select.meta)
    return fault_set(f, -EINVAL, "select needs a tag, a zone or meta to select by");
  return 0;
}

/* Envoy's values, where it has one. */
static const struct option outlier_options[] = {
    {.name = "most", .type = "number", .otherwise = 0.1, .least = 0, .most = 1, .main = true},
    {.name = "consecutive", .type = "integer", .otherwise = 5, .least = 0, .most = 1 << 20},
    {.name = "interval", .type = "duration", .text = "10s"},
    {.name = "ejection", .type = "duration", .text = "30s"},
    {.name = "longest", .type = "duration", .text = "300s"},
    {.name = "factor", .type = "number", .otherwise = 1.9, .least = 0, .most = 1000},
    {.name = "rate_endpoints", .type = "integer", .otherwise = 5, .least = 1, .most = 1 << 20},
    {.name = "rate_requests", .type = "integer", .otherwise = 100, .least = 1, .most = 1 << 20},
    {.name = "failure_share", .type = "number", .otherwise = 0, .least = 0, .most = 1},
    {.name = "failure_endpoints", .type = "integer", .otherwise = 5, .least = 1, .most = 1 << 20},
    {.name = "failure_requests", .type = "integer", .otherwise = 50, .least = 1, .most = 1 << 20},
    {0}};
static int64_t duration(const struct value *checked, const char *name) {
  double ns = number(checked, name) * 1e9;
  return ns < 9e18 ? (int64_t)ns : INT64_MAX / 2;
}
static int apply_outlier(const struct value *checked, const struct balancer_host *host,
                         struct balancer *b, struct fault *f) {
  b->outlier = (struct outlier_rules){.consecutive = whole(checked, "consecutive"),
                                      .interval_ns = duration(checked, "interval"),
                                      .ejection_ns = duration(checked, "ejection"),
                                      .longest_ns = duration(checked, "longest"),
                                      .most = number(checked, "most"),
                                      .factor = number(checked, "factor"),
                                      .rate_endpoints = whole(checked, "rate_endpoints"),
                                      .rate_requests = whole(checked, "rate_requests"),
                                      .failure_share = number(checked, "failure_share"),
                                      .failure_endpoints = whole(checked, "failure_endpoints"),
                                      .failure_requests = whole(checked, "failure_requests")};
  if (b->outlier.interval_ns < LEAST_NS || b->outlier.ejection_ns < LEAST_NS)
    return fault_set(f, -EINVAL, "outlier: interval and ejection are 10ms at least");
  return 0;
}

static const struct option panic_options[] = {
    {.name = "below", .type = "number", .otherwise = 0.5, .least = 0, .most = 1, .main = true},
    {0}};
static int apply_panic(const struct value *checked, const struct balancer_host *host,
                       struct balancer *b, struct fault *f) {
  b->rules.panic = number(checked, "below");
  return 0;
}

static const struct option priority_options[] = {
    {.name = "meta", .type = "string", .text = "priority", .main = true},
    {.name = "overprovision", .type = "number", .otherwise = 1.4, .least = 1, .most = 1000},
    {0}};
static int apply_priority(const struct value *checked, const struct balancer_host *host,
                          struct balancer *b, struct fault *f) {
  b->rules.priority = true;
  b->rules.priority_key = value_as_text(value_get(checked, "meta"), "priority");
  b->rules.overprovision = number(checked, "overprovision");
  return 0;
}

static const struct option subset_options[] = {
    {.name = "size", .type = "integer", .least = 1, .most = 1 << 20, .needed = true, .main = true},
    {0}};
static int apply_subset(const struct value *checked, const struct balancer_host *host,
                        struct balancer *b, struct fault *f) {
  const char *node = host && host->node ? host->node : "";
  if (!*node)
    return fault_set(f, -EINVAL, "subset needs the agent's name: set node = ...");
  b->rules.subset = whole(checked, "size");
  b->rules.subset_seed = select_hash(node, strlen(node));
  return 0;
}

static const struct option zone_options[] = {
    {.name = "min", .type = "integer", .otherwise = 6, .least = 1, .most = 1 << 20},
    {.name = "clients", .type = "shares"},
    {0}};
static int apply_zone(const struct value *checked, const struct balancer_host *host,
                      struct balancer *b, struct fault *f) {
  const struct value *clients = value_get(checked, "clients");
  double sum = 0;
  if (!host || !host->zone || !*host->zone)
    return fault_set(f, -EINVAL, "zone needs to know where this agent is: set zone = ...");
  b->rules.zone = true;
  b->rules.own_zone = host->zone;
  b->rules.zone_min = whole(checked, "min");
  if (b->rules.subset && b->rules.subset < b->rules.zone_min)
    return fault_set(f, -EINVAL,
                     "zone would never act: subset leaves %u endpoints, and below min = %u zones "
                     "do not matter",
                     b->rules.subset, b->rules.zone_min);
  size_t count = value_fields(clients);
  if (count == 0)
    return 0;
  b->shares = calloc(count, sizeof *b->shares);
  if (!b->shares)
    return fault_set(f, -ENOMEM, "out of memory");
  for (size_t i = 0; i < count; i++) {
    b->shares[i].share = value_as_number(value_field(clients, i, &b->shares[i].zone), 0);
    if (!(b->shares[i].share >= 0 && b->shares[i].share <= 1e9))
      return fault_set(f, -EINVAL, "zone: clients has a number for each zone, none negative");
    sum += b->shares[i].share;
  }
  for (size_t i = 0; i < count && sum > 0; i++)
    b->shares[i].share /= sum;
  if (!(sum > 0))
    return fault_set(f, -EINVAL, "zone: clients says that there are none");
  b->rules.zone_shares = b->shares;
  b->rules.zone_share_count = (uint32_t)count;
  return 0;
}

static const struct option slow_start_options[] = {
    {.name = "window", .type = "duration", .text = "30s", .main = true},
    {.name = "aggression", .type = "number", .otherwise = 1, .least = 0.1, .most = 10},
    {.name = "floor", .type = "number", .otherwise = 0.1, .least = 0.001, .most = 1},
    {0}};
static int apply_slow_start(const struct value *checked, const struct balancer_host *host,
                            struct balancer *b, struct fault *f) {
  b->rules.slow_start_ns = (uint64_t)duration(checked, "window");
  b->rules.aggression = number(checked, "aggression");
  b->rules.slow_start_min = number(checked, "floor");
  return 0;
}

static const struct option least_request_options[] = {
    {.name = "choices", .type = "integer", .otherwise = 2, .least = 2, .most = 16, .main = true},
    {.name = "bias", .type = "number", .otherwise = 1, .least = 0, .most = 100},
    {0}};
static int apply_least_request(const struct value *checked, const struct balancer_host *host,
                               struct balancer *b, struct fault *f) {
  b->rules.choices = whole(checked, "choices");
  b->rules.bias = number(checked, "bias");
  b->rules.unbiased = b->rules.bias <= 0;
  return 0;
}

static const struct option p2c_options[] = {
    {.name = "decay",
     .type = "duration",
     .text = "10s",
     .shortest = "1ms",
     .longest = "24h",
     .main = true},
    {.name = "force", .type = "duration", .text = "1s", .shortest = "1ms", .longest = "24h"},
    {0}};
static int apply_p2c(const struct value *checked, const struct balancer_host *host,
                     struct balancer *b, struct fault *f) {
  b->rules.decay_ms = (uint32_t)(number(checked, "decay") * 1000);
  b->rules.force_ms = (uint32_t)(number(checked, "force") * 1000);
  return 0;
}

enum { SIZE_LEAST = 1009 }; /* ten cells for each of 100 endpoints */

static bool is_prime(uint32_t n) {
  for (uint32_t d = 2; (uint64_t)d * d <= n; d++)
    if (n % d == 0)
      return false;
  return n > 1;
}

static const struct option maglev_options[] = {
    {.name = "size", .type = "integer", .least = 0, .most = 5000011, .main = true}, {0}};
static int apply_maglev(const struct value *checked, const struct balancer_host *host,
                        struct balancer *b, struct fault *f) {
  b->rules.table_size = whole(checked, "size");
  if (b->rules.table_size && (b->rules.table_size < SIZE_LEAST || !is_prime(b->rules.table_size)))
    return fault_set(f, -EINVAL, "maglev: size is a prime number of 1009 at least, as 65537 is");
  return 0;
}

static const struct option bounded_options[] = {
    {.name = "bound",
     .type = "number",
     .otherwise = 1.25,
     .least = 1.01,
     .most = 1000,
     .main = true},
    {.name = "size", .type = "integer", .least = 0, .most = 5000011},
    {0}};
static int apply_bounded(const struct value *checked, const struct balancer_host *host,
                         struct balancer *b, struct fault *f) {
  b->rules.bound = number(checked, "bound");
  return apply_maglev(checked, host, b, f);
}

static const struct option ring_options[] = {{.name = "points",
                                              .type = "integer",
                                              .otherwise = 100,
                                              .least = 1,
                                              .most = 65536,
                                              .main = true},
                                             {0}};
static int apply_ring(const struct value *checked, const struct balancer_host *host,
                      struct balancer *b, struct fault *f) {
  b->rules.points = whole(checked, "points");
  return 0;
}

static int apply_nothing(const struct value *checked, const struct balancer_host *host,
                         struct balancer *b, struct fault *f) {
  return 0;
}

static const struct stage stages[] = {
    {"select", STAGE_SELECT, select_options, apply_select},
    {"outlier", STAGE_OUTLIER, outlier_options, apply_outlier},
    {"panic", STAGE_PANIC, panic_options, apply_panic},
    {"priority", STAGE_PRIORITY, priority_options, apply_priority},
    {"subset", STAGE_SUBSET, subset_options, apply_subset},
    {"zone", STAGE_ZONE, zone_options, apply_zone},
    {"slow_start", STAGE_SLOW_START, slow_start_options, apply_slow_start},
    {"round_robin", STAGE_ALGORITHM, no_options, apply_nothing},
    {"random", STAGE_ALGORITHM, no_options, apply_nothing},
    {"weighted", STAGE_ALGORITHM, no_options, apply_nothing},
    {"weighted_round_robin", STAGE_ALGORITHM, no_options, apply_nothing},
    {"least_request", STAGE_ALGORITHM, least_request_options, apply_least_request},
    {"p2c_ewma", STAGE_ALGORITHM, p2c_options, apply_p2c},
    {"p2c", STAGE_ALGORITHM, p2c_options, apply_p2c},
    {"maglev", STAGE_ALGORITHM, maglev_options, apply_maglev},
    {"maglev_bounded", STAGE_ALGORITHM, bounded_options, apply_bounded},
    {"ring", STAGE_ALGORITHM, ring_options, apply_ring},
    {"rendezvous", STAGE_ALGORITHM, no_options, apply_nothing},
    {"pick_first", STAGE_ALGORITHM, no_options, apply_nothing},
};
enum { STAGES = sizeof stages / sizeof stages[0] };

const struct stage *stage_at(size_t i) {
  return i < STAGES ? &stages[i] : NULL;
}

const struct stage *stage_find(const char *name) {
  for (size_t i = 0; name && i < STAGES; i++)
    if (strcmp(stages[i].name, name) == 0)
      return &stages[i];
  return NULL;
}

const char *stage_name(const struct stage *s) {
  return s->name;
}

enum stage_rank stage_rank(const struct stage *s) {
  return s->rank;
}

static struct value *text_of(const char *text) {
  return value_text(text, strlen(text));
}

/* { type, default, min =, max =, ... }. A NULL in between shows in the next value_set. */
static struct value *declare_option(const struct option *o) {
  bool shares = strcmp(o->type, "shares") == 0, map = shares || strcmp(o->type, "map") == 0;
  struct value *form = value_table();
  int r = value_append(form, text_of(map ? "map" : o->type));
  if (r == 0 && o->most > 0) {
    if (!o->needed)
      r = value_append(form, value_number(o->otherwise));
    if (r == 0)
      r = value_set(form, "min", value_number(o->least));
    if (r == 0)
      r = value_set(form, "max", value_number(o->most));
  } else if (r == 0 && o->text) {
    r = value_append(form, text_of(o->text));
    if (r == 0 && o->shortest)
      r = value_set(form, "min", text_of(o->shortest));
    if (r == 0 && o->longest)
      r = value_set(form, "max", text_of(o->longest));
  } else if (r == 0) {
    r = value_set(form, "optional", value_boolean(true));
  }
  if (r == 0 && map)
    r = value_set(form, "of", text_of(shares ? "number" : "string"));
  if (r == 0 && o->main)
    r = value_set(form, "main", value_boolean(true));
  if (r == 0)
    return form;
  value_unref(form);
  return NULL;
}

static int make_schema(const struct stage *s, struct schema **out, struct fault *f) {
  struct value *declaration = value_table();
  int r = declaration ? 0 : -ENOMEM;
  for (const struct option *o = s->options; r == 0 && o->name; o++)
    r = value_set(declaration, o->name, declare_option(o));
  r = r ? fault_set(f, r, "out of memory") : schema_new(declaration, out, f);
  value_unref(declaration);
  return r;
}

static const char *main_option(const struct stage *s) {
  for (const struct option *o = s->options; o->name; o++)
    if (o->main)
      return o->name;
  return NULL;
}

/* The options alone, by name. */
static int gather(const struct stage *s, const struct value *written, struct value **out,
                  struct fault *f) {
  struct value *options = value_table();
  size_t length = value_kind(written) == VALUE_TABLE ? value_length(written) : 1;
  int r = options ? 0 : -ENOMEM;
  for (size_t i = 0; r == 0 && i < value_fields(written); i++) {
    const char *key;
    const struct value *v = value_field(written, i, &key);
    r = value_set(options, key, value_ref(v));
  }
  if (r == 0 && length > 1) {
    if (length > 2 || !main_option(s) || value_get(options, main_option(s))) {
      value_unref(options);
      return fault_set(f, -EINVAL, "%s: its options have names, as in { \"%s\", option = ... }",
                       s->name, s->name);
    }
    r = value_set(options, main_option(s), value_ref(value_at(written, 1)));
  }
  if (r)
    value_unref(options);
  *out = options;
  return r ? fault_set(f, r, "out of memory") : 0;
}

int stage_apply(const struct stage *s, const struct value *written,
                const struct balancer_host *host, struct balancer *b, struct fault *f) {
  struct findings findings = {0};
  struct schema *schema = NULL;
  struct value *options = NULL, *checked = NULL;
  int r = gather(s, written, &options, f);
  if (r)
    return r;
  r = make_schema(s, &schema, f);
  if (r == 0 && schema_check(schema, options, s->name, &findings, &checked) > 0)
    r = fault_set(f, -EINVAL, "%s: %s", findings.count ? findings.items[0].path : s->name,
                  findings.count ? findings.items[0].text : "out of memory");
  if (r == 0)
    r = s->apply(checked, host, b, f);
  if (r == 0 && value_append(b->options, checked) != 0)
    r = fault_set(f, -ENOMEM, "out of memory");
  else if (r)
    value_unref(checked);
  schema_free(schema);
  findings_free(&findings);
  value_unref(options);
  return r;
}

#include "watch/balancer.h"

#include "base/fault.h"
#include "base/text.h"
#include "base/value.h"
#include "select/select.h"
#include "watch/instance.h"
#include "watch/stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAGES_MAX = 16 };

static const char *written_name(const struct value *stage) {
  return value_as_text(value_kind(stage) == VALUE_TABLE ? value_at(stage, 0) : stage, NULL);
}

/* A list of stages, or one stage: { "p2c", decay = "5s" } and { "maglev", 65537 } are one. */
static bool is_list(const struct value *v) {
  if (value_kind(v) != VALUE_TABLE || value_fields(v) || value_length(v) == 0)
    return false;
  if (value_length(v) == 1)
    return value_kind(value_at(v, 0)) == VALUE_TABLE;
  for (size_t i = 0; i < value_length(v); i++)
    if (!written_name(value_at(v, i)))
      return false;
  return true;
}

static int misplaced(const char *name, struct fault *f) {
  return fault_set(
      f, -EINVAL,
      "%s is out of place: the order is select, outlier, panic, priority, then plugins "
      "as they are written, then subset, zone, slow_start, each of these once",
      name);
}

/* `f` has what was said of a plugin of that name, where there could be one. */
static int refuse_name(const char *name, bool sought, struct fault *f) {
  const char *known[32];
  size_t count = 0;
  while (count < 32 && stage_at(count)) {
    known[count] = stage_name(stage_at(count));
    count++;
  }
  const char *near = nearest_word(name, known, count);
  if (!near && sought) {
    f->code = -EINVAL;
    return f->code;
  }
  return fault_set(f, -EINVAL, "there is no balancer %s%s%s%s", name, near ? ": did you mean " : "",
                   near ? near : "", near ? "?" : "");
}

static int no_memory(struct fault *f) {
  return fault_set(f, -ENOMEM, "out of memory");
}

/* Of { "canary", "v2", share = 0.05, shadow = true } what is the plugin's: a table, with the value
 * that stands for its main option first, or that alone. `ours` is not the plugin's. */
static int plugin_options(const struct value *written, const char *ours, struct value **out,
                          struct fault *f) {
  size_t length = value_kind(written) == VALUE_TABLE ? value_length(written) : 1, named = 0;
  struct value *options = value_table();
  int r = options ? 0 : -ENOMEM;
  for (size_t i = 0; r == 0 && i < value_fields(written); i++) {
    const char *key;
    const struct value *v = value_field(written, i, &key);
    if (strcmp(key, ours) == 0)
      continue;
    r = value_set(options, key, value_ref(v));
    named++;
  }
  if (r == 0 && length > 2)
    r = -EINVAL;
  if (r == 0 && length == 2 && named > 0)
    r = value_append(options, value_ref(value_at(written, 1)));
  if (r == 0 && length == 2 && named == 0) {
    value_unref(options);
    options = value_ref(value_at(written, 1));
  } else if (r == 0) {
    value_place(options, value_file(written), value_line(written));
  } else {
    value_unref(options);
  }
  *out = options;
  return r == -EINVAL
             ? fault_set(f, r, "%s: its options have names, as in { \"%s\", option = ... }",
                         written_name(written), written_name(written))
         : r ? no_memory(f)
             : 0;
}

static int add_plan(const struct value *written, struct balancer *out, struct fault *f) {
  const struct value *shadow =
      value_kind(written) == VALUE_TABLE ? value_get(written, "shadow") : NULL;
  struct balancer_plan *more = realloc(out->plans, (out->plan_count + 1) * sizeof *more);
  struct value *options = NULL;
  if (!more)
    return no_memory(f);
  out->plans = more;
  if (shadow && value_kind(shadow) != VALUE_BOOLEAN)
    return fault_set(f, -EINVAL, "%s: shadow is true or false", written_name(written));
  int r = plugin_options(written, "shadow", &options, f);
  if (r == 0 && (value_append(out->options, options) != 0 ||
                 value_append(out->options, value_ref(written)) != 0))
    r = no_memory(f);
  if (r == 0)
    out->plans[out->plan_count++] =
        (struct balancer_plan){written_name(written), options, value_as_boolean(shadow, false)};
  return r;
}

/* Why an algorithm cannot honour a modifier, or NULL. */
static const char *conflict(const struct select_balancer *algorithm,
                            const struct catalog_rules *rules, unsigned changes) {
  if (algorithm->weightless && (changes & PLAN_WEIGHT))
    return "all endpoints are alike to it, so it cannot honour the weights that a plugin before it "
           "sets: take weighted, weighted_round_robin, least_request or p2c";
  if (algorithm == &select_pick_first) {
    if (rules->zone || rules->priority)
      return "it takes one endpoint, and cannot divide picks between zones or levels";
    if (rules->slow_start_ns)
      return "it takes one endpoint, and cannot give it a part of the picks (slow_start)";
  }
  if (!algorithm->by_key)
    return NULL;
  if (rules->slow_start_ns)
    return "weights that grow by and by, as in slow_start, would move keys all the while";
  if (rules->zone)
    return "with zone the same key would go elsewhere from each zone";
  if (rules->subset)
    return "with subset the same key would go elsewhere from each host";
  return NULL;
}

/* Who picks where the plugin cannot: { "mine", standin = "random" }, or what the plugin says. */
static int parse_standin(const struct value *written, const struct value *otherwise,
                         const struct balancer_host *host, struct balancer *out, struct fault *f) {
  const struct value *own =
      value_kind(written) == VALUE_TABLE ? value_get(written, "standin") : NULL;
  const struct value *standin = own ? own : otherwise;
  if (!standin)
    return 0;
  const char *name = written_name(standin);
  const struct stage *stage = name ? stage_find(name) : NULL;
  if (!stage || stage_rank(stage) != STAGE_ALGORITHM)
    return fault_set(f, -EINVAL, "%s: its standin is an algorithm, as in standin = \"p2c\"",
                     written_name(written));
  out->algorithm = select_by_name(name)->name;
  return stage_apply(stage, standin, host, out, f);
}

static int add_chooser(const struct value *written, const struct balancer_plugin *plugin,
                       const struct balancer_host *host, struct balancer *out, struct fault *f) {
  struct value *options = NULL;
  int r = plugin_options(written, "standin", &options, f);
  if (r == 0 && (value_append(out->options, options) != 0 ||
                 value_append(out->options, value_ref(written)) != 0 ||
                 (plugin->standin && value_append(out->options, value_ref(plugin->standin)) != 0)))
    r = no_memory(f);
  if (r != 0)
    return r;
  out->chooser = (struct balancer_chooser){written_name(written), options};
  return parse_standin(written, plugin->standin, host, out, f);
}

/* What the stages up to one have told. */
struct before {
  int rank;               /* the last one's */
  unsigned changes;       /* of plugins together */
  const char *moves_keys; /* the first's of them that says so, and its name */
  const char *mover;
};

/* A name that is no stage of ours: a plugin's. */
static int parse_plugin(const struct value *written, bool last, const struct balancer_host *host,
                        struct before *before, struct balancer *out, struct fault *f) {
  const char *name = written_name(written);
  struct balancer_plugin plugin = {0};
  bool sought = host && host->plugin;
  int r = sought ? host->plugin(host->arg, name, &plugin, f) : -ENOENT;
  if (r == -ENOENT)
    return refuse_name(name, sought, f);
  if (r != 0)
    return r;
  if (plugin.picks && !last)
    return fault_set(f, -EINVAL, "%s picks: it comes last, in the place of an algorithm", name);
  if (plugin.picks)
    return add_chooser(written, &plugin, host, out, f);
  if (last)
    return fault_set(f, -EINVAL, "%s plans, and chooses nothing by itself: an algorithm comes last",
                     name);
  if (before->rank > STAGE_PLAN)
    return misplaced(name, f);
  before->rank = STAGE_PLAN;
  before->changes |= plugin.changes;
  if (plugin.moves_keys && !before->moves_keys) {
    before->moves_keys = plugin.moves_keys;
    before->mover = name;
  }
  return add_plan(written, out, f);
}

static int parse_stage(const struct value *written, bool last, const struct balancer_host *host,
                       struct before *before, struct balancer *out, struct fault *f) {
  const char *name = written_name(written);
  const struct stage *stage = stage_find(name);
  if (!name)
    return fault_set(f, -EINVAL, "a balancer is a name, { name, options } or a list of these");
  if (!stage)
    return parse_plugin(written, last, host, before, out, f);
  if (last && stage_rank(stage) != STAGE_ALGORITHM)
    return fault_set(f, -EINVAL, "%s chooses nothing by itself: an algorithm comes last", name);
  if (!last && stage_rank(stage) == STAGE_ALGORITHM)
    return fault_set(f, -EINVAL, "%s is an algorithm: it comes last, and there is one", name);
  if ((int)stage_rank(stage) <= before->rank)
    return misplaced(name, f);
  before->rank = (int)stage_rank(stage);
  if (last)
    out->algorithm = select_by_name(name)->name;
  return stage_apply(stage, written, host, out, f);
}

static int parse(const struct value *from, const struct balancer_host *host, struct balancer *out,
                 struct fault *f) {
  size_t count = is_list(from) ? value_length(from) : 1;
  struct before before = {.rank = -1};
  int r = 0;
  if (count > STAGES_MAX)
    return fault_set(f, -EINVAL, "a balancer has at most %d stages", STAGES_MAX);
  for (size_t i = 0; r == 0 && i < count; i++)
    r = parse_stage(is_list(from) ? value_at(from, i) : from, i + 1 == count, host, &before, out,
                    f);
  if (r)
    return r;
  const struct select_balancer *algorithm = select_by_name(out->algorithm);
  const char *why = conflict(algorithm, &out->rules, before.changes);
  if (why)
    return fault_set(f, -EINVAL, "%s: %s", out->algorithm, why);
  if (algorithm->by_key && before.moves_keys)
    return fault_set(f, -EINVAL, "%s: behind %s %s", out->algorithm, before.mover,
                     before.moves_keys);
  return 0;
}

int balancer_parse(const struct value *from, const struct balancer_host *host, struct balancer *out,
                   struct fault *f) {
  *out = (struct balancer){0};
  if (value_kind(from) == VALUE_NIL)
    return 0;
  out->options = value_table();
  int r = out->options ? parse(from, host, out, f) : fault_set(f, -ENOMEM, "out of memory");
  if (r)
    balancer_end(out);
  return r;
}

void balancer_end(struct balancer *b) {
  value_unref(b->options);
  free(b->shares);
  free(b->plans);
  *b = (struct balancer){0};
}

bool selection_has(const struct selection *s, const struct instance *in) {
  bool has =
      (!s->tag || instance_has_tag(in, s->tag)) && (!s->zone || strcmp(s->zone, in->zone) == 0);
  for (size_t i = 0; has && i < value_fields(s->meta); i++) {
    const char *key;
    const struct value *wanted = value_field(s->meta, i, &key);
    const char *own = instance_meta(in, key);
    has = own && strcmp(own, value_as_text(wanted, "")) == 0;
  }
  return has;
}

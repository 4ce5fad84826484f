#include "watch/balancer.h"

#include "base/fault.h"
#include "base/text.h"
#include "base/value.h"
#include "select/select.h"
#include "watch/instance.h"
#include "watch/stage.h"

#include <errno.h>
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

static int refuse_name(const char *name, struct fault *f) {
  const char *known[32];
  size_t count = 0;
  while (count < 32 && stage_at(count)) {
    known[count] = stage_name(stage_at(count));
    count++;
  }
  const char *near = nearest_word(name, known, count);
  return fault_set(f, -EINVAL, "there is no balancer %s%s%s%s", name, near ? ": did you mean " : "",
                   near ? near : "", near ? "?" : "");
}

/* Why an algorithm cannot honour a modifier, or NULL. */
static const char *conflict(const struct select_balancer *algorithm,
                            const struct catalog_rules *rules) {
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

static int parse_stage(const struct value *written, bool last, const struct balancer_host *host,
                       int *rank, struct balancer *out, struct fault *f) {
  const char *name = written_name(written);
  const struct stage *stage = stage_find(name);
  if (!name)
    return fault_set(f, -EINVAL, "a balancer is a name, { name, options } or a list of these");
  if (!stage)
    return refuse_name(name, f);
  if (last && stage_rank(stage) != STAGE_ALGORITHM)
    return fault_set(f, -EINVAL, "%s chooses nothing by itself: an algorithm comes last", name);
  if (!last && stage_rank(stage) == STAGE_ALGORITHM)
    return fault_set(f, -EINVAL, "%s is an algorithm: it comes last, and there is one", name);
  if ((int)stage_rank(stage) <= *rank)
    return fault_set(
        f, -EINVAL,
        "%s is out of place: the order is select, outlier, panic, priority, subset, zone, "
        "slow_start, each once",
        name);
  *rank = (int)stage_rank(stage);
  if (last)
    out->algorithm = select_by_name(name)->name;
  return stage_apply(stage, written, host, out, f);
}

static int parse(const struct value *from, const struct balancer_host *host, struct balancer *out,
                 struct fault *f) {
  size_t count = is_list(from) ? value_length(from) : 1;
  int rank = -1, r = 0;
  if (count > STAGES_MAX)
    return fault_set(f, -EINVAL, "a balancer has at most %d stages", STAGES_MAX);
  for (size_t i = 0; r == 0 && i < count; i++)
    r = parse_stage(is_list(from) ? value_at(from, i) : from, i + 1 == count, host, &rank, out, f);
  if (r)
    return r;
  const char *why = conflict(select_by_name(out->algorithm), &out->rules);
  return why ? fault_set(f, -EINVAL, "%s: %s", out->algorithm, why) : 0;
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
  *b = (struct balancer){0};
}

static bool has_tag(const struct instance *in, const char *tag) {
  for (int i = 0; i < in->tag_count; i++)
    if (strcmp(in->tags[i], tag) == 0)
      return true;
  return false;
}

static bool has_pair(const struct instance *in, const char *key, const char *value) {
  for (int i = 0; i < in->meta_count; i++)
    if (strcmp(in->meta[i].key, key) == 0)
      return strcmp(in->meta[i].value, value) == 0;
  return false;
}

bool selection_has(const struct selection *s, const struct instance *in) {
  bool has = (!s->tag || has_tag(in, s->tag)) && (!s->zone || strcmp(s->zone, in->zone) == 0);
  for (size_t i = 0; has && i < value_fields(s->meta); i++) {
    const char *key;
    const struct value *value = value_field(s->meta, i, &key);
    has = has_pair(in, key, value_as_text(value, ""));
  }
  return has;
}

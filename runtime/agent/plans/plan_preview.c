/* plan_preview: weights and shares before and after a reload, before it is carried out. */
#include "agent/plans/plans_inside.h"

#include "agent/plugins/plugins.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/value.h"
#include "config/config.h"
#include "vm/plugin/plugin.h"

#include <stdlib.h>
#include <string.h>

struct search {
  const char *name;
  struct plugin *found;
};

static void look_for(void *arg, struct plugin *p, const struct quarantine *q) {
  struct search *s = arg;
  if (strcmp(plugin_kind(p), "balancer") == 0 && strcmp(plugin_name(p), s->name) == 0)
    s->found = p;
}

/* Of those that are loaded. */
static struct plugin *plugin_of(const struct plugins *all, const char *name) {
  struct search s = {.name = name};
  plugins_each(all, look_for, &s);
  return s.found;
}

enum verdict { THE_SAME, DIFFERENT, UNKNOWN };

/* Whether a stage's plugin is another; UNKNOWN: it is not in the draft, and not all may be. */
static enum verdict judge_stages(const struct plans *all, const struct plans_draft *draft,
                                 const struct balancer *rules) {
  enum verdict verdict = THE_SAME;
  for (size_t i = 0; i < rules->plan_count; i++) {
    const struct plugin *old = plugin_of(all->with.plugins, rules->plans[i].name);
    const struct plugin *fresh = plugin_of(draft->plugins, rules->plans[i].name);
    if (!fresh)
      return UNKNOWN;
    if (!old || strcmp(plugin_version(old), plugin_version(fresh)) != 0)
      verdict = DIFFERENT;
  }
  return verdict;
}

static int plan_anew(struct plans *all, struct plugins *plugins, const struct plan_question *q,
                     struct plan_row *rows, struct fault *f) {
  struct findings findings = {0};
  struct pipeline *p = NULL;
  const struct service_plan *own = plans_find(all, q->service);
  struct pipeline_stats apart = {0};
  plan_from_registry(q, rows);
  int r = q->rules->plan_count
              ? pipeline_new(plugins, q->service, q->rules, "balancer", &apart, &p, &findings)
              : 0;
  if (r != 0)
    fault_set(f, r, "%s", findings.count ? findings.items[0].text : "out of memory");
  else if (p)
    r = pipeline_try(p, q, rows, f);
  if (r == 0 && own)
    hand_apply(&own->hand, q, rows);
  pipeline_free(p);
  findings_free(&findings);
  return r;
}

static void show_side(struct buf *out, const char *key, const struct plan_row *row, double share) {
  buf_format(out, ",\"%s\":{", key);
  plan_row_show(out, row, share);
  buf_char(out, '}');
}

static void show_changes(const struct plan_look *before, const struct plan_row *after,
                         const double *shares, struct buf *out) {
  static const double same = 1e-9;
  size_t shown = 0;
  buf_text(out, ",\"moves\":");
  buf_json_number(out, plan_moved(before->shares, shares, before->q.count));
  buf_text(out, ",\"endpoints\":[");
  for (size_t i = 0; i < before->q.count; i++) {
    double moved = shares[i] - before->shares[i];
    if (plan_row_equal(&before->rows[i], &after[i]) && moved < same && moved > -same)
      continue;
    buf_text(out, shown++ ? ",{\"id\":" : "{\"id\":");
    buf_json_text(out, before->q.rows[i].instance->id);
    show_side(out, "before", &before->rows[i], before->shares[i]);
    show_side(out, "after", &after[i], shares[i]);
    buf_char(out, '}');
  }
  buf_char(out, ']');
}

static void preview(struct plans *all, struct plugins *plugins, const struct plan_look *before,
                    const struct balancer *rules, struct buf *out) {
  struct plan_question q = before->q;
  struct plan_row *after = calloc(q.count + 1, sizeof *after);
  double *shares = calloc(q.count + 1, sizeof *shares);
  struct fault f = {.text = "out of memory"};
  q.rules = rules;
  int r = after && shares ? plan_anew(all, plugins, &q, after, &f) : -1;
  if (r == 0)
    r = plan_shares(&q, after, shares);
  buf_text(out, out->length ? ",\n{\"service\":" : "\n{\"service\":");
  buf_json_text(out, q.service);
  if (r == 0) {
    show_changes(before, after, shares, out);
  } else {
    buf_text(out, ",\"reason\":");
    buf_json_text(out, f.text);
  }
  buf_char(out, '}');
  free(after);
  free(shares);
}

static const struct value *balancer_of(const struct config *config, const char *service) {
  for (size_t i = 0; i < config->watch_count; i++)
    if (strcmp(config->watches[i].service, service) == 0)
      return config->watches[i].balancer;
  return NULL;
}

void plans_preview(struct plans *all, const struct plans_draft *draft, struct buf *out) {
  struct plugins *named_by = draft->whole ? draft->plugins : all->with.plugins;
  const struct balancer_host host = plans_host(draft->next, named_by);
  for (size_t i = 0; i < draft->next->watch_count; i++) {
    const struct config_watch *w = &draft->next->watches[i];
    struct plan_look *before;
    struct balancer rules;
    struct fault f;
    const struct service_plan *own = plans_find(all, w->service);
    if (own && own->hand.is_frozen)
      continue; /* it stays as it is */
    if (balancer_parse(w->balancer, &host, &rules, &f) != 0)
      continue; /* verified before, so for want of memory */
    bool other = !value_equal(balancer_of(draft->old, w->service), w->balancer);
    enum verdict stages = judge_stages(all, draft, &rules);
    if (stages != UNKNOWN && (other || stages == DIFFERENT) &&
        plans_look(all, w->service, &before) == 0) {
      preview(all, draft->plugins, before, &rules, out);
      plan_look_end(before);
    }
    balancer_end(&rules);
  }
}

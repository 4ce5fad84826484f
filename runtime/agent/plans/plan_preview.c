/* plan_preview: weights and shares before and after a reload, before it is carried out. A service
 * at a time, whose plan gives way as it does in the agent. */
#include "agent/plans/plans_inside.h"

#include "agent/plugins/plugins.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/value.h"
#include "config/config.h"
#include "vm/plugin/plugin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct plan_preview {
  struct plans *all;
  struct plans_draft draft;
  struct buf *out;
  size_t at; /* of the draft's watches */
  bool begun;
  struct balancer rules; /* of that one, and its stages; NULL: it has none */
  struct pipeline *pipeline;
  struct pipeline_stats apart; /* which are nobody's */
  struct fault fault;          /* why it has none */
};

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

static const struct value *balancer_of(const struct config *config, const char *service) {
  for (size_t i = 0; i < config->watch_count; i++)
    if (strcmp(config->watches[i].service, service) == 0)
      return config->watches[i].balancer;
  return NULL;
}

static bool is_another(const struct plan_preview *v, const struct config_watch *w) {
  bool other = !value_equal(balancer_of(v->draft.old, w->service), w->balancer);
  enum verdict stages = judge_stages(v->all, &v->draft, &v->rules);
  return stages != UNKNOWN && (other || stages == DIFFERENT);
}

/* Whether there is something to show of the watch that it is at. */
static bool begin(struct plan_preview *v) {
  const struct config_watch *w = &v->draft.next->watches[v->at];
  struct plugins *named_by = v->draft.whole ? v->draft.plugins : v->all->with.plugins;
  const struct balancer_host host = plans_host(v->draft.next, named_by);
  const struct service_plan *own = plans_find(v->all, w->service);
  struct findings findings = {0};
  if (own && own->hand.is_frozen)
    return false; /* it stays as it is */
  if (balancer_parse(w->balancer, &host, &v->rules, &v->fault) != 0)
    return false; /* verified before, so for want of memory */
  v->begun = is_another(v, w);
  v->fault = (struct fault){0};
  if (!v->begun) {
    balancer_end(&v->rules);
  } else if (v->rules.plan_count) {
    int r = pipeline_new(v->draft.plugins, w->service, &v->rules, "balancer", &v->apart,
                         &v->pipeline, &findings);
    if (r != 0)
      fault_set(&v->fault, r, "%s", findings.count ? findings.items[0].text : "out of memory");
  }
  findings_free(&findings);
  return v->begun;
}

static void end(struct plan_preview *v) {
  if (!v->begun)
    return;
  pipeline_free(v->pipeline);
  balancer_end(&v->rules);
  v->pipeline = NULL;
  v->begun = false;
}

static int plan_anew(struct plan_preview *v, const struct plan_question *q, struct plan_row *rows,
                     struct fault *f) {
  const struct service_plan *own = plans_find(v->all, q->service);
  *f = v->fault;
  plan_from_registry(q, rows);
  int r = f->code == 0 && v->pipeline ? pipeline_run(v->pipeline, q, rows, f) : f->code;
  if (r == 0 && own)
    hand_apply(&own->hand, q, rows);
  return r;
}

/* -EAGAIN: its plan goes on. */
static int show(struct plan_preview *v, const struct plan_look *before) {
  struct buf *out = v->out;
  struct plan_question q = before->q;
  struct plan_row *after = calloc(q.count + 1, sizeof *after);
  double *shares = calloc(q.count + 1, sizeof *shares);
  struct fault f = {.text = "out of memory"};
  q.rules = &v->rules;
  int r = after && shares ? plan_anew(v, &q, after, &f) : -ENOMEM;
  if (r == 0)
    r = plan_shares(&q, after, shares);
  if (r != -EAGAIN) {
    buf_text(out, out->length ? ",\n{\"service\":" : "\n{\"service\":");
    buf_json_text(out, q.service);
    if (r == 0) {
      show_changes(before, after, shares, out);
    } else {
      buf_text(out, ",\"reason\":");
      buf_json_text(out, f.text);
    }
    buf_char(out, '}');
  }
  free(after);
  free(shares);
  return r;
}

struct plan_preview *plan_preview_new(struct plans *all, const struct plans_draft *draft,
                                      struct buf *out) {
  struct plan_preview *v = calloc(1, sizeof *v);
  if (v) {
    v->all = all;
    v->draft = *draft;
    v->out = out;
  }
  return v;
}

bool plan_preview_run(struct plan_preview *v) {
  struct plan_look *before;
  while (v->at < v->draft.next->watch_count && !v->begun && !begin(v))
    v->at++;
  if (!v->begun)
    return true;
  if (plans_look(v->all, v->draft.next->watches[v->at].service, &before) == 0) {
    int r = show(v, before);
    plan_look_end(before);
    if (r == -EAGAIN)
      return false;
  }
  end(v);
  return ++v->at == v->draft.next->watch_count;
}

void plan_preview_free(struct plan_preview *v) {
  if (v)
    end(v);
  free(v);
}

/* plan_preview: weights and shares before and after a reload, before it is carried out. A service
 * at a time, whose plan gives way as it does in the agent. */
#include "agent/plans/plans_inside.h"
#include "agent/plans/prospect.h"

#include "agent/plugins/plugins.h"
#include "base/buf.h"
#include "base/clock.h"
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
  struct prospects *prospects;
  size_t at; /* of their services */
  bool begun;
  bool replanned;        /* that one has another balancer, or its plugins another version */
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

/* A service on both sides of the reload: its endpoints by id. */
struct sides {
  const struct plan_look *before; /* NULL: it is not there */
  const struct plan_question *after;
  const struct plan_row *rows;
  const double *shares;
};

/* One endpoint on both sides; NULL where it is not. */
struct pair {
  const char *id;
  const struct plan_row *before, *after;
  double before_share, after_share;
};

static bool next_pair(const struct sides *s, size_t *i, size_t *k, struct pair *out) {
  size_t olds = s->before ? s->before->q.count : 0;
  const struct instance *old = *i < olds ? s->before->q.rows[*i].instance : NULL;
  const struct instance *new = *k < s->after->count ? s->after->rows[*k].instance : NULL;
  int order = !old ? 1 : !new ? -1 : strcmp(old->id, new->id);
  *out = (struct pair){.id = order <= 0 && old ? old->id : new ? new->id : NULL};
  if (old && order <= 0) {
    out->before = &s->before->rows[*i];
    out->before_share = s->before->shares[(*i)++];
  }
  if (new &&order >= 0) {
    out->after = &s->rows[*k];
    out->after_share = s->shares[(*k)++];
  }
  return old || new;
}

static bool pair_differs(const struct pair *p) {
  static const double same = 1e-9;
  double moved = p->after_share - p->before_share;
  return !p->before || !p->after || !plan_row_equal(p->before, p->after) || moved > same ||
         moved < -same;
}

/* The part of the picks that its endpoints lose; *any: something is to be shown. */
static double moved_between(const struct sides *s, bool *any) {
  struct pair p;
  double moved = 0;
  *any = false;
  for (size_t i = 0, k = 0; next_pair(s, &i, &k, &p);) {
    *any |= pair_differs(&p);
    moved += p.before_share > p.after_share ? p.before_share - p.after_share : 0;
  }
  return moved;
}

static void show_changes(const struct sides *s, double moves, struct buf *out) {
  struct pair p;
  size_t shown = 0;
  buf_text(out, ",\"moves\":");
  buf_json_number(out, moves);
  buf_text(out, ",\"endpoints\":[");
  for (size_t i = 0, k = 0; next_pair(s, &i, &k, &p);) {
    if (!pair_differs(&p))
      continue;
    buf_text(out, shown++ ? ",{\"id\":" : "{\"id\":");
    buf_json_text(out, p.id);
    if (p.before)
      show_side(out, "before", p.before, p.before_share);
    if (p.after)
      show_side(out, "after", p.after, p.after_share);
    buf_char(out, '}');
  }
  buf_char(out, ']');
}

static const char *service_of(const struct plan_preview *v) {
  return prospects_service(v->prospects, v->at);
}

static bool is_frozen(const struct plan_preview *v) {
  const struct service_plan *own = plans_find(v->all, service_of(v));
  return own && own->hand.is_frozen;
}

/* Where the agent is goes into what its balancers choose. */
static bool same_place(const struct config *a, const struct config *b) {
  return strcmp(a->node, b->node) == 0 && strcmp(a->zone, b->zone) == 0;
}

static const struct value *balancer_of(const struct plan_preview *v, bool next) {
  const struct config_watch *w = prospects_watch(v->prospects, service_of(v), next);
  return w ? w->balancer : NULL;
}

/* Whether it is to be looked at; its rules and stages are there then. */
static bool begin(struct plan_preview *v) {
  const char *service = service_of(v);
  const struct value *balancer = balancer_of(v, true);
  struct plugins *named_by = v->draft.whole ? v->draft.plugins : v->all->with.plugins;
  const struct balancer_host host = plans_host(v->draft.next, named_by);
  struct findings findings = {0};
  v->fault = (struct fault){0};
  if (balancer_parse(balancer, &host, &v->rules, &v->fault) != 0)
    return false; /* verified before, so for want of memory */
  bool other = !value_equal(balancer_of(v, false), balancer);
  enum verdict stages = judge_stages(v->all, &v->draft, &v->rules);
  v->replanned = (other || stages == DIFFERENT) && !is_frozen(v);
  v->begun = stages != UNKNOWN && (v->replanned || prospects_concern(v->prospects, service) ||
                                   !same_place(v->draft.old, v->draft.next));
  if (!v->begun) {
    balancer_end(&v->rules);
    return false;
  }
  if (v->rules.plan_count && !is_frozen(v)) {
    int r = pipeline_new(v->draft.plugins, service, &v->rules, "balancer", &v->apart, &v->pipeline,
                         &findings);
    if (r != 0)
      fault_set(&v->fault, r, "%s", findings.count ? findings.items[0].text : "out of memory");
  }
  findings_free(&findings);
  return true;
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
  if (own && own->hand.is_frozen)
    outcome_apply(&own->hand.frozen, q, rows);
  int r = f->code == 0 && v->pipeline ? pipeline_run(v->pipeline, q, rows, f) : f->code;
  if (r == 0 && own)
    hand_apply(&own->hand, q, rows);
  return r;
}

static void show(const struct plan_preview *v, const struct sides *s, const char *reason) {
  struct buf *out = v->out;
  bool any = false;
  double moves = reason ? 0 : moved_between(s, &any);
  if (!reason && !any && !v->replanned)
    return;
  buf_text(out, out->length ? ",\n{\"service\":" : "\n{\"service\":");
  buf_json_text(out, service_of(v));
  if (reason) {
    buf_text(out, ",\"reason\":");
    buf_json_text(out, reason);
  } else {
    show_changes(s, moves, out);
  }
  buf_char(out, '}');
}

/* -EAGAIN: its plan goes on. */
static int compare(struct plan_preview *v, const struct plan_look *before,
                   const struct prospect *after) {
  struct plan_question q = {.service = service_of(v), .now_ns = clock_now_ns()};
  if (before)
    q = before->q;
  q.rows = after->rows;
  q.count = after->count;
  q.rules = &v->rules;
  struct plan_row *rows = calloc(q.count + 1, sizeof *rows);
  double *shares = calloc(q.count + 1, sizeof *shares);
  const struct sides sides = {before, &q, rows, shares};
  struct fault f = {.text = "out of memory"};
  int r = rows && shares ? plan_anew(v, &q, rows, &f) : -ENOMEM;
  if (r == 0)
    r = plan_shares(&q, rows, shares);
  if (r != -EAGAIN)
    show(v, &sides, r == 0 ? NULL : f.text);
  free(rows);
  free(shares);
  return r;
}

/* -EAGAIN, as above; else it has been looked at. */
static int look(struct plan_preview *v) {
  struct plan_look *before = NULL;
  struct prospect after;
  int r = plans_look(v->all, service_of(v), &before);
  if (r != 0 && r != -ENOENT)
    return r;
  const struct set_row *rows = before ? before->q.rows : NULL;
  size_t count = before ? before->q.count : 0;
  r = prospect_make(v->prospects, service_of(v), v->all->with.sets, rows, count, &after);
  if (r == -ENODATA && before)
    show(v, NULL, "it is to come from elsewhere, and who is there is known when that was asked");
  if (r == 0)
    r = compare(v, before, &after);
  prospect_free(&after);
  plan_look_end(before);
  return r;
}

struct plan_preview *plan_preview_new(struct plans *all, const struct plans_draft *draft,
                                      struct buf *out) {
  struct plan_preview *v = calloc(1, sizeof *v);
  if (!v)
    return NULL;
  *v = (struct plan_preview){.all = all, .draft = *draft, .out = out};
  v->prospects = prospects_new(draft->old, draft->next);
  if (v->prospects)
    return v;
  free(v);
  return NULL;
}

bool plan_preview_run(struct plan_preview *v) {
  size_t count = prospects_count(v->prospects);
  while (v->at < count && !v->begun && !begin(v))
    v->at++;
  if (!v->begun)
    return true;
  if (look(v) == -EAGAIN)
    return false;
  end(v);
  return ++v->at == count;
}

void plan_preview_free(struct plan_preview *v) {
  if (!v)
    return;
  end(v);
  prospects_free(v->prospects);
  free(v);
}

/* A run of the stages: step by step, as far as it gets in the flush, and then whenever it is asked
 * again. */
#include "agent/plans/pipeline_inside.h"

#include "agent/plugins/plugins.h"
#include "base/fault.h"
#include "base/log.h"
#include "watch/balancer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double shadow_step = 0.01; /* moves so much more or less: worth a line */

/* Said once, not at each run. */
static void step_becomes(struct step *s, enum state state, const char *why) {
  bool news = s->state != state || strcmp(s->why, why) != 0;
  bool was_bad = s->state == FAILS || s->state == QUARANTINED;
  s->state = state;
  snprintf(s->why, sizeof s->why, "%s", why);
  if (!news || !s->pipeline->events) /* a question what would be is no news */
    return;
  if (state == WELL && was_bad)
    log_info("balancer plugin plans again", LOG_S("plugin", step_name(s)),
             LOG_S("service", s->pipeline->service));
  else if (state == KEEPS)
    log_info("balancer plugin keeps the last plan", LOG_S("plugin", step_name(s)),
             LOG_S("service", s->pipeline->service), LOG_S("reason", why));
  else if (state == FAILS)
    log_error("balancer plugin failed; the last plan stays", LOG_S("plugin", step_name(s)),
              LOG_S("service", s->pipeline->service), LOG_S("error", why));
}

static void plan_over(void *arg) {
  struct pipeline *p = arg;
  if (p->events && pipeline_goes_on(p))
    p->events->planned(p->events_arg);
}

/* Begins it; or, once it is over, says how it went. -EAGAIN: it is not. */
static int step_run(struct step *s, struct plan_row *rows, struct fault *f) {
  struct pipeline *p = s->pipeline;
  struct run *run = &p->run;
  struct plugin *plugin = attachment_plugin(s->attachment);
  if (!run->begun) {
    if (isolate_busy(plugin_isolate(plugin)))
      return -EAGAIN;
    if (!plugins_allows(p->plugins, plugin)) {
      s->state = QUARANTINED; /* for why it failed last */
      return fault_set(f, -EPERM, "it is in quarantine");
    }
    run->begun = true;
    run->plan = (struct plan_run){.question = &run->question,
                                  .rows = rows,
                                  .hidden = run->hidden,
                                  .over = plan_over,
                                  .arg = p};
    plan_begin(&run->plan, s->attachment, false);
  }
  if (plan_goes_on(&run->plan))
    return -EAGAIN;
  run->begun = false;
  *f = run->plan.fault;
  int r = f->code;
  plugins_note(p->plugins, plugin, r != 0 && r != -ENODATA);
  p->stats->runs++;
  p->stats->kept += r == -ENODATA;
  p->stats->refused += r == -ERANGE;
  p->stats->faults += r != 0 && r != -ENODATA && r != -ERANGE;
  step_becomes(s, r == 0 ? WELL : r == -ENODATA ? KEEPS : FAILS, r == 0 ? "" : f->text);
  return r;
}

static int scratch_reserve(struct pipeline *p, size_t count) {
  if (count <= p->room)
    return 0;
  struct plan_row *rows = realloc(p->rows, count * 2 * sizeof *rows);
  p->rows = rows ? rows : p->rows;
  struct plan_row *aside = realloc(p->aside, count * 2 * sizeof *aside);
  p->aside = aside ? aside : p->aside;
  bool *hidden = realloc(p->hidden, count * 2 * sizeof *hidden);
  p->hidden = hidden ? hidden : p->hidden;
  if (!rows || !aside || !hidden)
    return -ENOMEM;
  p->room = count * 2;
  return 0;
}

static const bool *hide_unselected(struct pipeline *p, const struct plan_question *q) {
  const struct selection *select = &q->rules->select;
  if (!selection_chooses(select))
    return NULL;
  for (size_t i = 0; i < q->count; i++)
    p->hidden[i] = !selection_has(select, q->rows[i].instance);
  return p->hidden;
}

static void shadow_tell(struct pipeline *p) {
  if (!p->events || (p->told >= 0 && fabs(p->moves - p->told) < shadow_step))
    return;
  p->told = p->moves;
  log_info("what a shadow would move", LOG_S("service", p->service),
           LOG_N("share_of_picks", p->moves));
}

/* What the shadows made of the same endpoints, against what is in force. */
static void shadow_compare(struct pipeline *p) {
  const struct plan_question *q = &p->run.question;
  double *shares = malloc((q->count * 2 + 1) * sizeof *shares);
  p->moves = -1;
  if (shares && plan_shares(q, p->rows, shares) == 0 &&
      plan_shares(q, p->aside, shares + q->count) == 0 &&
      outcome_set(&p->shadow, q, p->aside) == 0) {
    p->moves = plan_moved(shares, shares + q->count, q->count);
    shadow_tell(p);
  }
  free(shares);
}

/* The step that it is at, over the live rows and then, behind a shadow, over those that are aside.
 */
static int run_step(struct pipeline *p, struct fault *f) {
  struct run *run = &p->run;
  struct step *s = &p->steps[run->at];
  if (step_is_shadow(s) && !run->forked) {
    memcpy(p->aside, p->rows, run->question.count * sizeof *p->rows);
    run->forked = true;
  }
  if (!step_is_shadow(s) && !run->live_over) {
    int r = step_run(s, p->rows, f);
    if (r != 0)
      return r;
    run->live_over = true;
  }
  if (run->forked && !run->broken) {
    int r = step_run(s, p->aside, f);
    if (r == -EAGAIN)
      return r;
    run->broken = r != 0;
  }
  if (step_is_shadow(s) && run->broken)
    return 0; /* what it said last stays */
  const struct plan_row *said = step_is_shadow(s) ? p->aside : p->rows;
  return outcome_set(&s->said, &run->question, said) == 0 ? 0
                                                          : fault_set(f, -ENOMEM, "out of memory");
}

static int run_steps(struct pipeline *p, struct fault *f) {
  struct run *run = &p->run;
  for (; run->at < p->count; run->at++, run->live_over = false) {
    struct fault why = {0};
    int r = run_step(p, &why);
    if (r != 0)
      return r == -EAGAIN
                 ? r
                 : fault_set(f, r, "%.80s: %.380s", step_name(&p->steps[run->at]), why.text);
  }
  if (run->forked && !run->broken)
    shadow_compare(p);
  else
    p->moves = -1;
  return 0;
}

/* The set's rows are there for this turn of the loop alone. */
static int run_put_aside(struct run *run) {
  size_t count = run->question.count;
  run->asked = malloc((count + 1) * sizeof *run->asked);
  if (!run->asked)
    return -ENOMEM;
  memcpy(run->asked, run->question.rows, count * sizeof *run->asked);
  for (size_t i = 0; i < count; i++)
    instance_ref(run->asked[i].instance);
  run->question.rows = run->asked;
  return 0;
}

void run_end(struct pipeline *p) {
  struct run *run = &p->run;
  if (run->begun) {
    plan_cancel(&run->plan);
    plugins_note(p->plugins, attachment_plugin(p->steps[run->at].attachment), false);
  }
  for (size_t i = 0; run->asked && i < run->question.count; i++)
    instance_unref(run->asked[i].instance);
  free(run->asked);
  *run = (struct run){0};
}

static int run_begin(struct pipeline *p, const struct plan_question *q,
                     const struct plan_row *rows) {
  if (scratch_reserve(p, q->count + 1) != 0)
    return -ENOMEM;
  memcpy(p->rows, rows, q->count * sizeof *rows);
  p->run.question = *q;
  p->run.question.service = p->service;
  p->run.hidden = hide_unselected(p, q);
  return 0;
}

/* What was said of an earlier question, of those that this one is about, too. */
static int answer_anew(const struct pipeline *p, const struct plan_question *q,
                       struct plan_row *rows) {
  struct outcome said = {0};
  int r = outcome_set(&said, &p->run.question, p->rows);
  outcome_apply(&said, q, rows);
  outcome_free(&said);
  return r;
}

bool pipeline_goes_on(const struct pipeline *p) {
  return p->run.asked != NULL;
}

int pipeline_run(struct pipeline *p, const struct plan_question *q, struct plan_row *rows,
                 struct fault *f) {
  struct run *run = &p->run;
  bool anew = pipeline_goes_on(p);
  int r = anew ? 0 : run_begin(p, q, rows);
  if (r != 0)
    return fault_set(f, r, "out of memory");
  run->question.rules = q->rules; /* the set's, which may have gone and come since */
  r = run_steps(p, f);
  bool idle = run->at == 0 && !run->begun && !run->live_over;
  if (r == -EAGAIN && !idle && (anew || run_put_aside(run) == 0))
    return r;
  if (r == 0 && anew)
    r = answer_anew(p, q, rows);
  else if (r == 0)
    memcpy(rows, p->rows, q->count * sizeof *rows);
  run_end(p);
  return r;
}

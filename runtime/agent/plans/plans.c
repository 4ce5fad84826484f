#include "agent/plans/plans_inside.h"

#include "agent/plugins/plugins.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/log.h"
#include "base/value.h"
#include "config/config.h"
#include "registry/registration.h"
#include "registry/store.h"
#include "vm/plugin/plugin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t patience_ns = 2 * INT64_C(1000000000); /* for the first `prepare` */
static const int64_t turn_ns = 5000000;                     /* what is busy is asked again then */
static const double again_s = 10; /* what failed is tried again after, as quarantine is short */
static const double lasting = 5; /* times `every`: a plan in force for longer can be gone back to */

/* ---- the services ---- */

static const char *service_of(const void *item) {
  return ((const struct service_plan *)item)->service;
}

struct service_plan *plans_find(const struct plans *all, const char *service) {
  return table_find(&all->table, service);
}

struct service_plan *plans_entry(struct plans *all, const char *service) {
  struct service_plan *p = plans_find(all, service);
  if (p)
    return p;
  p = calloc(1, sizeof *p + strlen(service) + 1);
  if (!p)
    return NULL;
  strcpy(p->service, service);
  if (table_add(&all->table, p) != 0) {
    free(p);
    return NULL;
  }
  p->all = all;
  uv_timer_init(all->with.loop, &p->timer);
  p->timer.data = p;
  return p;
}

static void entry_closed(uv_handle_t *timer) {
  free(timer->data);
}

static void entry_free(struct service_plan *p) {
  pipeline_free(p->pipeline);
  value_unref(p->balancer);
  outcome_free(&p->planned);
  outcome_free(&p->answered);
  for (size_t i = 0; i < p->history_count; i++)
    outcome_free(&p->history[i]);
  hand_free(&p->hand);
  uv_close((uv_handle_t *)&p->timer, entry_closed);
}

static void plans_touch(struct service_plan *p) {
  struct set *s = sets_find(p->all->with.sets, p->service);
  if (s)
    set_replan(s);
}

static void planned(void *arg) {
  const struct service_plan *p = arg;
  struct set *s = sets_find(p->all->with.sets, p->service);
  if (s)
    set_hurry(s);
}

static void prepared(void *arg) {
  plans_touch(arg);
}

static void on_timer(uv_timer_t *timer) {
  struct service_plan *p = timer->data;
  if (!pipeline_prepare(p->pipeline) || p->failing)
    plans_touch(p);
}

/* At intervals where a stage says so; else only while the last run has failed. */
static void arm(struct service_plan *p) {
  double every = p->pipeline ? pipeline_every(p->pipeline) : 0;
  double wait = every > 0 ? every : p->failing ? again_s : 0;
  if (wait > 0 && !uv_is_active((uv_handle_t *)&p->timer))
    uv_timer_start(&p->timer, on_timer, (uint64_t)(wait * 1000), (uint64_t)(every * 1000));
  else if (wait == 0)
    uv_timer_stop(&p->timer);
}

static void reloaded(void *arg) {
  struct service_plan *p = arg;
  uv_timer_stop(&p->timer); /* it may have another `every` */
  arm(p);
  if (!pipeline_prepare(p->pipeline))
    plans_touch(p);
}

static const struct pipeline_events events = {planned, prepared, reloaded};

/* ---- answering ---- */

/* A plan that lasted can be gone back to; one of many that come every second cannot. */
static void history_push(struct service_plan *p) {
  double lasted = (double)(clock_steady_us() - p->planned.at_us) / 1e6;
  if (!p->planned.rows || lasted < pipeline_every(p->pipeline) * lasting)
    return;
  if (p->history_count == HISTORY)
    outcome_free(&p->history[--p->history_count]);
  memmove(&p->history[1], &p->history[0], p->history_count++ * sizeof p->history[0]);
  p->history[0] = p->planned;
  p->earlier_uncopied = true;
  p->planned = (struct outcome){0};
}

static void remember(struct service_plan *p, const struct plan_question *q,
                     const struct plan_row *said) {
  struct outcome now = {0};
  if (outcome_is(&p->planned, q, said) || outcome_set(&now, q, said) != 0)
    return;
  if (!outcome_agrees(&p->planned, &now))
    history_push(p);
  outcome_free(&p->planned);
  p->planned = now;
  p->uncopied = true;
}

static int run(struct service_plan *p, const struct plan_question *q, struct plan_row *rows,
               struct plan_answer *answer) {
  struct fault f = {0};
  int64_t now = clock_now_ns();
  answer->taken = false;
  answer->until_ns = now + turn_ns;
  if (!q->in_catalog && !pipeline_ready(p->pipeline) && now < p->patience_ns)
    return -EAGAIN;
  bool earlier = pipeline_goes_on(p->pipeline);
  int r = pipeline_run(p->pipeline, q, rows, &f);
  answer->taken = !earlier && (r != -EAGAIN || pipeline_goes_on(p->pipeline));
  if (r == -EAGAIN)
    return r;
  p->failing = r != 0;
  arm(p);
  if (r == 0) {
    remember(p, q, rows);
    return 1;
  }
  plan_from_registry(q, rows);
  outcome_apply(&p->planned, q, rows);
  return 1;
}

/* What is so without the overrides. */
static int decide(struct service_plan *p, const struct plan_question *q, struct plan_row *rows,
                  struct plan_answer *answer) {
  plan_from_registry(q, rows);
  if (p->hand.is_frozen) {
    outcome_apply(&p->hand.frozen, q, rows);
    return 1;
  }
  if (!p->pipeline)
    return 0;
  if (q->run)
    return run(p, q, rows, answer);
  outcome_apply(&p->planned, q, rows);
  return 1;
}

static bool wants(void *arg, const char *service) {
  return plans_find(arg, service) != NULL;
}

static int plan(void *arg, const struct plan_question *q, struct plan_row *out,
                struct plan_answer *answer) {
  struct service_plan *p = plans_find(arg, q->service);
  answer->taken = true;
  int r = decide(p, q, out, answer);
  if (r < 0)
    return r;
  if (hand_apply(&p->hand, q, out))
    r = 1;
  answer->differs = !outcome_is(&p->answered, q, out);
  if (outcome_set(&p->answered, q, out) != 0)
    return -ENOMEM;
  return r;
}

/* ---- the configuration ---- */

static int find_plugin(void *arg, const char *name, struct balancer_plugin *out, struct fault *f) {
  struct plugin *plugin;
  int r = plugins_get(arg, "balancer", name, &plugin, f);
  if (r != 0)
    return r;
  *out = (struct balancer_plugin){.changes = plugin_changes(plugin),
                                  .moves_keys = plugin_moves_keys(plugin),
                                  .picks = plugin_provides(plugin, "pick"),
                                  .standin = plugin_standin(plugin)};
  return 0;
}

struct balancer_host plans_host(const struct config *config, struct plugins *plugins) {
  return (struct balancer_host){config->node, config->zone, find_plugin, plugins};
}

/* The stages of a watch; *out stays NULL where there are none. */
static int read_stages(struct plugins *plugins, const struct balancer_host *host,
                       const struct config_watch *watch, struct pipeline_stats *stats,
                       struct pipeline **out, struct findings *findings) {
  struct balancer rules;
  char path[300];
  *out = NULL;
  snprintf(path, sizeof path, "watches.%.250s.balancer", watch->service);
  struct fault f;
  int r = balancer_parse(watch->balancer, host, &rules, &f);
  if (r != 0) {
    findings_add(findings, value_get(watch->declared, "balancer"), path, "%s", f.text);
    return r;
  }
  if (rules.plan_count)
    r = pipeline_new(plugins, watch->service, &rules, path, stats, out, findings);
  balancer_end(&rules);
  return r;
}

size_t plans_verify(struct plugins *plugins, const struct config *config,
                    struct findings *findings) {
  const struct balancer_host host = plans_host(config, plugins);
  struct pipeline_stats stats = {0};
  size_t before = findings->count;
  for (size_t i = 0; i < config->watch_count; i++) {
    struct pipeline *p;
    if (read_stages(plugins, &host, &config->watches[i], &stats, &p, findings) == 0)
      pipeline_free(p);
  }
  return findings->count - before;
}

/* A stage that is no shadow any more is what was promoted: nothing has to be remembered of that. */
static void promote_as_said(struct service_plan *p) {
  for (size_t i = p->hand.promoted_count; i-- > 0;)
    if (!pipeline_promote(p->pipeline, p->hand.promoted[i], true))
      hand_promote(&p->hand, p->hand.promoted[i], false);
}

static void replace(struct service_plan *p, const struct value *balancer, struct pipeline *next) {
  struct value *old = p->balancer;
  p->balancer = next ? value_ref(balancer) : NULL;
  value_unref(old);
  pipeline_free(p->pipeline);
  p->pipeline = next;
  p->failing = false;
  uv_timer_stop(&p->timer);
  if (next) {
    promote_as_said(p);
    p->patience_ns = clock_now_ns() + patience_ns;
    pipeline_tell(next, &events, p);
    pipeline_prepare(next);
    arm(p);
  }
  plans_touch(p);
}

static const struct config_watch *watch_of(const struct config *config, const char *service) {
  for (size_t i = 0; i < config->watch_count; i++)
    if (strcmp(config->watches[i].service, service) == 0)
      return &config->watches[i];
  return NULL;
}

/* The new stages first, all of them; then nothing can fail. */
int plans_configure(struct plans *all, const struct config *config, struct fault *f) {
  const struct balancer_host host = plans_host(config, all->with.plugins);
  struct findings findings = {0};
  struct pipeline **next = calloc(config->watch_count + 1, sizeof(struct pipeline *));
  int r = next ? 0 : fault_set(f, -ENOMEM, "out of memory");
  for (size_t i = 0; r == 0 && i < config->watch_count; i++) {
    const struct config_watch *w = &config->watches[i];
    const struct service_plan *p = plans_find(all, w->service);
    if (p && p->balancer && value_equal(p->balancer, w->balancer))
      continue;
    r = read_stages(all->with.plugins, &host, w, &all->stats, &next[i], &findings);
    if (r != 0)
      fault_set(f, r, "%s", findings.count ? findings.items[0].text : "out of memory");
    else if (next[i] && !plans_entry(all, w->service))
      r = fault_set(f, -ENOMEM, "out of memory");
  }
  for (size_t i = 0; next && i < config->watch_count; i++)
    if (r == 0 && next[i])
      replace(plans_find(all, config->watches[i].service), config->watches[i].balancer, next[i]);
    else
      pipeline_free(next[i]);
  for (uint32_t i = 0; r == 0 && i < all->table.count; i++) {
    struct service_plan *p = all->table.items[i];
    const struct config_watch *w = watch_of(config, p->service);
    if (p->pipeline && !(w && value_equal(p->balancer, w->balancer)))
      replace(p, NULL, NULL);
    if (!p->pipeline && p->planned.rows) { /* nobody plans it any more */
      outcome_free(&p->planned);
      p->uncopied = true;
    }
  }
  free(next);
  findings_free(&findings);
  return r;
}

/* ---- their beginning and their end ---- */

struct restoring {
  struct plans *all;
  int (*read)(struct service_plan *p, const struct value *v);
  const char *complaint;
};

static int restore_one(void *arg, const char *service, const void *bytes, size_t length) {
  const struct restoring *r = arg;
  struct value *v = NULL;
  struct service_plan *p = plans_entry(r->all, service);
  int code = p ? value_decode(bytes, length, &v) : -ENOMEM;
  if (code == 0)
    code = r->read(p, v);
  if (code != 0)
    log_error(r->complaint, LOG_S("service", service), LOG_S("error", strerror(-code)));
  value_unref(v);
  return 0;
}

void plans_restore(struct plans *all, const char *bucket,
                   int (*read)(struct service_plan *p, const struct value *v),
                   const char *complaint) {
  struct restoring r = {all, read, complaint};
  store_each(all->with.store, bucket, restore_one, &r);
}

static void timer_closed(uv_handle_t *timer) {
  free(timer);
}

struct plans *plans_new(const struct plans_with *with) {
  struct plans *all = calloc(1, sizeof *all);
  uv_timer_t *expiry = malloc(sizeof *expiry);
  if (!all || !expiry) {
    free(all);
    free(expiry);
    return NULL;
  }
  *all = (struct plans){.with = *with, .planner = {wants, plan, all}, .expiry = expiry};
  all->table.key = service_of;
  uv_timer_init(with->loop, expiry);
  expiry->data = all;
  plan_copies_restore(all);
  hands_restore(all);
  return all;
}

void plans_free(struct plans *all) {
  if (!all)
    return;
  for (uint32_t i = 0; i < all->table.count; i++)
    entry_free(all->table.items[i]);
  table_free(&all->table);
  uv_close((uv_handle_t *)all->expiry, timer_closed);
  free(all);
}

const struct planner *plans_planner(const struct plans *all) {
  return &all->planner;
}

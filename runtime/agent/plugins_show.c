/* plugins_show: what GET /v1/plugins and `perigee plugins` say of each. */
#include "agent/plans/choosers.h"
#include "agent/plugins/plugins.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/metric.h"

#include <stddef.h>

struct showing {
  const struct plugins *all;
  const struct choosers *choosers;
  struct buf *out;
};

static const char *state_of(const struct plugins *all, const struct plugin *p, bool held) {
  return isolate_dead(plugin_isolate(p)) ? "dead"
         : held                          ? "quarantined"
         : plugins_on_probation(all, p)  ? "on probation"
                                         : "running";
}

/* What picks hold and what became of them is the workers' isolates', and counts as the plugin's. */
static void show(void *arg, struct plugin *p, const struct quarantine *q) {
  const struct showing *to = arg;
  const struct plugins_reloads *reloads = plugins_reloads(to->all, p);
  struct buf *out = to->out;
  struct chooser_sums picking;
  struct isolate_stats s;
  int64_t now = clock_now_ns();
  bool picks = choosers_sums(to->choosers, p, &picking);
  isolate_stats(plugin_isolate(p), &s);
  buf_json_next(out);
  buf_char(out, '{');
  buf_member_text(out, "kind", plugin_kind(p));
  buf_member_text(out, "name", plugin_name(p));
  buf_member_text(out, "state", state_of(to->all, p, quarantine_holds(q, now)));
  buf_member_text(out, "summary", plugin_summary(p));
  buf_member_text(out, "file", plugin_path(p));
  buf_member_text(out, "hash", plugin_hash(p));
  buf_member_number(out, "memory", (double)(s.memory + picking.memory));
  buf_member_number(out, "memory_peak", (double)s.memory_peak);
  buf_member_number(out, "tasks", (double)s.tasks);
  buf_member_number(out, "handles", (double)s.handles);
  buf_member_number(out, "turns", (double)s.turns);
  buf_member_number(out, "killed", (double)(s.killed + picking.killed));
  buf_member_number(out, "errors", (double)s.errors);
  if (picks)
    buf_member_number(out, "picks", (double)picking.picks);
  buf_member_number(out, "faults", (double)q->faults_total);
  buf_member_number(out, "quarantines", (double)q->times);
  buf_member_number(out, "quarantined_seconds",
                    now < q->until_ns ? (double)(q->until_ns - now) / 1e9 : 0);
  buf_member_number(out, "reloads", (double)reloads->done);
  buf_member_number(out, "reload_failures", (double)reloads->failed);
  buf_member_number(out, "rollbacks", (double)reloads->gone_back);
  buf_member_text(out, "reload_error", reloads->why[0] ? reloads->why : NULL);
  buf_char(out, '}');
}

void plugins_show(const struct plugins *all, const struct choosers *choosers, struct buf *out) {
  struct showing showing = {all, choosers, out};
  buf_char(out, '[');
  plugins_each(all, show, &showing);
  buf_char(out, ']');
}

/* ---- metrics ---- */

static const struct {
  const char *name, *help;
  size_t offset;
} families[] = {
    {"perigee_plugin_reloads_total", "New versions of it that were taken.",
     offsetof(struct plugins_reloads, done)},
    {"perigee_plugin_reload_failures_total", "New versions of it that were refused, or left again.",
     offsetof(struct plugins_reloads, failed)},
    {"perigee_plugin_rollbacks_total", "How often a version before was used again.",
     offsetof(struct plugins_reloads, gone_back)},
};

struct counting {
  const struct plugins *all;
  struct buf *out;
  size_t family;
};

static void count(void *arg, struct plugin *p, const struct quarantine *q) {
  const struct counting *c = arg;
  const char *reloads = (const char *)plugins_reloads(c->all, p);
  buf_format(c->out, "%s{kind=\"%s\",plugin=\"%s\"} %llu\n", families[c->family].name,
             plugin_kind(p), plugin_name(p),
             (unsigned long long)*(const uint64_t *)(reloads + families[c->family].offset));
}

void plugins_reload_metrics(const struct plugins *all, struct buf *out) {
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    metric_family(out, families[i].name, "counter", families[i].help);
    plugins_each(all, count, &(struct counting){all, out, i});
  }
}

/* plugins_show: what GET /v1/plugins and `perigee plugins` say of each. */
#include "agent/choosers.h"
#include "agent/plugins.h"
#include "base/buf.h"
#include "base/clock.h"

static void member_text(struct buf *out, const char *key, const char *text) {
  buf_format(out, ",\"%s\":", key);
  buf_json_text(out, text);
}

static void member_number(struct buf *out, const char *key, double n) {
  buf_format(out, ",\"%s\":", key);
  buf_json_number(out, n);
}

struct showing {
  struct buf *out;
  const struct choosers *choosers;
};

/* What picks hold and what became of them is the workers' isolates', and counts as the plugin's. */
static void show(void *arg, struct plugin *p, const struct quarantine *q) {
  const struct showing *showing = arg;
  struct buf *out = showing->out;
  struct chooser_sums picking;
  struct isolate_stats s;
  int64_t now = clock_now_ns();
  bool held = quarantine_holds(q, now);
  bool picks = choosers_sums(showing->choosers, p, &picking);
  isolate_stats(plugin_isolate(p), &s);
  buf_text(out, out->data[out->length - 1] == '[' ? "{\"kind\":" : ",{\"kind\":");
  buf_json_text(out, plugin_kind(p));
  member_text(out, "name", plugin_name(p));
  member_text(out, "state",
              isolate_dead(plugin_isolate(p)) ? "dead"
              : held                          ? "quarantined"
                                              : "running");
  member_text(out, "summary", plugin_summary(p));
  member_text(out, "file", plugin_path(p));
  member_text(out, "hash", plugin_hash(p));
  member_number(out, "memory", (double)(s.memory + picking.memory));
  member_number(out, "memory_peak", (double)s.memory_peak);
  member_number(out, "tasks", (double)s.tasks);
  member_number(out, "handles", (double)s.handles);
  member_number(out, "turns", (double)s.turns);
  member_number(out, "killed", (double)(s.killed + picking.killed));
  member_number(out, "errors", (double)s.errors);
  if (picks)
    member_number(out, "picks", (double)picking.picks);
  member_number(out, "faults", (double)q->faults_total);
  member_number(out, "quarantines", (double)q->times);
  member_number(out, "quarantined_seconds",
                now < q->until_ns ? (double)(q->until_ns - now) / 1e9 : 0);
  buf_char(out, '}');
}

void plugins_show(const struct plugins *all, const struct choosers *choosers, struct buf *out) {
  struct showing showing = {out, choosers};
  buf_char(out, '[');
  if (out->data)
    plugins_each(all, show, &showing);
  buf_char(out, ']');
}

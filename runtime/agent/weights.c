#include "agent/weights.h"

#include "agent/plans.h"
#include "agent/plugins_reload.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/value.h"
#include "config/config.h"

#include <errno.h>
#include <string.h>

/* ---- which services ---- */

struct naming {
  const struct value *balancer;
  bool named;
};

static bool is_stage(const struct value *v, const char *name) {
  const struct value *word = value_kind(v) == VALUE_TABLE ? value_at(v, 0) : v;
  return strcmp(value_as_text(word, ""), name) == 0;
}

static void look_for(void *arg, const struct plugin *fresh, const char *change) {
  struct naming *n = arg;
  const char *name = plugin_name(fresh);
  if (strcmp(plugin_kind(fresh), "balancer") != 0)
    return;
  n->named |= is_stage(n->balancer, name);
  for (size_t i = 0; i < value_length(n->balancer); i++)
    n->named |= is_stage(value_at(n->balancer, i), name);
}

static const struct config_watch *watch_of(const struct config *c, const char *service) {
  for (size_t i = 0; i < c->watch_count; i++)
    if (strcmp(c->watches[i].service, service) == 0)
      return &c->watches[i];
  return NULL;
}

static bool differs(const struct config *old, const struct config_watch *w,
                    const struct plugins *plugins, const struct plugins *draft) {
  const struct config_watch *before = watch_of(old, w->service);
  struct naming n = {.balancer = w->balancer};
  if (!before || !value_equal(before->balancer, w->balancer))
    return true;
  plugins_differences(plugins, draft, look_for, &n);
  return n.named;
}

/* ---- what becomes of them ---- */

static void write_side(struct buf *out, const char *side, const struct plan_row *row,
                       double share) {
  buf_format(out, ",\"%s\":{\"weight\":", side);
  buf_json_number(out, row->weight);
  buf_format(out, ",\"tier\":%u,\"drop\":%s,\"share\":", row->tier, row->drop ? "true" : "false");
  buf_json_number(out, share);
  buf_char(out, '}');
}

struct endpoints {
  struct buf text;
  size_t count;
};

static void write_endpoint(void *arg, const struct plan_change *c) {
  struct endpoints *all = arg;
  buf_text(&all->text, all->count++ ? ",\n  {\"id\":" : "\n  {\"id\":");
  buf_json_text(&all->text, c->id);
  write_side(&all->text, "before", &c->before, c->share_before);
  write_side(&all->text, "after", &c->after, c->share_after);
  buf_char(&all->text, '}');
}

static void write_service(struct plans *plans, const struct config *new,
                          const struct config_watch *w, struct plugins *draft, struct buf *out) {
  const struct balancer_host host = plans_host(new, draft);
  struct endpoints all = {.count = 0};
  struct fault f;
  double moves = 0;
  int rc =
      plans_preview(plans, draft, w->service, w->balancer, &host, write_endpoint, &all, &moves, &f);
  if (rc != -ENOENT) {
    buf_text(out, out->length ? ",\n{\"name\":" : "\n{\"name\":");
    buf_json_text(out, w->service);
  }
  if (rc == 0) {
    buf_text(out, ",\"moves\":");
    buf_json_number(out, moves);
    buf_format(out, ",\"endpoints\":[%s]}", all.text.data ? all.text.data : "");
  } else if (rc != -ENOENT) {
    buf_text(out, ",\"error\":");
    buf_json_text(out, f.text);
    buf_char(out, '}');
  }
  buf_free(&all.text);
}

void weights_write(struct plans *plans, const struct config *old, const struct config *new,
                   const struct plugins *plugins, struct plugins *draft, struct buf *out) {
  for (size_t i = 0; i < new->watch_count; i++)
    if (differs(old, &new->watches[i], plugins, draft))
      write_service(plans, new, &new->watches[i], draft, out);
}

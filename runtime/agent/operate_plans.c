/* The operator's hand on the plans: override, freeze, promote, rollback. Each is answered when it
 * would survive a restart. */
#include "agent/operations.h"

#include "agent/parts.h"
#include "agent/plans/plans.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/text.h"

#include <errno.h>
#include <float.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* One that was carried out, until it is on the disk. */
struct order {
  server_reply reply;
  void *to;
  struct buf text; /* the answer */
};

static void order_stored(void *arg, int status) {
  struct order *o = arg;
  buf_format(&o->text, ",\"kept\":%s}", status == 0 ? "true" : "false");
  o->reply(o->to, o->text.failed ? -ENOMEM : 0, o->text.data);
  buf_free(&o->text);
  free(o);
}

/* The body as an object, and an order to answer by; NULL: it was answered. */
static struct order *order_read(const char *body, json_t **json, server_reply reply, void *to) {
  json_error_t error;
  struct order *o = calloc(1, sizeof *o);
  *json = json_loads(body, 0, &error);
  if (o && json_is_object(*json)) {
    *o = (struct order){.reply = reply, .to = to};
    return o;
  }
  free(o);
  json_decref(*json);
  reply(to, o ? -EINVAL : -ENOMEM, "A JSON object is expected.");
  return NULL;
}

/* What a verb came to: on its way to the disk, or refused. */
static void order_begun(struct order *o, json_t *json, int r, const struct fault *f) {
  json_decref(json);
  if (r == 0)
    return;
  o->reply(o->to, r, f->text);
  buf_free(&o->text);
  free(o);
}

static const char *text_of(const json_t *json, const char *key) {
  const char *text = json_string_value(json_object_get(json, key));
  return text ? text : "";
}

static void answer_begin(struct order *o, const char *key, const char *name) {
  buf_format(&o->text, "{\"%s\":", key);
  buf_json_text(&o->text, name);
}

static bool is_off(const json_t *json) {
  return json_is_true(json_object_get(json, "off"));
}

static int read_span(const json_t *json, int64_t *ns, struct fault *f) {
  static const int64_t most_ns = 366 * 86400 * INT64_C(1000000000);
  int r = duration_parse(text_of(json, "for"), ns, f);
  if (r == 0 && (*ns <= 0 || *ns > most_ns))
    r = fault_set(f, -EINVAL, "for more than 0 and at most a year");
  return r;
}

/* { service, id, weight, for } or { service, id, off = true } */
void operate_override(struct agent *a, const char *body, server_reply reply, void *to) {
  json_t *json;
  struct fault f = {0};
  struct order *o = order_read(body, &json, reply, to);
  if (!o)
    return;
  const char *service = text_of(json, "service"), *id = text_of(json, "id");
  double weight = json_number_value(json_object_get(json, "weight"));
  int64_t for_ns = 0;
  int r = 0;
  answer_begin(o, "service", service);
  if (is_off(json)) {
    r = plans_release(a->plans, service, id, order_stored, o, &f);
  } else if (!json_is_number(json_object_get(json, "weight")) ||
             !(weight >= 0 && weight <= DBL_MAX)) {
    r = fault_set(&f, -EINVAL, "weight is a number, not below 0");
  } else {
    r = read_span(json, &for_ns, &f);
  }
  if (r == 0 && !is_off(json))
    r = plans_override(a->plans, service, id, weight, for_ns, order_stored, o, &f);
  order_begun(o, json, r, &f);
}

/* { service, for }, where `for` may be absent, or { service, off = true } */
void operate_freeze(struct agent *a, const char *body, server_reply reply, void *to) {
  json_t *json;
  struct fault f = {0};
  struct order *o = order_read(body, &json, reply, to);
  if (!o)
    return;
  const char *service = text_of(json, "service");
  int64_t for_ns = 0;
  int r = json_object_get(json, "for") ? read_span(json, &for_ns, &f) : 0;
  answer_begin(o, "service", service);
  if (r == 0)
    r = is_off(json) ? plans_thaw(a->plans, service, order_stored, o, &f)
                     : plans_freeze(a->plans, service, for_ns, order_stored, o, &f);
  order_begun(o, json, r, &f);
}

/* By NAME or balancer/NAME: no other kind is promoted. */
static const char *balancer_of(const char *name) {
  static const char kind[] = "balancer/";
  size_t length = sizeof kind - 1;
  return strncmp(name, kind, length) == 0 ? name + length : name;
}

/* { plugin } or { plugin, off = true } */
void operate_promote(struct agent *a, const char *body, server_reply reply, void *to) {
  json_t *json;
  struct fault f = {0};
  struct order *o = order_read(body, &json, reply, to);
  if (!o)
    return;
  const char *plugin = balancer_of(text_of(json, "plugin"));
  answer_begin(o, "plugin", plugin);
  buf_text(&o->text, ",\"services\":");
  int r = plans_promote(a->plans, plugin, !is_off(json), order_stored, o, &o->text, &f);
  order_begun(o, json, r, &f);
}

/* { name }: of a service. The verb is in operate_reload.c. */
void operate_plan_rollback(struct agent *a, const char *body, server_reply reply, void *to) {
  json_t *json;
  int64_t at_us = 0;
  struct fault f = {0};
  struct order *o = order_read(body, &json, reply, to);
  if (!o)
    return;
  const char *name = text_of(json, "name");
  int r = plans_rollback(a->plans, name, order_stored, o, &at_us, &f);
  if (r == 0) {
    answer_begin(o, "service", name);
    buf_text(&o->text, ",\"plan_of\":");
    buf_json_number(&o->text, (double)at_us / 1e6);
  }
  order_begun(o, json, r, &f);
}

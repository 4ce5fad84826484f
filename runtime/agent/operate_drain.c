/* The verbs of `perigee drain`: instances are taken out of everything that follows this agent, and
 * what of them is still there. */
#include "agent/operations.h"

#include "agent/parts.h"
#include "agent/policies/policies.h"
#include "agent/registries/registrars.h"
#include "base/buf.h"
#include "base/fault.h"
#include "watch/set.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* One that was carried out, until it is on the disk. */
struct draining {
  server_reply reply;
  void *to;
};

static void on_stored(void *arg, int status) {
  struct draining *d = arg;
  d->reply(d->to, 0, status == 0 ? "{\"kept\":true}" : "{\"kept\":false}");
  free(d);
}

/* NULL: it was answered. */
static json_t *read_body(const char *body, server_reply reply, void *to) {
  json_t *json = json_loads(body, 0, NULL);
  if (json_string_value(json_object_get(json, "service")))
    return json;
  json_decref(json);
  reply(to, -EINVAL, "A JSON object with a \"service\" is expected.");
  return NULL;
}

/* { service, id, off }, where the last two may be absent */
void operate_drain(struct agent *a, const char *body, server_reply reply, void *to) {
  json_t *json = read_body(body, reply, to);
  struct draining *d = json ? malloc(sizeof *d) : NULL;
  struct fault f;
  if (!json)
    return;
  if (d)
    *d = (struct draining){reply, to};
  const struct drain_order order = {
      .service = json_string_value(json_object_get(json, "service")),
      .id = json_string_value(json_object_get(json, "id")),
      .off = json_is_true(json_object_get(json, "off")),
      .done = on_stored,
      .arg = d,
  };
  int r = d ? policies_drain(a->policies, &order, &f) : fault_set(&f, -ENOMEM, "out of memory");
  json_decref(json);
  if (r == 0)
    return;
  free(d);
  reply(to, r, f.text);
}

struct showing {
  struct agent *a;
  struct buf *out;
};

static bool is_published(const struct agent *a, const struct instance *in) {
  struct set *s = sets_find(a->sets, in->service);
  const struct set_row *rows = s ? set_rows(s) : NULL;
  for (size_t i = 0; s && i < set_count(s); i++)
    if (strcmp(rows[i].instance->id, in->id) == 0)
      return true;
  return false;
}

static void show_one(void *arg, const struct instance *in) {
  struct showing *s = arg;
  buf_json_next(s->out);
  buf_char(s->out, '{');
  buf_member_text(s->out, "id", in->id);
  buf_member_flag(s->out, "picked", is_published(s->a, in));
  buf_member(s->out, "registries");
  buf_char(s->out, '[');
  registrars_show_held(s->a->registrars, in, s->out);
  buf_text(s->out, "]}");
}

/* { service }: each that is drained, whether it is picked here, and which registries have it. */
void operate_drained(struct agent *a, const char *body, server_reply reply, void *to) {
  json_t *json = read_body(body, reply, to);
  struct buf text = {0};
  struct showing s = {a, &text};
  if (!json)
    return;
  buf_text(&text, "{\"instances\":[");
  policies_each_drained(a->policies, json_string_value(json_object_get(json, "service")), show_one,
                        &s);
  buf_text(&text, "]}");
  reply(to, text.failed ? -ENOMEM : 0, text.data);
  buf_free(&text);
  json_decref(json);
}

/* The verbs reload, diff and rollback. The body: { "plugin", "fresh", "file", "text", "if_hash",
 * "dry" }, all of them optional; rollback takes { "name" }. */
#include "agent/operations.h"
#include "agent/parts.h"
#include "agent/plugins/plugins_reload.h"
#include "agent/reload.h"
#include "base/fault.h"
#include "watch/set.h"

#include <errno.h>
#include <jansson.h>

static const char *text_of(const json_t *body, const char *key) {
  return json_string_value(json_object_get(body, key));
}

static json_t *read_body(const char *body, server_reply reply, void *to) {
  json_t *json = *body ? json_loads(body, 0, NULL) : json_object();
  if (json_is_object(json))
    return json;
  json_decref(json);
  reply(to, -EINVAL, "The body must be a JSON object.");
  return NULL;
}

void operate_reload(struct agent *a, const char *body, server_reply reply, void *to) {
  json_t *json = read_body(body, reply, to);
  if (!json)
    return;
  const struct reload_wish wish = {.why = "an operator",
                                   .plugin = text_of(json, "plugin"),
                                   .fresh = json_is_true(json_object_get(json, "fresh")),
                                   .if_hash = text_of(json, "if_hash"),
                                   .dry = json_is_true(json_object_get(json, "dry"))};
  if (wish.fresh && !wish.plugin)
    reply(to, -EINVAL, "Which plugin is to begin afresh? \"plugin\" names it.");
  else
    reload_begin(a->reload, &wish, reply, to);
  json_decref(json);
}

void operate_diff(struct agent *a, const char *body, server_reply reply, void *to) {
  json_t *json = read_body(body, reply, to);
  if (!json)
    return;
  const struct reload_wish wish = {.why = "an operator's question",
                                   .file = text_of(json, "file"),
                                   .text = text_of(json, "text"),
                                   .dry = true};
  reload_begin(a->reload, &wish, reply, to);
  json_decref(json);
}

/* A plugin goes back to its last good version, a service to its last plan. */
void operate_rollback(struct agent *a, const char *body, server_reply reply, void *to) {
  struct plugin *p;
  struct fault f;
  json_t *json = read_body(body, reply, to);
  if (!json)
    return;
  const char *name = text_of(json, "name");
  const struct reload_wish wish = {.why = "an operator's rollback", .plugin = name, .back = true};
  int rc = name ? plugins_named(a->plugins, name, &p, &f) : 0;
  bool service = name && sets_find(a->sets, name);
  if (!name)
    reply(to, -EINVAL, "The body must name a plugin or a service: { \"name\": ... }.");
  else if (rc == 0 && service)
    reply(to, -EINVAL,
          "A plugin and a service have this name: for the plugin say KIND/NAME, for "
          "the service freeze it.");
  else if (rc != 0 && service)
    operate_plan_rollback(a, body, reply, to);
  else
    reload_begin(a->reload, &wish, reply, to);
  json_decref(json);
}

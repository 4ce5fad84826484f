#include "base/buf.h"
#include "cli/api.h"
#include "cli/output.h"

#include <jansson.h>
#include <stdlib.h>

static const char *text_of(const json_t *row, const char *key) {
  const char *text = json_string_value(json_object_get(row, key));
  return text ? text : "";
}

/* What is worth knowing: why the last question had no answer, else the policy's own reason. */
static const char *reason_of(const json_t *row) {
  return *text_of(row, "trouble") ? text_of(row, "trouble") : text_of(row, "reason");
}

static int write_table(const struct arguments *a, const struct buf *answer, struct buf *out) {
  static const char *const head[] = {"SERVICE", "ID", "DECISION", "REGISTERED", "POLICY", "REASON"};
  struct columns table = {.columns = sizeof head / sizeof *head};
  json_error_t error;
  json_t *rows = json_loadb(answer->data ? answer->data : "", answer->length, 0, &error), *row;
  size_t i;
  if (!json_is_array(rows)) {
    json_decref(rows);
    return complain(a, EXIT_FAILED, "the agent's answer is not what was expected");
  }
  for (i = 0; i < table.columns; i++)
    columns_add(&table, "%s", head[i]);
  json_array_foreach(rows, i, row) {
    bool registered = json_is_true(json_object_get(row, "registered")),
         floored = json_is_true(json_object_get(row, "floored"));
    columns_add(&table, "%s", text_of(row, "service"));
    columns_add(&table, "%s", text_of(row, "id"));
    columns_add(&table, "%s", text_of(row, "decision"));
    columns_add(&table, "%s", floored ? "min_registered" : registered ? "yes" : "no");
    columns_add(&table, "%s", text_of(row, "policy"));
    columns_add(&table, "%s", reason_of(row));
  }
  json_decref(rows);
  columns_print(&table, out);
  return 0;
}

static int run(const struct arguments *a) {
  return api_show(a, "/v1/policies", write_table);
}

const struct command command_policies = {
    .name = "policies",
    .arguments = "",
    .summary = "List what policies decided about the instances registered here",
    .about = "Each instance that a policy decides about, with the decision, whether it is "
             "registered now, and the reason.\n\n\"hold\" and \"undecided\" leave it as it was; "
             "\"withdraw\" takes it out, unless fewer healthy instances of the service than its "
             "min_registered would be left: then REGISTERED says so.",
    .examples =
        (const struct example[]){{"perigee policies --json | jq '.[] | select(.registered | not)'",
                                  "what is wanted here, and not registered"},
                                 {0}},
    .complete = "",
    .json = true,
    .run = run,
};

#include "base/buf.h"
#include "cli/reply.h"
#include "cli/output.h"

/* What is worth knowing: why the last question had no answer, else the policy's own reason. */
static const char *reason_of(const json_t *row) {
  return *reply_text(row, "trouble") ? reply_text(row, "trouble") : reply_text(row, "reason");
}

static bool write_table(const void *arg, const json_t *rows, struct buf *out) {
  static const char *const head[] = {"SERVICE", "ID", "DECISION", "REGISTERED", "POLICY", "REASON"};
  struct columns table = {.columns = sizeof head / sizeof *head};
  const json_t *row;
  size_t i;
  if (!json_is_array(rows))
    return false;
  for (i = 0; i < table.columns; i++)
    columns_add(&table, "%s", head[i]);
  json_array_foreach(rows, i, row) {
    bool registered = reply_flag(row, "registered"), floored = reply_flag(row, "floored");
    columns_add(&table, "%s", reply_text(row, "service"));
    columns_add(&table, "%s", reply_text(row, "id"));
    columns_add(&table, "%s", reply_text(row, "decision"));
    columns_add(&table, "%s", floored ? "min_registered" : registered ? "yes" : "no");
    columns_add(&table, "%s", reply_text(row, "policy"));
    columns_add(&table, "%s", reason_of(row));
  }
  columns_print(&table, out);
  return true;
}

static int run(const struct arguments *a) {
  return reply_show(a, "/v1/policies", write_table, NULL);
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

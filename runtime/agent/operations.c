#include "agent/operations.h"

#include "base/fault.h"
#include "base/text.h"

#include <errno.h>
#include <string.h>

enum { VERBS_MAX = 32 };

static const struct operation operations[] = {
    {"eval", operate_eval},
    {"eval_complete", operate_eval_complete},
    {"eval_cancel", operate_eval_cancel},
    {"eval_end", operate_eval_end},
    {"reload", operate_reload},
    {"diff", operate_diff},
    {"override", operate_override},
    {"freeze", operate_freeze},
    {"promote", operate_promote},
    {"drain", operate_drain},
    {"drained", operate_drained},
    {"rollback", operate_rollback},
    {0},
};

void operations_run(struct agent *a, const char *verb, const char *body, server_reply reply,
                    void *to) {
  const char *known[VERBS_MAX];
  size_t count = 0;
  struct fault f;
  for (const struct operation *o = operations; o->verb; o++) {
    if (strcmp(o->verb, verb) == 0) {
      o->run(a, body, reply, to);
      return;
    }
    if (count < VERBS_MAX)
      known[count++] = o->verb;
  }
  const char *near = count ? nearest_word(verb, known, count) : NULL;
  fault_set(&f, -ENOSYS, "There is no verb \"%s\"%s%s%s", verb, near ? ": did you mean " : ".",
            near ? near : "", near ? "?" : "");
  reply(to, f.code, f.text);
}

/* changes: what a reload changed or would change, as the agent tells it: agent/changes.h. */
#pragma once

#include "cli/reply.h"

/* What closes it: "reloaded", or where nothing has changed. */
struct changes_words {
  const char *done, *nothing;
};
/* For reply_operate, with the words as its argument: a line for each change. */
bool changes_tell(const void *words, const json_t *answer, struct buf *out);

/* work: a publishing whose tables take longer to make than a turn of the loop may: its snapshot is
 * copied, made into a block on another thread, and published when that is over, while picks go on
 * from the one before. One at a time for each set; what changes meanwhile is published after it. */
#pragma once

#include "watch/set_inside.h"

/* What is made elsewhere, and what has to be said when it is published. */
struct set_work {
  struct set *set; /* NULL: it has ended meanwhile */
  struct catalog_build *build;
  struct catalog_endpoint *endpoints;
  struct catalog_rules rules; /* its texts are read when it begins, and not later */
  struct set_row *rows;       /* as they are announced; with references to their instances */
  struct plan_row *plan;
  size_t count;    /* of rows and of the plan's */
  uint32_t *freed; /* slots that nobody has any more when this is published */
  uint32_t freed_count;
  struct set_tally tally;
  int64_t now_ns; /* when it was begun */
  bool planned, moved;
  char service[256];
};

/* Begins one for a snapshot that may take long. NULL and 0: it does not, or nobody makes it
 * elsewhere. The rows and the plan are what is announced; the set is not dirty afterwards, and has
 * the work until it is over. -ENOMEM, or what catalog_build_begin answers. */
int work_begin(struct set *s, const struct catalog_snapshot *snapshot, const struct set_row *rows,
               size_t count, const struct plan_row *plan, struct set_work **out);
/* Has it made; it may be over before this returns. */
void work_start(struct set_work *w);
/* The set ends first: what is made is for nothing. */
void work_orphan(struct set_work *w);

/* flush.c's: the work is over, and published or not. */
void work_finish(struct set_work *w);

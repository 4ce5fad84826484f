/* json_draft: one instance while its fields come in from a walk over JSON, in any order, each by
 * the mark that a json_map has for it. Control thread only. */
#pragma once

#include "base/buf.h"
#include "watch/json_map.h"

enum { JSON_LIST_MOST = 1000, JSON_STATUSES = STATUS_CRITICAL + 1 };

/* A field's text, as a place in `texts`, which moves while it grows. */
struct json_said {
  size_t at;
  uint8_t rank; /* of the path that said it */
};

struct json_draft {
  const struct json_map *map;
  struct buf texts;
  struct json_said id, within, address, zone;
  double port, weights[JSON_STATUSES];
  uint8_t port_rank, weight_ranks[JSON_STATUSES];
  enum status status;
  const char *wrong; /* the first field that cannot be; NULL: none */
  size_t tag_count, meta_count, port_count;
  size_t port_name; /* of the element of `ports` that is being read; 0: not said yet */
  double port_number;
  size_t tags[JSON_LIST_MOST];
  struct json_named {
    size_t name, value; /* places; a port's value is its number */
  } meta[JSON_LIST_MOST], ports[JSON_LIST_MOST];
};

void json_draft_begin(struct json_draft *d); /* the next one; `map` and memory stay */
void json_draft_free(struct json_draft *d);

/* What a field says; all but JSON_INSTANCE. */
void json_draft_say(struct json_draft *d, const struct json_mark *mark, const struct json_event *e);

/* What goes before its id if another has the same; NULL: nothing. Valid until the next begins. */
const char *json_draft_within(const struct json_draft *d);
/* The caller's; it may not be `fit`. NULL: out of memory. */
struct instance *json_draft_make(const struct json_draft *d, const char *service);

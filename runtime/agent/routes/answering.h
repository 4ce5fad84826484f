/* answering: one request that a route plugin answers: its call, the pieces it writes, and its end,
 * whichever comes first: it returned, it failed, it took too long, its client has gone. Control
 * thread only. */
#pragma once

#include "serve/server.h"
#include "vm/plugin/plugin.h"

struct answering;
struct plugins;

struct answering_stats {
  uint64_t under_way;                    /* now */
  uint64_t answered, failed, late, gone; /* ended so: by the plugin; by its fault; ... */
};

/* Those of one route. */
struct answerings {
  uv_loop_t *loop;
  struct plugins *plugins;
  struct attachment *attachment;
  struct answering *first;
  struct answering_stats stats;
};

/* `method`: the plugin's function. What cannot be begun is answered at once. */
void answering_begin(struct answerings *all, const char *method, const struct visit *v, void *to);
struct answering *answering_find(const struct answerings *all, void *to); /* NULL: it has ended */
void answering_room(struct answering *a);
void answering_gone(struct answering *a);
/* Ends them: all, or those that answer in pieces, which is an end that their clients understand. */
void answerings_end(struct answerings *all, bool streams_only);

/* An answer of the host's own, in a sentence. */
void answer_sentence(void *to, int status, const char *headers, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

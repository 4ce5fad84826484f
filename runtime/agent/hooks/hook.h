/* hook: one use of a hook plugin, and what it is still to be told. News of one thing (a service, an
 * instance) are one note, told when that has been quiet for 100 ms, after a second at most; one
 * call at a time. Told in vain (`nil, message`, a fault), a note is told again, later and later.
 * Control thread only. */
#pragma once

#include "registry/registration.h"

#include <uv.h>

struct attachment;
struct hook;
struct plugins;
struct roster;
struct sets;
struct value;

enum event_kind { EVENT_CHANGE, EVENT_STATUS, EVENT_RELOAD, EVENT_START, EVENT_STOP };
enum { EVENT_KINDS = EVENT_STOP + 1 };

/* What happened; the hook copies and takes references of what it needs. */
struct event {
  enum event_kind kind;
  const char *service;                    /* change, status */
  const struct roster *before, *now;      /* change, when it is told: since the last time */
  const struct registration_state *state; /* status: the instance, as it is now */
  enum status from;                       /* status: before */
  bool ok;                                /* reload: it was carried out; stop: instances leave */
  const char *message;                    /* reload */
};

struct hook_parts { /* what all hooks share; outlives them */
  uv_loop_t *loop;
  struct plugins *plugins;
  struct sets *sets; /* whose endpoints an event shows when it is asked */
};

/* Takes the attachment over. NULL: out of memory. */
struct hook *hook_new(const struct hook_parts *parts, const struct value *use,
                      struct attachment *attachment);
void hook_free(struct hook *h); /* ends its call; its memory goes with the loop's close callbacks */

const struct value *hook_use(const struct hook *h); /* as configured */
void hook_note(struct hook *h, const struct event *e);
/* Nothing more is told but this: `told` is called once, later, at most two seconds. -ENOSYS: it
 * does not want to know. */
int hook_stop(struct hook *h, bool leaving, void (*told)(void *arg), void *arg);

struct hook_stats {
  uint64_t notes;                   /* waiting */
  uint64_t told, failed, abandoned; /* calls that succeeded; that did not; notes given up */
};
void hook_add_stats(const struct hook *h, struct hook_stats *sum);

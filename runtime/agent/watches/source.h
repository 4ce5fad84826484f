/* source: one watch on a registry, for all of this host's watches that have the same target there:
 * however many they are, the registry is asked once. Control thread only. */
#pragma once

#include "agent/registries/registries.h"
#include "config/target.h"
#include "watch/set.h"
#include "watch/table.h"

#include <uv.h>

struct source;
struct watcher;

/* Begun by sources_init. */
struct sources {
  uv_loop_t *loop;
  struct source *first;
  struct table
      by_text;  /* of those with one target the last that began: the others are its `alike` */
  bool changed; /* sources_flush has something to do */
  struct watcher *retired; /* that still close their connections */
};

/* Somebody who is told of what the source says, from sources_flush. The caller fills in `told` and
 * `arg`. */
struct source_user {
  struct source *source; /* NULL: of none */
  struct source_user *next, **link;
  void (*told)(void *arg, const struct set_published *what);
  void *arg;
  bool late; /* it came after the source had spoken */
};

void sources_init(struct sources *all, uv_loop_t *loop);
/* Joins the source of this target, as it is written, and these options, or begins it, after
 * `delay_ms`; the first one's `service` is what the plugin is told. Of `use` it keeps what it
 * needs. 0, -ENOMEM, or as target_parse says. */
int source_join(struct sources *all, const struct registry_use *use, const char *target,
                const char *service, unsigned delay_ms, struct source_user *user, struct fault *f);
void source_leave(struct source_user *user); /* of none: nothing */

void sources_flush(struct sources *all); /* tells of what has changed */
/* Lets the plugins close their connections: how many will call `closed`, later. */
size_t sources_close(struct sources *all, void (*closed)(void *arg), void *arg);
void sources_free(struct sources *all); /* when all have left */

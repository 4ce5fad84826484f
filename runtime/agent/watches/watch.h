/* watch: one watched service: its targets, each a source that other watches may share (source.h),
 * and the feed that makes of them what is published. `embedded:///NAME` follows this
 * agent's own registry and needs none of that. Control thread only. */
#pragma once

#include "agent/watches/source.h"
#include "config/target.h"
#include "watch/feed.h"

#include <stdbool.h>
#include <uv.h>

struct config;
struct fault;
struct plugins;
struct probes;
struct value;
struct watch;

/* What all watches share; outlives them. */
struct watch_parts {
  uv_loop_t *loop;
  struct plugins *plugins;
  const struct config *config;
  struct sets *sets;       /* what is published */
  struct sources *sources; /* what each target says */
  struct probes *probes;
  bool (*withdrew)(void *arg, const struct instance *in);
  void *arg;
};

struct watch_wish {
  const char *service;
  const char *targets[FEED_SOURCES]; /* the second may be NULL */
  struct feed_rule rule;
  const struct value *balancer; /* NULL: the default */
  unsigned delay_ms;            /* before its first load */
  bool instead;                 /* of another watch of this service, whose endpoints stay until its
                                   sources have said something */
};

struct watch {
  const struct watch_parts *parts;
  struct set *set;
  struct feed *feed; /* NULL: it follows the embedded registry */
  struct target targets[FEED_SOURCES];
  struct source_user uses[FEED_SOURCES]; /* of its sources; none: there is no such target */
  bool on_demand;
  int64_t asked_ns; /* on demand: when somebody last wanted it */
  uint64_t pulse;   /* and the set's pulse then */
  bool changed;     /* its copy is older than what is published */
};

/* 0, -ENOMEM, or as target_parse, registries_find and set_balancer say. */
int watch_new(const struct watch_parts *parts, const struct watch_wish *wish, struct watch **out,
              struct fault *f);
void watch_free(struct watch *w);
/* This agent's own registry; with an authority it is another perigee's, which a plugin watches. */
bool target_is_embedded(const struct target *t);

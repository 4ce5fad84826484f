/* watches: where each watched service's endpoints come from. `embedded:///NAME` follows this
 * agent's own registry; every other target is watched by its registry's plugin (watcher.h). A
 * service that is registered here needs no watch. Control thread only. */
#pragma once

#include "base/schema.h"
#include "registry/registration.h"
#include "watch/set.h"

#include <stdbool.h>
#include <uv.h>

struct watches;
struct plugins;
struct config;

struct io;
struct store;
struct buf;

/* What it works with; all of it outlives it. */
struct watches_with {
  uv_loop_t *loop;
  struct io *io;
  struct store *store;
  struct sets *sets; /* what is published */
  struct plugins *plugins;
  /* Whether this agent itself has withdrawn an instance lately. */
  bool (*withdrew)(void *arg, const struct instance *in);
  /* Until when somebody reads the service here, or did (clock_now_ns). */
  int64_t (*used)(void *arg, const char *service);
  void *arg;
};

struct watches *watches_new(const struct watches_with *with);
/* Stops watching and lets the registries' plugins close their connections, for at most a second:
 * then, or at once, calls `closed`. What is published stays. Before watches_free; once. */
void watches_close(struct watches *all, void (*closed)(void *arg), void *arg);
void watches_free(struct watches *all); /* ends them; before the plugins */

/* The configuration's registries and watches, checked as far as only plugins and balancers can:
 * adapters exist and take their options, the balancers are known. Before anything starts. Returns
 * the number of findings added.
 */
size_t watches_verify(struct plugins *plugins, const struct config *config,
                      struct findings *findings);

/* Who knows which registrations of this agent are shown (watches_local). Before the first
 * configuration. */
struct policies;
void watches_follow(struct watches *all, const struct policies *shown);
/* The watches of this configuration, which has been verified and lasts until the next call: what
 * does not differ from the last one goes on untouched; what does keeps its endpoints until there is
 * something newer. The first time with what the data directory knows of them. 0 or negative errno:
 * one of them could not be had, and the others are there. */
int watches_configure(struct watches *all, const struct config *config, struct fault *f);

/* A service is asked for. One that nobody configured is watched through `resolve`, until nobody has
 * asked for ten minutes, or as long as it says. `answer` is called once, with 0 when what there is
 * can be picked from, -ENOENT: nobody knows it, or -EAGAIN: there are too many, or its registry has
 * not answered. Waits for the first load, 5 s at most.
 */
void watches_ask(struct watches *all, const char *service,
                 void (*answer)(void *arg, int status, const char *text), void *arg);
/* At the end of a turn, after the sets' own flush: answers those who wait for what was published.
 */
void watches_answer(struct watches *all);

/* At the end of a turn, before the sets' own flush: what sources said becomes what is published. */
void watches_flush(struct watches *all);
void watches_tick(struct watches *all); /* once a second */
void watches_save(struct watches *all); /* to the data directory, before the store is closed */
/* How many have neither heard of their source nor know what a former life knew; *first is the
 * service of one of them. */
size_t watches_awaited(const struct watches *all, const char **first);
/* Where an endpoint of a service comes from, as a list in JSON: ["embedded"], or the targets that
 * have it now; none of one that is held, or is a copy of a former life. */
struct instance;
void watches_show_sources(const struct watches *all, const char *service, const struct instance *in,
                          struct buf *out);
/* ,"merge":{...} of a service that is watched in two registries: how, which, and how they differ.
 */
void watches_show_merge(const struct watches *all, const char *service, struct buf *out);
/* Services of which two registries that are compared do not have the same. */
size_t watches_differing(const struct watches *all);
void watches_metrics(const struct watches *all, struct buf *out);

/* A registration of this agent changed or is gone: an endpoint of its service, unless a watch takes
 * that service from elsewhere. */
void watches_local(struct watches *all, const struct registration_state *state, bool gone);

/* A service's snapshot was published: watches that follow it under another name do so. */
void watches_published(struct watches *all, const struct set_published *what);

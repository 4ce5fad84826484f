/* wraps: what plugins watch themselves, by perigee.watch, to make one registry of several: sources
 * that they share with the watches of the configuration. Control thread only. */
#pragma once

#include "watch/set.h"

struct fault;
struct isolate;
struct watches;

/* The vm's verbs (isolate.h), of `watches`. A target names a registry of the configuration, and no
 * authority: so a plugin reaches nothing that nobody configured. -EACCES: it does otherwise;
 * -EDEADLK: it is the asking plugin's own. */
int wraps_watch(struct watches *all, const char *target, const struct isolate *by,
                void (*told)(void *to, const struct set_published *what), void *to, void **watch,
                struct fault *f);
void wraps_unwatch(void *watch);

/* checks: runs the check plugins, each on its own interval, and hands every outcome to the embedded
 * registry, which applies rise and fall. One run of a check at a time. Control thread only. */
#pragma once

#include "base/schema.h"
#include "registry/embedded.h"

#include <uv.h>

struct checks;
struct plugins;
struct config;

struct checks *checks_new(uv_loop_t *loop, struct plugins *plugins);
/* Where outcomes go; before the first start. */
void checks_report_to(struct checks *all, struct embedded *registry);
/* Ends every run; the timers' memory goes with the loop's close callbacks. */
void checks_free(struct checks *all);

/* embedded_events' check_start and check_stop. */
void checks_start(struct checks *all, uint64_t handle, const struct registration *r, uint32_t i);
void checks_stop(struct checks *all, uint64_t handle);

/* Holds every check's options of the configuration against its plugin's schema, before anything is
 * started. Returns the number of findings added. */
size_t checks_verify(struct plugins *plugins, const struct config *config,
                     struct findings *findings);

/* The same for the checks that run of what was registered otherwise. */
size_t checks_verify_running(const struct checks *all, struct plugins *plugins,
                             struct findings *findings);

struct checks_stats {
  uint64_t running, runs, plugin_faults, timeouts;
};
void checks_stats(const struct checks *all, struct checks_stats *out);

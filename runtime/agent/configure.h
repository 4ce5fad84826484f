/* configure: every part of the agent goes from one configuration to the next, in this order, at
 * start as at each reload: one function a part, X_configure, which applies only what differs from
 * the one before. Control thread only. */
#pragma once

#include "base/schema.h"

struct agent;
struct config;
struct fault;
struct plugins;

/* What only plugins can judge. Changes nothing but `plugins`, which loads what is needed. Returns
 * the number of findings added. */
size_t configure_verify(struct plugins *plugins, const struct config *config,
                        struct findings *findings);

/* Of a configuration that was verified, and lasts until the next one was applied. 0, or the first
 * failure: what can be applied has been. The second, after what the store holds was read back. */
int configure_parts(struct agent *a, const struct config *config, struct fault *f);
int configure_services(struct agent *a, const struct config *config, struct fault *f);

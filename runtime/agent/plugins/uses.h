/* uses: from a plugin that the configuration names (config/use.h) to an attachment of it. Control
 * thread only. */
#pragma once

#include "vm/plugin/plugin.h"

struct plugins;

/* Loads the plugin `name`, mostly use_name, and attaches it. 0, or negative errno and a finding
 * under `path` says what is wrong: there is no such plugin, or its options. */
int use_attach(struct plugins *plugins, const char *kind, const char *name, const struct value *use,
               const char *path, struct attachment **out, struct findings *findings);

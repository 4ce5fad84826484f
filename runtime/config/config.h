/* config: the Lua file that returns a table → a checked, plain structure. Nothing is changed by
 * loading; every error is found at once, each with file, line, path and what was expected. */
#pragma once

#include "base/schema.h"
#include "registry/registration.h"

struct config_watch {
  char *service, *target;
  struct value *balancer; /* "name", { "name", ... } or a list of stages; NULL = default */
};

struct config {
  char *file; /* as given; NULL when there was none */
  char *node, *zone, *datacenter;
  char *http, *dns; /* NULL: off */
  char *run_dir, *data_dir;
  char hash[65]; /* sha256 of every file read, in order; hex */
  bool reload_auto, leave_on_stop;
  unsigned workers;
  struct registration **services;
  size_t service_count;
  struct config_watch *watches;
  size_t watch_count;
  struct value *registries, *plugins, *root; /* checked, as written with defaults */
  char **plugin_directories;   /* holding plugins/KIND/NAME.lua: beside the file, /etc/perigee, what ships */
  size_t plugin_directory_count;
};

struct config_options { /* what the command line overrides; NULL or false = as the file says */
  const char *file, *http, *dns, *run_dir, *data_dir;
  bool dev, leave;
};

/* 0, or -EINVAL with findings (unreadable file, Lua error, or mistakes in the table). */
int config_load(const struct config_options *options, struct config **out,
                struct findings *findings);
void config_free(struct config *c);

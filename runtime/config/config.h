/* config: the Lua file that returns a table → a checked, plain structure. Nothing is changed by
 * loading; every error is found at once, each with file, line, path and what was expected.
 * Main thread; what is loaded has one owner and is not edited.
 *
 * What plugins must judge (a check's options, a balancer's name) is checked by agent/, which can
 * run them; all else is checked here. */
#pragma once

#include "base/log.h"
#include "base/schema.h"
#include "registry/registration.h"
#include "watch/feed.h"

struct config_watch {
  char *service, *target; /* a target that target_parse accepts */
  char *second;           /* likewise, or NULL: `fallback` or `also` */
  enum feed_merge merge;  /* of the two */
  enum feed_on_empty on_empty;
  uint32_t min_endpoints;
  int64_t stale_after_ns, hold_ns;
  struct value *balancer;       /* "name", { "name", ... } or a list of stages; NULL = default */
  const struct value *declared; /* the watch as written, for findings about it; of config->root */
};

struct config_options { /* what the command line overrides; NULL or false = as the file says */
  const char *file;
  const char *text; /* what to read in the place of `file`, which names it, and what is beside it */
  const char
      *of; /* the file in whose place `file` would be: plugins are looked for beside it too */
  const char *http, *dns; /* an address, or "off" */
  const char *run_dir, *data_dir, *log_level;
  bool leave, dev;
};

/* Whose registrations a policy decides about. Strings are the configuration's. */
struct config_policy {
  const char *service;
  const char *id;             /* of a configured instance; NULL: of any registered by that name */
  const struct value *policy; /* "name", { "name", ... } or a list of these; NULL: none */
  uint32_t min_registered;    /* what withdrawing leaves registered at least */
};

struct config {
  char *file;                  /* as given; NULL when there was none */
  struct config_options given; /* copied: what a reload loads it with again */
  struct value *files;         /* a list: every file that was read, and patterns of `include` */
  char *node, *zone, *datacenter;
  char *http, *dns; /* NULL: off. `dns` is checked, and not served yet */
  char *run_dir, *data_dir;
  char *library; /* the directory that holds lua/ and plugins/, as they ship */
  char hash[65]; /* sha256 of every file read, in order; hex */
  bool leave_on_stop;
  bool reload_auto; /* when its files or plugins change */
  unsigned workers; /* 0: the server's default */
  enum log_level log_level;
  bool log_json;
  struct registration **services;          /* ORIGIN_CONFIGURATION, all in the embedded registry */
  const struct value **service_registries; /* of each, a list of names; of `root` */
  size_t service_count;
  struct config_policy *policies;
  size_t policy_count;
  struct config_watch *watches;
  size_t watch_count;
  struct value *root; /* all of it, checked, with defaults */
  /* DIR/plugins/KIND/NAME.lua is looked for in each: beside the file (and `of`'s), /etc/perigee,
   * the library. Ends with NULL. */
  char **plugin_directories;
  size_t plugin_directory_count;
};

/* 0, or -EINVAL with findings, sorted (unreadable file, Lua error, or mistakes in the table). With
 * mistakes in the table *out is what of it is right, for plugins to find theirs (agent_verify);
 * else NULL. The caller's in any case. */
int config_load(const struct config_options *options, struct config **out,
                struct findings *findings);
void config_free(struct config *c);

/* The policy of an instance: its own, or else its service's. NULL: none. */
const struct config_policy *config_policy(const struct config *c, const char *service,
                                          const char *id);

/* "interval" and the like: what every check has, so that no check can be called so. */
bool check_has_setting(const char *name);

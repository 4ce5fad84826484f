/* registries: from the scheme of a target to the plugin that speaks to that registry, and what the
 * configuration gives it. A scheme is a registry's name in `registries`, then an adapter's.
 * Control thread only. */
#pragma once

#include "vm/plugin/plugin.h"

struct config;
struct plugins;
struct value;

/* Of one that is refused; with its `http`. */
#define THIS_AGENT                                                                                 \
  "this is this very agent (http = \"%s\"): say where the registry is, or give perigee another "   \
  "http"

struct registry_use {
  struct plugin *plugin; /* the table's */
  struct value *options; /* the registry's, without what is the host's; NULL: none. The caller's */
  double ttl_s;          /* of leases in it */
  double retry_s;        /* the longest wait before what failed is tried again */
  char path[320];        /* "registries.etcd", for findings about the options */
};

/* -ENOENT: there is neither such a registry nor such an adapter; `f` suggests the nearest. */
int registries_find(const struct config *config, struct plugins *plugins, const char *scheme,
                    struct registry_use *out, struct fault *f);

/* Whether one that the configuration does not name takes its adapter's defaults. 0 or negative
 * errno: `f` says what `registries` must say. */
int registries_undeclared(const struct registry_use *use, struct fault *f);

/* Whether one of its servers is this very agent: of a target's `authority`, else of its options,
 * else of its adapter's own; at its adapter's port where they say none. */
bool registries_is_here(const struct config *config, const struct registry_use *use,
                        const char *authority);

/* Whether each configured registry's adapter is there and takes its options. Returns the number of
 * findings added. */
size_t registries_verify(const struct config *config, struct plugins *plugins,
                         struct findings *findings);

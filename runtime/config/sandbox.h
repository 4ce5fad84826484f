/* sandbox: runs one configuration file in a Lua state of its own and hands back what it returns.
 *
 * The file sees Lua's safe parts, `env(name[, default])`, `file(path)` and `host`; no io, os, load,
 * require, ffi, coroutines or randomness: the same file on the same host gives the same table. It
 * may take 64 MiB, 50 million instructions and 5 seconds (but one call of string.find and the like
 * is not interrupted). Main thread, before anything else runs. */
#pragma once

#include <stddef.h>

struct findings;
struct value;

enum { SANDBOX_MEMORY = 64 << 20, SANDBOX_INSTRUCTIONS = 50000000, SANDBOX_SECONDS = 5 };

struct sandbox_source {
  const char *file; /* as findings name it; what `file` reads is relative to its directory */
  const char *text;
  size_t length;
  const struct value *host;
  /* Told of each file that `file` reads, for the configuration's hash; may be NULL. */
  void (*on_read)(void *arg, const char *path, const char *bytes, size_t length);
  void *arg;
};

/* The table the file returns, each part with its place; or NULL and at least one finding. */
struct value *sandbox_run(const struct sandbox_source *source, struct findings *findings);

/* A Lua expression of ours (a schema's declaration), as a value; NULL: no memory, or an error in
 * it, which is a defect of perigee. */
struct value *sandbox_literal(const char *text);

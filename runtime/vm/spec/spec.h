/* spec: runs the tests of a plugin's spec, NAME_spec.lua, with no network and a clock of its own.
 *
 * Each test has a fresh isolate with the plugin's real limits and grants in it, the script of
 * script.h around it, and a clock that goes where the next thing is due as soon as nothing is
 * ready. On a thread that runs nothing else: base/clock.h is the spec's meanwhile. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fault;

struct spec_options {
  const char *library;     /* the directory that holds lua/ */
  const char *plugin;      /* the plugin's file */
  const char *spec;        /* the spec's */
  const char *kind, *name; /* the plugin's */
  bool ships;              /* it is perigee's own: it may do all but ffi */
  const char *filter;      /* run only tests whose name has this in it; NULL: all */
  uint64_t seed;           /* of what is random in a test */
  double patience_s;       /* of real time a test may take */
};

struct spec_result { /* valid during the call */
  const char *name;  /* "describe's it's" */
  bool passed;
  const char *text;     /* why it failed, with file and line; "" when it passed */
  const char *log;      /* what the plugin logged, a line each; "" for nothing */
  double seconds, days; /* that it took, and that passed on its clock */
};
typedef void (*spec_fn)(void *arg, const struct spec_result *result);

/* Calls `each` after each test, in the order they are written. 0; or negative errno when the plugin
 * or its spec cannot be loaded: the fault names file and line. */
int spec_run(const struct spec_options *options, spec_fn each, void *arg, struct fault *f);

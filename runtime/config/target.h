/* target: where to watch, as a gRPC-style name: `registry://authority/name?options`. Pure. */
#pragma once

#include <stddef.h>

struct fault;

struct target_option {
  char *key, *value;
};

/* All parts are percent-decoded. */
struct target {
  char *registry;  /* "embedded", "static", the name of a registry in the configuration */
  char *authority; /* "" when there is none */
  char *name;      /* what comes after the slash, never "" */
  struct target_option *options; /* in the order written; no key twice */
  size_t option_count;
};

/* -EINVAL: the fault quotes the text and names the character (1-based) where it goes wrong. */
int target_parse(const char *text, struct target *out, struct fault *f);
void target_clear(struct target *t);
const char *target_option(const struct target *t, const char *key); /* NULL when absent */

/* The endpoints of a static target's name, "a:1,b:2,[::1]:3": calls `each` until it returns
 * non-zero, and returns that. -EINVAL: the fault names the entry. `each` NULL only checks. */
int target_each_address(const char *name,
                        int (*each)(void *arg, const char *host, unsigned short port), void *arg,
                        struct fault *f);

/* pick_rules: which services are picked by a plugin, as the control thread publishes it for all
 * threads that pick: each takes the newest table over between two of its picks, and makes its own
 * isolates of it (picker.h). What is in a table never changes, but for the counters. */
#pragma once

#include "vm/isolate/isolate.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pick_rule;
struct pick_rules;
struct pick_table;
struct value;

enum { PICK_THREADS = 65 }; /* the workers, 64 at most, and the control thread, which is the last */

/* What one thread counts of one rule: written by it alone. */
struct pick_counts {
  _Alignas(64) _Atomic uint64_t picks, faults, killed;
  _Atomic uint64_t memory; /* of its isolate */
};

/* A version of a plugin with the options that its picks get. Any thread reads it. */
struct pick_rule {
  const char *plugin, *path, *hash;
  struct value *parts;          /* plugin_parts */
  struct isolate_limits limits; /* compiled */
  struct value *options;        /* as written */
  _Atomic bool held;            /* it is in quarantine: nobody asks it */
  struct pick_counts counts[PICK_THREADS];
};

/* `options` as for plugin_attach: a reference is taken; texts are copied; `parts` are taken over.
 * `hash` tells versions apart. NULL: no memory. One
 * reference, the caller's. */
struct pick_rule *pick_rule_new(const char *plugin, const char *path, struct value *parts,
                                const char *hash, const struct isolate_limits *limits,
                                const struct value *options);
struct pick_rule *pick_rule_ref(struct pick_rule *r);
void pick_rule_unref(struct pick_rule *r); /* NULL is fine */

/* What went wrong last, for the log: any thread. */
void pick_rule_blame(struct pick_rule *r, const char *text);
void pick_rule_blamed(struct pick_rule *r, char *text, size_t size);

/* `faulted` is called after each fault, on the thread that had it. NULL: no memory. */
struct pick_rules *pick_rules_new(void (*faulted)(void *arg), void *arg);
void pick_rules_free(struct pick_rules *all); /* after the threads */
void pick_rules_faulted(const struct pick_rules *all);

struct pick_use {
  const char *service;
  struct pick_rule *rule;
};
/* Control thread. Copies the services and takes references. 0 or -ENOMEM: the old table stays. */
int pick_rules_publish(struct pick_rules *all, const struct pick_use *uses, size_t count);

/* Any thread: moves with each table. */
uint64_t pick_rules_version(const struct pick_rules *all);
/* The newest table, with a reference, and its version. */
struct pick_table *pick_rules_take(struct pick_rules *all, uint64_t *version);
void pick_table_give_back(struct pick_rules *all, struct pick_table *t); /* NULL is fine */
struct pick_rule *pick_table_find(const struct pick_table *t, const char *service); /* or NULL */
bool pick_table_has(const struct pick_table *t, const struct pick_rule *r);

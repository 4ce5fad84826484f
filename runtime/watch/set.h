/* set: what is known of one service's endpoints, and the only way into the catalog.
 *
 * Whoever watches (a registry plugin, the embedded registry) puts, removes and replaces. At the end
 * of the loop's turn `sets_flush` turns each changed set into one snapshot, however many events
 * came, and publishes it. A set that did not change publishes nothing. Control thread only. */
#pragma once

#include "watch/instance.h"

#include <stddef.h>

struct catalog_writer;
struct value;
struct fault;
struct sets;
struct set;

struct set_row {
  struct instance *instance;
  enum status status;
  uint32_t slot, slot_generation; /* of the catalog, for the instance's life */
};

/* Told after a snapshot was published (or the service ended: count 0 and `gone`). Rows are the
 * set's, sorted by id, valid during the call; take references to keep instances. */
struct set_published {
  const char *service;
  uint64_t version;
  const struct set_row *rows;
  size_t count;
  bool gone, stale;
  int64_t stale_since_ns;
};
typedef void (*sets_published_fn)(void *arg, const struct set_published *what);

struct sets *sets_new(struct catalog_writer *writer, sets_published_fn published, void *arg);
void sets_free(struct sets *all);

struct set *sets_open(struct sets *all, const char *service); /* made when new; NULL: no memory */
struct set *sets_find(struct sets *all, const char *service);
/* The service ends: its endpoints leave the catalog at the next flush, then the set is freed. */
void set_close(struct set *s);

const char *set_service(const struct set *s);
size_t set_count(const struct set *s);
const struct set_row *set_rows(const struct set *s); /* by id; valid until the set changes */

/* All take a reference of their own. The same facts again change nothing. 0 or negative errno. */
int set_put(struct set *s, const struct instance *in, enum status status);
int set_remove(struct set *s, const char *id); /* -ENOENT */
int set_status(struct set *s, const char *id, enum status status);
int set_replace(struct set *s, struct instance *const *instances, const enum status *statuses,
                size_t count);

/* The balancer's name and options, as in the configuration: a value that is "name", { "name", ... }
 * or a list of stages. NULL = default. Takes a reference. */
int set_balancer(struct set *s, const struct value *balancer, struct fault *f);

/* Stale: its source cannot be reached; what is known stays. */
void set_stale(struct set *s, bool stale);

/* Publishes what changed; the number of snapshots published. Called once a turn, after I/O. */
size_t sets_flush(struct sets *all);
bool sets_dirty(const struct sets *all);
size_t sets_count(const struct sets *all);

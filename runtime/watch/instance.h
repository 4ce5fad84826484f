/* instance: one running copy of a service, as a registry describes it. Immutable once made, one
 * allocation, counted by references: sets, the embedded registry and the published view share it,
 * and worker threads read it. Any thread may take and drop references. */
#pragma once

#include "catalog/endpoint.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fault;

enum status { STATUS_PASSING, STATUS_WARNING, STATUS_CRITICAL };
const char *status_name(enum status s);               /* "passing" ... */
int status_parse(const char *word, enum status *out); /* 0 or -EINVAL */

struct instance {
  _Atomic uint32_t references;
  uint16_t port; /* the default one; 0 for a unix socket or none */
  uint16_t port_count, tag_count, meta_count;
  bool fit;                             /* instance_check found nothing wrong when it was made */
  double weight;                        /* finite, >= 0; default 1 */
  const char *id;                       /* unique within its service in its registry */
  const char *service, *address, *zone; /* zone "" = unknown; address: ip, name, or unix path */
  const struct catalog_port *ports;     /* sorted by name */
  const char *const *tags;              /* in the order given */
  const struct catalog_pair *meta;      /* sorted by key */
};

/* What instance_new copies from; zero-initialised fields take their defaults (weight: < 0 means
 * default, so set it). Strings may be NULL for "". */
struct instance_draft {
  const char *id, *service, *address, *zone;
  uint16_t port;
  double weight;
  const struct catalog_port *ports;
  const char *const *tags;
  const struct catalog_pair *meta;
  uint16_t port_count, tag_count, meta_count;
};

/* Copies everything; the caller holds the one reference. NULL: out of memory. */
struct instance *instance_new(const struct instance_draft *draft);
struct instance *instance_ref(const struct instance *in);
void instance_unref(struct instance *in);
bool instance_equal(const struct instance *a, const struct instance *b);
bool instance_has_tag(const struct instance *in, const char *tag);
const char *instance_meta(const struct instance *in, const char *key); /* NULL: it has none */

/* Whether it can be an endpoint: 0, or -EINVAL and `f` says what is wrong, for whoever registers.
 * Id and service are names (text.h), the address is not empty, a unix path has no port, named ports
 * are not 0 and named once, meta keys not empty and there once, the weight finite and not negative.
 * A default port of 0 is allowed: a service may have none (Consul's clients register such). */
int instance_check(const struct instance *in, struct fault *f);

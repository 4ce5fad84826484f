/* registration: what somebody asked us to hold: an instance, its checks, and for how long.
 * Immutable once made and counted by references, so that the published view shares it with worker
 * threads; what changes (statuses, outputs, deadlines) is in `registration_state`, which is
 * replaced, not edited. */
#pragma once

#include "watch/instance.h"

#include <stddef.h>

struct fault;
struct value;

enum origin { ORIGIN_CONFIGURATION, ORIGIN_HTTP, ORIGIN_CLI, ORIGIN_LUA };

struct check_definition {
  const char *id; /* unique on this agent: Consul's CheckID; default service:<instance id>[:n] */
  const char *name, *notes;
  const char *plugin;              /* "http", "tcp", "ttl", ... the check plugin's name */
  struct value *options;           /* the plugin's own options; a reference */
  int64_t interval_ns, timeout_ns; /* ttl: interval 0 */
  int64_t ttl_ns;                  /* "ttl" only: critical when unheard of for this long */
  int64_t deregister_after_ns;     /* critical for this long → deregistered; 0 = never */
  int rise, fall;      /* in a row, to become passing / critical; the first result decides */
  enum status initial; /* before the first result: critical unless the registrant said so */
};

struct registration {
  _Atomic uint32_t references;
  enum origin origin;
  struct instance *instance;       /* a reference */
  struct check_definition *checks; /* owned, with their strings */
  uint32_t check_count;
  int64_t lease_ms;     /* 0: held until deregistered; else gone when not renewed for this long */
  int owner_pid;        /* 0: none; else the registration lives while this process does */
  uint64_t owner_start; /* its start time, clock ticks since boot (/proc/PID/stat field 22) */
  int weight_warning;   /* of Consul's Weights, echoed; the other one is the instance's weight */
  bool tag_override;    /* Consul's EnableTagOverride, echoed */
};

/* Copies the draft (deeply, references taken); NULL: out of memory. */
struct registration *registration_new(const struct registration *draft);
struct registration *registration_ref(const struct registration *r);
void registration_unref(struct registration *r);
bool registration_equal(const struct registration *a, const struct registration *b);
bool check_definition_equal(const struct check_definition *a, const struct check_definition *b);
bool check_is_ttl(const struct check_definition *c); /* told, not run */
/* Of one whose strings are malloc'd: a draft's. */
void check_definition_clear(struct check_definition *c);

/* Whether it can be held: 0, or -EINVAL and `f` says what is wrong, for whoever registers. The
 * instance (instance_check); the checks' ids, plugins and durations; the lease; the owner. */
enum { REGISTRATION_CHECKS_MAX = 64 };
#define REGISTRATION_LEASE_MAX_MS (365 * INT64_C(86400000))
int registration_check(const struct registration *r, struct fault *f);

struct check_state {
  enum status status;
  const char *output; /* at most 4096 bytes */
  uint64_t modify_index;
  int64_t changed_us; /* Unix time of the last change of status; 0 never */
};

/* One registration as it is now. Immutable, counted, one allocation. */
struct registration_state {
  _Atomic uint32_t references;
  struct registration *registration; /* a reference */
  enum status status;                /* the worst of its checks; no checks = passing */
  uint64_t create_index, modify_index;
  const struct check_state *checks; /* registration->check_count of them */
};
/* Copies the draft (deeply, a reference of the registration taken); `status` is worked out. NULL:
 * out of memory. */
struct registration_state *registration_state_new(const struct registration_state *draft);
struct registration_state *registration_state_ref(const struct registration_state *s);
void registration_state_unref(struct registration_state *s);

/* registration ⇄ bytes, for the store: versioned; decode refuses what it does not know or what is
 * damaged (-EPROTO), whatever the bytes are. encode: 0, -ENOMEM, or -E2BIG (options nested deeper
 * than 100, a text of 16 MiB). Any thread. */
struct buf;
int registration_encode(const struct registration *r, struct buf *out);
int registration_decode(const void *bytes, size_t length, struct registration **out);

/* The same for a tree of plain data alone. */
int value_encode(const struct value *v, struct buf *out);
int value_decode(const void *bytes, size_t length, struct value **out);

/* embedded: the registry inside the agent. Holds registrations with their leases and the state of
 * their checks; feeds the sets; persists through the store. Control thread only.
 *
 * Success is answered after it is durable. After a restart: what was answered with success is
 * there, with its lease's deadline; what has checks is critical until they say otherwise;
 * ORIGIN_CONFIGURATION is never restored; what names an owner returns only if that lives. */
#pragma once

#include "registry/registration.h"

#include <uv.h>

struct embedded;
struct store;
struct sets;

/* Told of everything that others must follow. All on the control thread, after the change. */
struct embedded_events {
  /* A registration is new, replaced (checks may differ) or changed its state; `gone` at its end.
   * `state` is the new one (the last one when gone); take a reference to keep it. */
  void (*changed)(void *arg, const struct registration_state *state, bool gone);
  /* Somebody must begin, or stop, running check `i` of this registration (not called for ttl).
   * `handle` names it in embedded_check_result; it is never reused. */
  void (*check_start)(void *arg, uint64_t handle, const struct registration *r, uint32_t i);
  void (*check_stop)(void *arg, uint64_t handle);
};

int embedded_new(uv_loop_t *loop, struct store *store, struct sets *sets,
                 const struct embedded_events *events, void *arg, struct embedded **out);
/* Reads the store back. Once, before the first registration. */
int embedded_restore(struct embedded *e);
void embedded_free(struct embedded *e);

typedef void (*embedded_done)(void *arg, int status, const char *message);

/* Adds, or replaces the one with the same instance id. An equal one is a renewal: its checks keep
 * their state. `done` (may be NULL) is called once, later, after the commit. */
int embedded_register(struct embedded *e, const struct registration *r, embedded_done done,
                      void *arg);
/* -ENOENT through `done`. */
int embedded_deregister(struct embedded *e, const char *instance_id, embedded_done done, void *arg);
/* The lease starts anew. */
int embedded_renew(struct embedded *e, const char *instance_id, embedded_done done, void *arg);

/* A ttl check's heartbeat. -ENOENT unknown check, -EINVAL not a ttl check. */
int embedded_check_update(struct embedded *e, const char *check_id, enum status status,
                          const char *output, embedded_done done, void *arg);

/* One run's outcome: rise and fall are applied here. `output` is cut at 4096 bytes. */
void embedded_check_result(struct embedded *e, uint64_t handle, enum status status,
                           const char *output);

/* The configuration's registrations, whole: those of ORIGIN_CONFIGURATION that are not in the list
 * end; equal ones are untouched. */
int embedded_configure(struct embedded *e, struct registration *const *list, size_t count);

size_t embedded_count(const struct embedded *e);
const struct registration_state *embedded_find(const struct embedded *e, const char *instance_id);
void embedded_each(const struct embedded *e,
                   void (*each)(void *arg, const struct registration_state *s), void *arg);

struct embedded_stats {
  uint64_t registrations, leases, checks, expired, status_changes, restored;
  uint64_t passing, warning, critical;
};
void embedded_stats(const struct embedded *e, struct embedded_stats *out);

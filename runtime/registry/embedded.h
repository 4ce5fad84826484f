/* embedded: the registry inside the agent. Holds registrations with their leases and the state of
 * their checks, tells of every change, persists through the store. It knows no sets: who listens
 * decides what of it is an endpoint. Control thread only.
 *
 * A change is written first, takes effect when it is durable, and is answered then; on a full disk
 * it is answered with the error and nothing of it is kept. Changes of one id take effect in the
 * order of the calls. A renewal, too, promises its new deadline over a kill -9: renewals gather for
 * 10 ms, or until anything else is written, and go into one transaction. What ends by itself (a
 * lease that ran out, a dead owner, deregister_after) ends at once: the restart would end it as
 * well.
 *
 * After a restart: what was answered with success is there, with its lease's deadline (by the wall
 * clock: a lease that ran out meanwhile is gone); what has checks is critical until they say
 * otherwise; ORIGIN_CONFIGURATION is never restored; what names an owner returns only if that
 * lives, in the same boot. */
#pragma once

#include "registry/registration.h"

#include <uv.h>

struct embedded;
struct store;

/* Told of everything that others must follow. All on the control thread, after the change. They may
 * call embedded_check_result, _find and _each, nothing that registers or ends. */
struct embedded_events {
  /* A registration is new, replaced (checks may differ) or changed its state; `gone` at its end.
   * `state` is the new one (the last one when gone); take a reference to keep it. One that moves to
   * another service is gone from the old one first. */
  void (*changed)(void *arg, const struct registration_state *state, bool gone);
  /* Somebody must begin, or stop, running check `i` of this registration (not called for ttl).
   * `handle` names it in embedded_check_result; it is never reused. */
  void (*check_start)(void *arg, uint64_t handle, const struct registration *r, uint32_t i);
  void (*check_stop)(void *arg, uint64_t handle);
};

/* `store` outlives it. Any of the events may be NULL. 0, -ENOMEM or what libuv says. */
int embedded_new(uv_loop_t *loop, struct store *store, const struct embedded_events *events,
                 void *arg, struct embedded **out);
/* Reads the store back. Once, before the first registration. 0 or negative errno: what was read so
 * far is there. A record that cannot be read (of a newer perigee) is left in the store and logged.
 */
int embedded_restore(struct embedded *e);
/* Answers what is owed, pending changes with -ECANCELED (they may become durable all the same),
 * without further events. The loop gives its memory back, before or after the store is closed. */
void embedded_free(struct embedded *e);

/* `status` 0 or a negative errno; `message` says more ("" on success), valid during the call. */
typedef void (*embedded_done)(void *arg, int status, const char *message);

/* The next four return 0, and `done` (may be NULL) is called once, later, with the outcome; or
 * -ENOMEM and it is not called. Outcomes besides 0: -ENOENT: no such registration or check; -EPERM:
 * it comes from the configuration, which alone may change it; -ENOSPC, -EIO: not durable, so not
 * done; -ESHUTDOWN: after embedded_leave. */

/* Adds, or replaces the one with the same instance id. An equal one is a renewal: its checks keep
 * their state; checks that are not new keep it in any case. An owner's start time of 0 is looked
 * up. -EINVAL: registration_check says why; -EEXIST: another instance has a check of that id;
 * -ESRCH: its owner does not live. */
int embedded_register(struct embedded *e, const struct registration *r, embedded_done done,
                      void *arg);
int embedded_deregister(struct embedded *e, const char *instance_id, embedded_done done, void *arg);
/* The lease starts anew, counted from this call. */
int embedded_renew(struct embedded *e, const char *instance_id, embedded_done done, void *arg);

/* A ttl check's heartbeat, never written to the disk. -EINVAL: it is not a ttl check. */
int embedded_check_update(struct embedded *e, const char *check_id, enum status status,
                          const char *output, embedded_done done, void *arg);

/* One run's outcome: rise and fall are applied here. `output` (NULL: "") is cut at 4096 bytes. A
 * handle that has been stopped is ignored. */
void embedded_check_result(struct embedded *e, uint64_t handle, enum status status,
                           const char *output);

/* The configuration's registrations, whole: those of ORIGIN_CONFIGURATION that are not in the list
 * end; equal ones are untouched; they replace what others registered with their id. -EINVAL: one is
 * not fit or is there twice, nothing has changed. -EEXIST and others: that one is left out and
 * logged, the rest is applied. */
int embedded_configure(struct embedded *e, struct registration *const *list, size_t count);

/* Ends every registration, for good (`run --leave`). */
void embedded_leave(struct embedded *e);

/* The counter that create_index and modify_index come from. The agent keeps it in one line with the
 * catalog's versions, so that of any two of these numbers the greater one is the later one. */
uint64_t embedded_index(const struct embedded *e);
void embedded_index_raise(struct embedded *e, uint64_t floor);

/* What is due by clock_now_ns is done: the timer's work, for those who own the clock. A turn does
 * at most 256 alarms; returns how many it did. */
uint32_t embedded_tick(struct embedded *e);

size_t embedded_count(const struct embedded *e);
const struct registration_state *embedded_find(const struct embedded *e, const char *instance_id);
void embedded_each(const struct embedded *e,
                   void (*each)(void *arg, const struct registration_state *s), void *arg);

struct embedded_stats {
  uint64_t registrations, leases, checks; /* now */
  uint64_t passing, warning, critical;    /* registrations, now, by status */
  uint64_t pending;                       /* changes on their way to the disk */
  uint64_t expired;                       /* leases that ran out, ever; likewise: */
  uint64_t reaped, orphaned;              /* ended by deregister_after; by their owner's death */
  uint64_t status_changes;                /* of checks */
  uint64_t flapping;                      /* checks, now (flap.h) */
  uint64_t restored, unreadable;          /* at start: taken up again; records not understood */
  uint64_t alarm_moves;                   /* the work of keeping deadlines (alarms.h) */
};
void embedded_stats(const struct embedded *e, struct embedded_stats *out);

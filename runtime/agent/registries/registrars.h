/* registrars: the registries that this agent registers in, and which of its services go where.
 * Follows the embedded registry, which has them all. Control thread only. */
#pragma once

#include "base/schema.h"
#include "registry/registration.h"

#include <uv.h>

struct registrars;
struct plugins;
struct config;
struct fault;
struct policies;
struct store;
struct buf;

/* `shown` knows what of this agent's registrations is for others; `node` marks what is ours. NULL:
 * out of memory. */
struct registrars *registrars_new(uv_loop_t *loop, struct plugins *plugins, struct store *store,
                                  const struct policies *shown, const char *node);
/* What a reload cannot do: a registry that is registered in now, and still in `config`, whose
 * adapter is another's. Returns the number of findings added. */
size_t registrars_refuse(const struct registrars *all, struct plugins *plugins,
                         const struct config *config, struct findings *findings);
/* The registries that the services of this configuration name, and which service goes where; before
 * the services themselves are registered. What it has not changed is not touched; what it took away
 * is deregistered. 0, or negative errno: one of them could not be had. */
int registrars_configure(struct registrars *all, const struct config *config, struct fault *f);
void registrars_free(struct registrars *all); /* before the plugins */

/* A registration of this agent changed or is gone. */
void registrars_local(struct registrars *all, const struct registration_state *state, bool gone);

/* Leaves, or keeps the leases for the next agent; `stopped` is called once, later, at most
 * some seconds. After this, registrars_local does nothing. */
void registrars_stop(struct registrars *all, bool leave, void (*stopped)(void *arg), void *arg);

/* After a stop that left: registrations that could not be taken back in time, which is logged. */
size_t registrars_left(const struct registrars *all);

/* Whether this agent has withdrawn the instance from a registry lately. */
bool registrars_withdrew(const struct registrars *all, const char *service, const char *id);
size_t registrars_taken(const struct registrars *all); /* see reconciler.h */
/* Of the service's instances here those that somebody else has in a registry, and who: a member
 * `taken` for explain; nothing where there are none. */
void registrars_show_taken(const struct registrars *all, const char *service, struct buf *out);
/* Texts in JSON: the registries that have it, or may have. */
struct instance;
void registrars_show_held(const struct registrars *all, const struct instance *in, struct buf *out);
void registrars_metrics(const struct registrars *all, struct buf *out);

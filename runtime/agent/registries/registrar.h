/* registrar: one registry's plugin as the reconciler's hands: `open` when first needed, then
 * register, renew, deregister and list as calls with a deadline. What fails for want of permission
 * (EACCES) opens anew with the options read again, since the file that holds a password may have
 * changed. Owns the registry's reconciler. Control thread only. */
#pragma once

#include "agent/registries/registries.h"
#include "registry/reconciler.h"
#include "registry/withdrawn.h"

struct registrar;

/* `name` is the registry's in the configuration; `owner` marks what is ours; both are copied. Of
 * `use` it keeps what it needs; `ttl` in seconds; what it deregisters because nobody wants it any
 * more is added to `withdrawn`, which outlives it. NULL: out of memory. */
struct registrar *registrar_new(uv_loop_t *loop, const char *name, const struct registry_use *use,
                                const char *owner, double ttl, struct store *store,
                                struct withdrawn *withdrawn);
/* Other options of the same plugin: what runs ends with the old ones, then it opens anew. */
void registrar_configure(struct registrar *r, const struct registry_use *use);
void registrar_free(struct registrar *r); /* ends its calls */

const char *registrar_name(const struct registrar *r);
const char *registrar_adapter(const struct registrar *r);
struct reconciler *registrar_reconciler(struct registrar *r);

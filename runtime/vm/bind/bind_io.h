/* bind_io: what the bindings to io/ share: options, durations, and where one may wait. Control
 * thread only; everything here may raise. */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/tls.h"
#include "vm/isolate/isolate.h"
#include "vm/isolate/task.h"

/* A table of options at `index`, or none (nil): raises for a name that is not in `known`, with the
 * nearest one that is. Leaves a table at `index`. Which are given, a bit for each of `known` (32 at
 * most): the rest need no look. */
unsigned options_check(lua_State *L, int index, const char *const *known);

/* Fields of the table at `index`. What is returned points into the table's own text. */
const char *option_text(lua_State *L, int index, const char *name); /* NULL when absent */
bool option_flag(lua_State *L, int index, const char *name);
/* { ca, cert, key, server_name, verify }, or true: nothing of it. Whether it is given, and not
 * false. */
bool option_tls(lua_State *L, int index, const char *name, struct tls_options *out);
/* Whether the files that it names are granted (`read`): the agent opens them, keys among them. Sets
 * their roots. */
bool tls_granted(lua_State *L, struct tls_options *tls);
/* A link that leads out of what is granted (-EXDEV) is told as what is not granted. */
static inline int outside_code(int code) {
  return code == -EXDEV ? -EACCES : code;
}
/* An integer from `least` to `most`, or `otherwise`. */
double option_integer(lua_State *L, int index, const char *name, double least, double most,
                      double otherwise);
/* Milliseconds of a duration, at least 1; `otherwise` when absent. */
uint64_t option_ms(lua_State *L, int index, const char *name, uint64_t otherwise);
/* The same for an argument that is a duration or nil. */
uint64_t argument_ms(lua_State *L, int index, uint64_t otherwise);

/* A port at `index`, as a number from 1 (or `least`) to 65535. */
uint16_t port_check(lua_State *L, int index, int least);

/* Raises before an operation with effects starts, where task_wait would raise after. */
void wait_check(lua_State *L);

static inline struct io *io_of(lua_State *L) {
  return vm_io(isolate_vm(isolate_of(L)));
}

/* reference: a Lua value that the host keeps for a plugin (what `open` returned), by number in its
 * isolate. Made and dropped under protection, since both may allocate. Control thread only. */
#pragma once

#include "vm/isolate/isolate.h"

struct fault;

/* Keeps what lies at `index` of `from`. 0 and the number, or negative errno with why. */
int reference_keep(struct isolate *in, lua_State *from, int index, int *reference, struct fault *f);
void reference_drop(struct isolate *in, int reference); /* LUA_REFNIL: nothing to drop */

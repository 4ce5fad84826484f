/* bind_batch: what bind_set.c needs of a batch. Control thread only. */
#pragma once

#include <lua.h>

struct set;
struct fault;

/* The set has these, and nothing else. Two of one id are the registry's mistake, for which its
 * other entries must not pay: the later counts, and the set complains. 0, or negative errno and
 * nothing has changed. */
struct instances;
int take_instances(struct set *s, struct instances *list, struct fault *f);

void open_batch(lua_State *L); /* once an isolate */
/* An empty one, for instances of this service. Raises for memory. */
void push_batch(lua_State *L, const char *service);
/* The set has what is in the batch at `index`, and nothing else; the batch is empty then. Raises
 * for what is no batch. 0, or negative errno and nothing has changed. */
int batch_replace(lua_State *L, int index, struct set *s, struct fault *f);

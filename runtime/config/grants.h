/* grants: whether what `plugins = { NAME = { grant = ... } }` says can ever match what a plugin
 * asks for (vm/isolate/grant.h): what cannot is a mistake, which nobody would find. Pure. */
#pragma once

struct findings;
struct value;

/* `plugins` as it was checked by the schema. */
void grants_check(const struct value *plugins, struct findings *findings);

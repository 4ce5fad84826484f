/* plugins: the loaded plugins, one isolate each, found by kind and name and loaded when first
 * needed. Attachments keep theirs loaded. Control thread only. */
#pragma once

#include "vm/plugin.h"

struct plugins;
struct config;
struct buf;

struct plugins *plugins_new(struct vm *vm, const struct config *config);
void plugins_free(struct plugins *all); /* after every attachment */

/* The plugin, loaded; it stays the table's. */
int plugins_get(struct plugins *all, const char *kind, const char *name, struct plugin **out,
                struct fault *f);

void plugins_each(const struct plugins *all, void (*each)(void *arg, struct plugin *p), void *arg);

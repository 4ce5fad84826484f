/* plugins: the loaded plugins, one isolate each, found by kind and name and loaded when first
 * needed, with the limits and grants that the configuration gives them. Attachments keep theirs
 * loaded. Control thread only. */
#pragma once

#include "agent/plugins/quarantine.h"
#include "vm/plugin/plugin.h"

struct plugins;
struct config;
struct findings;
struct buf;

struct plugins *plugins_new(struct vm *vm, const struct config *config);
void plugins_free(struct plugins *all); /* after every attachment */

/* The plugin, loaded; it stays the table's. */
int plugins_get(struct plugins *all, const char *kind, const char *name, struct plugin **out,
                struct fault *f);

/* Whether to call it now, or to leave what it last said as it is (quarantine.h). Who was told to
 * notes how that call ended: `fault` when it is the plugin's. */
bool plugins_allows(struct plugins *all, const struct plugin *p);
void plugins_note(struct plugins *all, const struct plugin *p, bool fault);
/* Whether it is in quarantine, and not called to see how it is: only asking. */
bool plugins_holds(struct plugins *all, const struct plugin *p);

/* Settings for what no plugin is called, once those that are needed have been loaded. Returns the
 * number of findings added. */
size_t plugins_verify(const struct plugins *all, struct findings *findings);

void plugins_each(const struct plugins *all,
                  void (*each)(void *arg, struct plugin *p, const struct quarantine *q), void *arg);
/* What became of the reloads of one. */
struct plugins_reloads {
  uint64_t done, failed, gone_back; /* the last: after a probation, or by the operator */
  char why[300];                    /* the last one failed; "": it did not */
};
const struct plugins_reloads *plugins_reloads(const struct plugins *all, const struct plugin *p);
bool plugins_on_probation(const struct plugins *all, const struct plugin *p);
/* A JSON list for GET /v1/plugins. */
struct choosers;
void plugins_show(const struct plugins *all, const struct choosers *choosers, struct buf *out);
void plugins_reload_metrics(const struct plugins *all, struct buf *out);

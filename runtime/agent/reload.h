/* reload: the configuration and the plugins are read again while the agent runs, and what differs
 * is applied. A transaction, as far as one can go: everything that can be verified is, with plugins
 * loaded afresh, before the first change; what fails leaves all as it was, and is logged, counted,
 * and told to who asked. One at a time. Control thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct agent;
struct buf;
struct reload;

struct reload_wish {
  const char *why;     /* for the log: "SIGHUP" */
  const char *plugin;  /* only this one, by NAME or KIND/NAME; NULL: all */
  const char *file;    /* as if this were the configuration; NULL: the one that is in use */
  const char *text;    /* likewise, but its text, as if it were beside the one that is in use */
  const char *if_hash; /* only if what was read has this sha256; NULL: in any case */
  bool fresh;          /* with `plugin`: it takes nothing over from the version before */
  bool dry;            /* only tell what would change */
  bool back;           /* the plugin's last good version, instead of its file */
};

/* As server_reply. 0 and JSON: { "hash", "before", "applied", "changes": [...], "plans": [...] }
 * (changes.h, plans_preview), and of a rollback "version_of", since when that version was in use;
 * or negative errno and what is wrong, a finding a line. */
typedef void (*reload_reply)(void *to, int status, const char *text);

/* Begins with SIGHUP, and with the files where the configuration says so. NULL: out of memory. */
struct reload *reload_new(struct agent *a);
/* When the agent stops: what is under way is given up, and nothing begins any more. */
void reload_stop(struct reload *r);
void reload_free(struct reload *r); /* after reload_stop; memory goes with the close callbacks */

/* `reply` is called once, then or later; NULL: nobody waits, and one that is under way is followed
 * by another. The wish is used during the call only. */
void reload_begin(struct reload *r, const struct reload_wish *wish, reload_reply reply, void *to);

void reload_metrics(const struct reload *r, struct buf *out);

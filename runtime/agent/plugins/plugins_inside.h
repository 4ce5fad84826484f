/* plugins_inside: what plugins.c (which there are) and plugins_reload.c (other versions of them)
 * share. Not for others. */
#pragma once

#include "agent/plugins/plugins.h"
#include "agent/plugins/probation.h"
#include "base/fault.h"

#include <uv.h>

enum { EARLIER = 4 };

struct entry {
  struct plugin *plugin;
  struct value *settings; /* the configuration's, as it was loaded with; NULL: none */
  struct quarantine quarantine;
  struct probation probation;
  int64_t since_us; /* Unix time; the version that is used came then, in this life or before it */
  struct value *earlier[EARLIER]; /* before it, that proved themselves, the newest first */
  size_t earlier_count;
  char left[65]; /* the hash of a version that was left again, and is not taken until it changes */
  struct value *next_settings; /* while another version is prepared */
  bool going_back;             /* ... and that is the last good one */
  bool unused, next_unused;    /* by the configuration, and the one that is prepared */
  struct plugins_reloads reloads;
};

struct miss {
  char *kind, *name;
  struct fault fault;
};

struct plugins {
  struct vm *vm;
  const struct config *config;
  struct entry *items;
  size_t count;
  struct store *store; /* NULL: what was left is not remembered */
  uv_timer_t *due;     /* of probations. NULL: a draft, whose plugins nobody calls */
  struct miss *misses; /* of a draft: what could not be loaded, and is not tried again */
  size_t miss_count;
  bool anew, fresh;   /* of a draft: plugins_draft_anew */
  struct value *host; /* of a draft: where its plugins are; NULL: where all are */
  size_t readying;    /* plugins that are being made ready */
  struct fault unready;
  void (*ready)(void *arg, const struct fault *f);
  void *ready_arg;
};

struct entry *plugins_entry(const struct plugins *all, const char *kind, const char *name);
/* Loads it as the configuration says; `parts` (plugin_parts) NULL: from its file. */
int plugins_load(const struct plugins *all, const char *kind, const char *name,
                 const struct value *parts, struct plugin **out, struct fault *f);
bool plugins_ship(const struct plugins *all, const char *path);
int plugins_add(struct plugins *all, const struct entry *e); /* -ENOMEM */
void entry_clear(struct entry *e);

/* plugins_reload.c */
void plugins_observe(struct plugins *all, struct plugin *p); /* one that came */
/* A call of it ended. True: it is on probation, which judges that. */
bool plugins_try(struct plugins *all, struct entry *e, bool fault);
void plugins_unattend(struct plugins *all);

/* plugins_kept.c. A version: plugin_parts, with `version` and `since`. */
struct value *version_of(const struct entry *e); /* NULL: out of memory */
/* Taken over. The oldest ones go, where they are too many or too large. */
void earlier_push(struct entry *e, struct value *version);
void earlier_pop(struct entry *e);
const char *earlier_version(const struct entry *e); /* the newest one's hash; "": there is none */
int64_t earlier_since_us(const struct entry *e);
/* For the next start. */
void plugins_keep(struct plugins *all, const struct entry *e);

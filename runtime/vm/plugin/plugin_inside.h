/* plugin_inside: what a plugin consists of, for those who make one, call it or change it: this
 * room, and what a plan's endpoints and a test are. Control thread only. */
#pragma once

#include "vm/isolate/inside.h"
#include "vm/plugin/plugin.h"

/* edition.c: one version of a plugin's file, in an isolate of its own. It lasts as long as it is in
 * one of its plugin's places or a call is under way in it. */
struct schema;
struct target_form;
struct call;
struct edition {
  struct plugin *plugin;
  struct isolate *isolate;
  const char *kind, *name; /* the plugin's */
  char *path, *summary, *source;
  size_t source_length;
  char hash[SOURCE_HASH_SIZE];    /* of the source */
  char version[SOURCE_HASH_SIZE]; /* of that and of what it requires */
  double every;
  struct value *standin;      /* NULL: it names none */
  struct target_form *target; /* of a registry; NULL: it does not say */
  unsigned changes;           /* of a balancer: what its plan may change */
  char *moves_keys;           /* of one whose plan does: how; else NULL */
  struct schema *schema;
  int ref;        /* its table */
  unsigned calls; /* under way */
  bool alone;     /* it takes nothing over from the one before */
  bool retired;   /* in no place: it ends with its last call */
};
/* `parts` NULL: the file at `path`. */
int edition_load(struct vm *vm, struct plugin *p, const char *path, const struct value *parts,
                 const struct isolate_limits *limits, struct edition **out, struct fault *f);
struct value *edition_parts(const struct edition *e); /* as plugin_parts */
void edition_retire(struct edition *e);               /* NULL is fine */
void edition_release(struct edition *e);              /* a call less */
/* Pushes its function `name`, "a.b" for one in a table; false, and nil: there is none. */
bool edition_push_function(lua_State *L, const struct edition *e, const char *name);
bool edition_provides(const struct edition *e, const char *name);

/* A plugin is a handle; what is called, is the edition in the place NOW. Each attachment has its
 * `use` in the same places: they move together (reload.c). */
enum place {
  NOW,
  PREPARED, /* will be, if it becomes ready */
  PARKED,   /* was, and is again should the new one fail in its first calls */
  PLACES
};
struct use {
  bool made;
  struct value *options; /* as its edition's schema gave them */
  struct secrets *secrets;
  int ref_options, ref_ctx;
};
struct attachment {
  struct attachment *next, **link; /* the plugin's */
  struct plugin *plugin;
  struct use uses[PLACES];
  struct value *written; /* the options, unchecked */
  char *path, *service, *subject;
  struct call *calls;
  const struct attachment_events *events;
  void *events_arg;
  bool ending;
};
struct plugin {
  char *kind, *name;
  struct edition *editions[PLACES];
  struct attachment *attachments;
  struct readying *readying; /* reload.c */
  void (*called)(void *arg, struct plugin *p, bool fault);
  void *called_arg;
};
/* Pushes the plugin's function `name`, "a.b" for one in a table; false, and nil: there is none. */
bool plugin_push_function(lua_State *L, const struct plugin *p, const char *name);

/* attachment.c, for reload.c: makes the attachment's use of `e`. 0, -EINVAL with findings, or other
 * errors. */
int use_make(struct attachment *a, const struct edition *e, struct use *out,
             struct findings *findings);
void use_clear(struct use *u, const struct edition *e);
/* As attachment_call, in this place and at this pace. */
struct call_start {
  enum place place;
  enum task_pace pace;
  const char *name;
  int (*push)(lua_State *L, void *arg);
  void (*done)(void *arg, const struct call_result *result);
  void *arg;
  int64_t deadline_ns;
};
int call_start(struct attachment *a, const struct call_start *how, struct call **out,
               struct fault *f);
void calls_cancel(struct attachment *a, const struct edition *e); /* those in it */

/* handover.c: what the old edition gives to the new one, by value. */
int handover_plugin(struct plugin *p, struct fault *f); /* export() and import() */
void handover_state(struct attachment *a);              /* ctx.state */

/* declaration.c: checks the table on top of L, which a plugin's file returned, and fills e. Runs
 * protected: 0, or negative errno and `f` names file and line; it may raise. What it takes for that
 * is in `d`, zero-initialised, which the caller clears in any case. */
struct declaration {
  struct places *places;
  struct value *options;
};
int declaration_read(lua_State *L, struct edition *e, struct declaration *d, struct fault *f);
void declaration_clear(struct declaration *d);

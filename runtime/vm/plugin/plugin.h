/* plugin: one Lua file that returns a table, in an isolate of its own, and what may be called in
 * it. An attachment is one use of it: options that passed its schema, and `ctx.state`. Both are
 * handles: a reload (reload.h) changes what is in them. Control thread only. */
#pragma once

#include "vm/isolate/border.h"
#include "vm/isolate/isolate.h"

struct value;
struct findings;
struct plugin;
struct attachment;
struct call;

/* Where a plugin's file is: DIR/plugins/KIND/NAME.lua for each DIR in order. -ENOENT: the fault
 * lists the places and suggests the nearest name. `path` is malloc'd. */
int plugin_find(const char *const *directories, const char *kind, const char *name, char **path,
                struct fault *f);

/* Loads the file into a fresh isolate: source only (bytecode is refused), the sandbox's globals,
 * its table checked (kind, summary, options, known fields with suggestions, the kind's functions).
 */
int plugin_load(struct vm *vm, const char *kind, const char *name, const char *path,
                const struct isolate_limits *limits, struct plugin **out, struct fault *f);
/* The same from texts, as if the files held them: of plugin_parts. */
int plugin_load_parts(struct vm *vm, const char *kind, const char *name, const char *path,
                      const struct value *parts, const struct isolate_limits *limits,
                      struct plugin **out, struct fault *f);
/* Ends its isolate. After its attachments. */
void plugin_free(struct plugin *p);

const char *plugin_name(const struct plugin *p);
const char *plugin_kind(const struct plugin *p);
const char *plugin_path(const struct plugin *p);
const char *plugin_hash(const struct plugin *p); /* sha256 of its source, hex */
/* Another one where its source is another or that of a file which it requires. */
const char *plugin_version(const struct plugin *p);
/* Those files. */
void plugin_each_required(const struct plugin *p, void (*each)(void *arg, const char *path),
                          void *arg);
/* What it is made of now: { source = TEXT, library = { NAME = TEXT } }, the latter what it
 * requires, but for what ships. The caller's, who may add fields; NULL: out of memory. */
struct value *plugin_parts(const struct plugin *p);
const char *plugin_summary(const struct plugin *p);
/* What a balancer's `plan` may change: PLAN_WEIGHT and so on (watch/balancer.h); all of it unless
 * the plugin says otherwise by `sets`. */
unsigned plugin_changes(const struct plugin *p);
/* How a balancer's plan moves keys, as it says by `moves_keys`: why it is refused before an
 * algorithm that goes by key. NULL: it does not. Until its next reload. */
const char *plugin_moves_keys(const struct plugin *p);
/* A balancer's `standin`, as it is written: who picks where its `pick` cannot. NULL: it names none.
 * Until its next reload. */
const struct value *plugin_standin(const struct plugin *p);
/* What a registry's targets may have (target_form.h). NULL: it does not say, and judges them
 * itself. Until its next reload. */
struct target_form;
const struct target_form *plugin_target(const struct plugin *p);
/* What its option is where nothing is said of it (schema_default). Until its next reload. */
const struct value *plugin_default(const struct plugin *p, const char *option);
/* Until its next reload: a reference into it is given back before (attachment_follow). */
bool plugin_is_attached(const struct plugin *p); /* somebody uses it */
struct isolate *plugin_isolate(const struct plugin *p);
double plugin_every(const struct plugin *p); /* seconds; 0: the plugin does not say */
/* Whether it has this function of its kind: "run", "watch", "on.status", ... A check without "run"
 * is one that declares `passive = true`: the host waits to be told. */
bool plugin_provides(const struct plugin *p, const char *function);

/* Checks `options` (a table; or the main option's plain value, NULL = none) against the plugin's
 * schema. Findings name file, line and path. 0, -EINVAL with findings, or other errors. */
int plugin_attach(struct plugin *p, const struct value *options, const char *path,
                  struct attachment **out, struct findings *findings);
void attachment_free(struct attachment *a); /* ends its calls first, with -ECANCELED */
struct plugin *attachment_plugin(const struct attachment *a);
/* The options as checked, with defaults; the attachment's, until its plugin's next reload. */
const struct value *attachment_options(const struct attachment *a);

/* As they were given, NULL: none. */
const struct value *attachment_written(const struct attachment *a);
/* Whether its options have secrets from files; and whether one of these is not as it was when it
 * was read: who attaches anew gets what is in it now. */
bool attachment_may_age(const struct attachment *a);
bool attachment_aged(const struct attachment *a);

/* For owners that hold more of the plugin's isolate than an attachment: what `open` returned, or
 * what a call's outcome became. Neither function may free attachments of the plugin. */
struct attachment_events {
  /* The isolate is about to change: references into it are given back, calls that must not end in
   * it are cancelled. Calls that are started here (to close a connection) still run in it. */
  void (*leaving)(void *arg);
  /* It has changed: from now on calls are the new one's. */
  void (*arrived)(void *arg);
};
/* `events` outlives the attachment; either function may be NULL. */
void attachment_follow(struct attachment *a, const struct attachment_events *events, void *arg);

/* What ctx.service says from now on, and service= in the lines of ctx.log. 0 or negative errno. */
int attachment_service(struct attachment *a, const char *service);

/* The address that "self" stands for in grants. Before the first call. 0 or -ENOMEM. */
int attachment_subject(struct attachment *a, const char *address);

/* The outcome of a call. `status` 0: `results` values are on top of L's stack, to be read inside
 * `done` only, by what cannot raise: lua_type, lua_toboolean, lua_tonumber, lua_tolstring of a
 * string, read_value. -EFAULT: raised; -ETIME: killed; -ETIMEDOUT: the deadline passed; -ENOMEM;
 * -ECANCELED. `fault` says where; never NULL. */
struct call_result {
  int status;
  lua_State *L;
  int results;
  const struct fault *fault;
};
typedef void (*call_done_fn)(void *arg, const struct call_result *result);

/* Inside `done`: result `number`, from 1, where it is text; else NULL, also for a number, which Lua
 * would make a text of in place, and that allocates. */
const char *call_text(const struct call_result *r, int number);

/* Starts the plugin's function `name` as a task: `push` puts its first arguments (the instance...)
 * on the stack and returns how many; options and ctx follow. `done` is called exactly once, never
 * from within this call: the task begins in the loop's next turn. `deadline_ns` 0 = none, else from
 * now. -ENOSYS: the plugin has no such function; -ENOMEM; -EAGAIN: too many tasks; -ECANCELED: its
 * isolate has ended; -EINVAL: a reload's new schema refuses the options. `*out` is valid until
 * `done` or call_cancel; `out` may be NULL. */
int attachment_call(struct attachment *a, const char *name, int (*push)(lua_State *L, void *arg),
                    call_done_fn done, void *arg, int64_t deadline_ns, struct call **out);
void call_cancel(struct call *c); /* ends its task; `done` is not called */
/* Inside a call's `done`: whether the call began before the plugin's last reload. What it says is
 * as good as any, but its failure is not the new one's. */
bool plugin_told_by_old(const struct plugin *p);

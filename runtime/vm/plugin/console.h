/* console: evaluates what an operator types in an isolate, as a task of it, with the same limits as
 * whatever runs there. Control thread only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf;
struct evaluation;
struct fault;
struct isolate;
struct plugin;

/* `status` 0: `text` is what it printed and returned. Else `fault` says why it failed, and `text`
 * what it had printed. Both are valid during the call. */
typedef void (*evaluated_fn)(void *arg, int status, const char *text, const struct fault *fault);

/* Starts an expression or a chunk. `plugin` is what the isolate is of, or NULL. `done` is called
 * once, later, also when the isolate ends. 0 and *out, valid until `done`;
 * -EINVAL: `f` says where it is no Lua; -ENODATA: it is not whole, more lines are to come;
 * -ENOTSUP: the isolate is compiled; -EAGAIN, -ENOMEM. `deadline_ns` 0: none. */
int evaluation_start(struct isolate *iso, const struct plugin *plugin, const char *code,
                     int64_t deadline_ns, evaluated_fn done, void *arg, struct evaluation **out,
                     struct fault *f);
/* `done` is told -ECANCELED, before this returns unless the code runs just now. */
void evaluation_end(struct evaluation *e);

/* Adds the names that `text` may become, one a line. 0 or negative errno. */
int evaluation_complete(struct isolate *iso, const struct plugin *plugin, const char *text,
                        struct buf *out, struct fault *f);

/* reload_watch: tells when a file that the configuration was read from, or a plugin's, may have
 * changed: inotify on their directories, and a look at the files themselves now and then, as
 * inotify can miss something. What has changed is not said: who is told compares what the files
 * hold. Control thread only. */
#pragma once

#include <uv.h>

struct config;
struct io;
struct plugins;
struct reload_watch;

/* `changed` is called from the loop, once for what happens within some 20 ms. NULL: out of memory.
 */
struct reload_watch *reload_watch_new(uv_loop_t *loop, struct io *io, const struct plugins *plugins,
                                      void (*changed)(void *arg), void *arg);
void reload_watch_free(struct reload_watch *w);

/* What to look at from now on; NULL: nothing. `config` lasts until the next call. */
void reload_watch_configure(struct reload_watch *w, const struct config *config);

/* file_watch: tells when a file or a directory's entries change. inotify on the directory, so that
 * a file may be replaced by rename, be a link into a directory that is swapped, or not exist yet.
 *
 * Events within FILE_WATCH_QUIET_MS of each other are one. As inotify's queue overflows in silence
 * and directories go and come back, the path is also looked at every FILE_WATCH_LOOK_MS. Looking a
 * directory up is done on the loop: not for network file systems. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct fault;
struct io;
struct file_watch;

enum { FILE_WATCH_QUIET_MS = 20, FILE_WATCH_LOOK_MS = 10000, FILE_WATCH_NAMES = 128 };

/* status 0, or -ETIMEDOUT. `names`: what changed in the directory, or the file's own name; none
 * means that too much did to tell: look yourself. Valid during the call. */
typedef void (*file_watch_fn)(void *arg, int status, const char *const *names, size_t count);

/* The directory (for a file: the one it is in) has to exist. The first `root` bytes of `path` are a
 * directory out of which no link may lead, as in io/beneath.h (-EXDEV; what is put there later and
 * leads out counts as not there); 0: it may lead anywhere. */
int file_watch_open(struct io *io, const char *path, size_t root, struct file_watch **out,
                    struct fault *f);
/* The changes since the last time; one at a time, else -EBUSY. */
int file_watch_next(struct file_watch *w, uint64_t timeout_ms, file_watch_fn done, void *arg);
void file_watch_cancel(struct file_watch *w);
void file_watch_close(struct file_watch *w);

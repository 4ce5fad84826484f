/* owners: processes that registrations live and die with. One pidfd a process, however many
 * registrations name it; the loop tells of its end at once. A process is its pid and its start
 * time, so that a pid that was given to another process is not taken for it. Control thread only.
 */
#pragma once

#include <stdint.h>
#include <uv.h>

struct owners;
struct owner;

/* One who wants to know; embedded in what lives with the owner. */
struct owner_tie {
  struct owner *owner; /* NULL: not tied */
  struct owner_tie *next, **link;
  void (*died)(struct owner_tie *tie); /* untied already; may tie and untie any */
};

struct owners *owners_new(uv_loop_t *loop);
/* After all are untied. Its memory is given back when the loop has closed its handles. */
void owners_free(struct owners *all);

/* Of a living process: clock ticks since boot, /proc/PID/stat field 22. 0, or -ESRCH. */
int owner_start_time(int pid, uint64_t *start);

/* -ESRCH: no such process lives (another with this pid does not count); -EMFILE, -ENFILE: no
 * descriptor left; -ENOSYS: a kernel before 5.3; -ENOMEM. */
int owner_tie(struct owners *all, int pid, uint64_t start, struct owner_tie *tie);
void owner_untie(struct owner_tie *tie); /* nothing happens when it is not tied */

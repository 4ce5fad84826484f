/* parts: everything the agent is made of, and what the parts tell each other; for the files of
 * agent/ only. Made in this order, ended in the reverse one. Control thread only. */
#pragma once

#include "vm/isolate/isolate.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct agent {
  uv_loop_t loop;
  struct config *config;
  struct catalog_writer *catalog;
  struct store *store;
  struct sets *sets;
  struct view *view;
  struct io *io;
  struct vm_registry registry; /* what the plugins have of it */
  struct vm *vm;
  struct plugins *plugins;
  struct consoles *consoles;
  struct choosers *choosers;
  struct checks *checks;
  struct embedded *embedded;
  struct policies *policies;
  struct plans *plans;
  struct hooks *hooks;
  struct routes *routes;
  struct watches *watches;
  struct registrars *registrars;
  struct server *server;
  struct reload *reload;
  struct lag *lag;
  struct live *live;
  struct feedback *feedback;
  uv_prepare_t turn; /* publishes what the turn changed, before the loop sleeps */
  uv_timer_t tick;   /* once a second: heartbeat, resting blocks, the persisted version */
  uv_timer_t due;    /* what waits to be published (sets_due_ns) has a turn then */
  uv_idle_t again;   /* keeps the loop from sleeping while a flush left something to flush */
  uv_signal_t terminate, interrupt;
  uint64_t version_saved;
  int64_t started_us;
  bool ready;     /* told the server so */
  unsigned stops; /* how often it was told to stop */
  int exit_code;
};

struct fault;

/* First what Lua needs, which the configuration's last checks need before anything is touched; then
 * the rest. 0, or 1 with the reason logged: then as well parts_end ends what there is. */
int parts_make_lua(struct agent *a);
int parts_make(struct agent *a);
/* What a part still has on the loop (handles that are closing) goes with the loop's last turns. */
void parts_end(struct agent *a);

int cannot_start(const struct fault *f); /* logs it; 1 */

/* vm: what the isolates of one loop share, and the queue of their tasks that are ready to run. */
#include "base/buf.h"
#include "base/value.h"
#include "client/perigee.h"
#include "vm/isolate/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void texts_free(struct vm *vm) {
  library_free(vm);
  free(vm->directory);
  free(vm->run_dir);
}

static void on_idle(uv_idle_t *idle) {
  struct vm *vm = idle->data;
  tasks_run(vm);
  if (!tasks_ready(vm))
    uv_idle_stop(idle);
}

void vm_wake(struct vm *vm) {
  uv_idle_start(&vm->idle, on_idle);
}

static void on_rested(uv_timer_t *timer) {
  vm_wake(timer->data);
}

void vm_rest(struct vm *vm, int ms) {
  uv_update_time(vm->loop); /* the loop's is from before what was so long */
  uv_timer_start(&vm->rest, on_rested, (uint64_t)ms, 0);
}

int vm_new(const struct vm_config *config, struct vm **out, struct fault *f) {
  struct vm *vm = calloc(1, sizeof *vm);
  if (!vm)
    return fault_set(f, -ENOMEM, "out of memory");
  vm->loop = config->loop;
  vm->io = config->io;
  vm->ready.last = &vm->ready.first;
  vm->later.last = &vm->later.first;
  vm->pass = 1; /* an isolate is tired in none */
  vm->directory = strdup(config->library);
  vm->run_dir = config->run_dir ? strdup(config->run_dir) : NULL;
  vm->registry = config->registry;
  vm->scripted = config->scripted;
  bool whole = vm->directory && (vm->run_dir || !config->run_dir);
  int code = whole ? library_load(vm, config->library, f) : fault_set(f, -ENOMEM, "out of memory");
  if (code == 0)
    code = turn_watch_start(vm->loop, f);
  if (code != 0) {
    texts_free(vm);
    free(vm);
    return code;
  }
  vm->host = config->host ? value_ref(config->host) : NULL;
  vm->idle.data = vm->rest.data = vm;
  uv_idle_init(vm->loop, &vm->idle);
  uv_timer_init(vm->loop, &vm->rest);
  due_open(vm);
  vm->closing = 3;
  *out = vm;
  return 0;
}

static void on_closed(uv_handle_t *handle) {
  struct vm *vm = handle->data;
  if (--vm->closing == 0)
    free(vm);
}

void vm_free(struct vm *vm) {
  if (!vm)
    return;
  turn_watch_stop();
  uv_timer_stop(&vm->rest);
  texts_free(vm);
  perigee_close(vm->catalog);
  value_unref(vm->host);
  alarms_free(&vm->alarms);
  uv_close((uv_handle_t *)&vm->idle, on_closed);
  uv_close((uv_handle_t *)&vm->timer, on_closed);
  uv_close((uv_handle_t *)&vm->rest, on_closed);
}

struct io *vm_io(const struct vm *vm) {
  return vm->io;
}

const struct vm_registry *vm_registry(const struct vm *vm) {
  return vm->registry;
}

int vm_catalog(struct vm *vm, struct perigee **out) {
  int r = vm->catalog ? 0 : vm->run_dir ? perigee_open(&vm->catalog, vm->run_dir) : -ENOENT;
  *out = vm->catalog;
  return r;
}

void vm_pick_by(struct vm *vm, struct pickers *pickers) {
  vm->pickers = pickers;
}

void vm_stats(const struct vm *vm, struct vm_stats *out) {
  *out = (struct vm_stats){.isolates = vm->isolates, .memory = vm->memory};
  for (const struct isolate *iso = vm->first; iso; iso = iso->next) {
    out->tasks += iso->task_count;
    out->handles += iso->handle_count;
    out->turns += iso->turns;
  }
}

#include "io/inside.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static void idle_run(uv_idle_t *idle) {
  struct io *io = idle->data;
  struct ring now;
  io_hold(io); /* what runs may drop the last other reference */
  ring_take(&now, &io->queue);
  while (!ring_empty(&now)) {
    struct later *l = ring_item(now.next, struct later, link);
    ring_remove(&l->link);
    l->run(l);
  }
  if (ring_empty(&io->queue))
    uv_idle_stop(idle);
  io_drop(io);
}

int io_new(uv_loop_t *loop, struct io **out) {
  struct io *io = calloc(1, sizeof *io);
  if (!io)
    return -ENOMEM;
  io->loop = loop;
  io->references = 1;
  ring_init(&io->queue);
  uv_idle_init(loop, &io->idle); /* cannot fail */
  io->idle.data = io;
  signal(SIGPIPE, SIG_IGN);
  *out = io;
  return 0;
}

/* From the loop's closing phase: neither c-ares nor libcurl is on the stack. */
static void io_gone(uv_handle_t *handle) {
  struct io *io = handle->data;
  if (io->resolver)
    resolver_free(io->resolver);
  if (io->pool)
    fetch_pool_free(io->pool);
  free(io);
}

void io_hold(struct io *io) {
  io->references++;
}

void io_drop(struct io *io) {
  if (--io->references == 0)
    uv_close((uv_handle_t *)&io->idle, io_gone);
}

void io_free(struct io *io) {
  if (io)
    io_drop(io);
}

size_t io_open(const struct io *io) {
  return io->references - 1;
}

const char *io_reason(int code) {
  static _Thread_local char text[160];
  struct rlimit limit;
  if (code == -ENFILE)
    return "this host has as many files open as it may: raise fs.file-max";
  if (code != -EMFILE || getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return uv_strerror(code);
  snprintf(text, sizeof text,
           "this process has as many files open as it may, %llu: raise LimitNOFILE= of its unit, "
           "or ulimit -n",
           (unsigned long long)limit.rlim_cur);
  return text;
}

void later_init(struct later *l, void (*run)(struct later *l)) {
  ring_init(&l->link);
  l->run = run;
}

void later_start(struct io *io, struct later *l) {
  if (!ring_empty(&l->link))
    return;
  ring_append(&io->queue, &l->link);
  if (io->references) /* else `idle` is closing already */
    uv_idle_start(&io->idle, idle_run);
}

void later_stop(struct later *l) {
  ring_remove(&l->link);
}

void timer_start(uv_timer_t *timer, uv_timer_cb over, uint64_t ms) {
  uv_update_time(timer->loop); /* a long turn must not make the deadline early */
  uv_timer_start(timer, over, ms, 0);
}

#include "io/process.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/inside.h"

struct process;

/* output: one of the child's output pipes. */
struct output {
  uv_pipe_t pipe;
  struct process *process;
  struct buf kept;
  bool open;
};

struct process {
  uv_process_t child;
  uv_timer_t timer; /* deadline, then grace, then drain */
  uv_pipe_t in;
  struct output out, err;
  unsigned handles; /* still open */
  struct io *io;
  process_fn done; /* NULL once cancelled */
  void *arg;
  size_t limit;
  int code, signal;
  bool exited, terminated, timed_out, truncated, in_open;
  uv_write_t write;
  struct buf input;
  char scratch[16 * 1024]; /* for output over the limit */
};

static void process_gone(uv_handle_t *handle) {
  struct process *p = handle->data;
  if (--p->handles)
    return;
  struct io *io = p->io;
  buf_free(&p->input);
  buf_free(&p->out.kept);
  buf_free(&p->err.kept);
  free(p);
  io_drop(io);
}

static void output_close(struct output *o) {
  if (o->open)
    uv_close((uv_handle_t *)&o->pipe, process_gone);
  o->open = false;
}

static void input_close(struct process *p) {
  if (p->in_open)
    uv_close((uv_handle_t *)&p->in, process_gone);
  p->in_open = false;
}

static void process_close(struct process *p) {
  input_close(p);
  output_close(&p->out);
  output_close(&p->err);
  uv_close((uv_handle_t *)&p->timer, process_gone);
  uv_close((uv_handle_t *)&p->child, process_gone);
}

/* Over when the child has ended and its output too. */
static void process_settle(struct process *p) {
  if (!p->exited || p->out.open || p->err.open)
    return;
  process_fn done = p->done;
  p->done = NULL;
  if (done) {
    struct process_result result = {
        .code = p->code,
        .signal = p->signal,
        .timed_out = p->timed_out,
        .truncated = p->truncated,
        .out = p->out.kept.data ? p->out.kept.data : "",
        .err = p->err.kept.data ? p->err.kept.data : "",
        .out_length = p->out.kept.length,
        .err_length = p->err.kept.length,
    };
    done(p->arg, &result);
  }
  process_close(p);
}

static void process_tick(uv_timer_t *timer);

static void process_terminate(struct process *p) {
  p->terminated = true;
  kill(-p->child.pid, SIGTERM);
  timer_start(&p->timer, process_tick, PROCESS_GRACE_MS);
}

static void process_tick(uv_timer_t *timer) {
  struct process *p = timer->data;
  if (p->exited) { /* drained long enough: whoever holds the pipes has left the group */
    output_close(&p->out);
    output_close(&p->err);
    process_settle(p);
  } else if (p->terminated) {
    kill(-p->child.pid, SIGKILL);
  } else {
    p->timed_out = true;
    process_terminate(p);
  }
}

static void process_exited(uv_process_t *child, int64_t code, int signal) {
  struct process *p = child->data;
  p->exited = true;
  p->code = (int)code;
  p->signal = signal;
  /* The leader was reaped a moment ago, so its number still names its group, if that has anyone. */
  kill(-child->pid, SIGKILL);
  input_close(p);
  timer_start(&p->timer, process_tick, PROCESS_DRAIN_MS);
  process_settle(p);
}

static void output_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room) {
  struct process *p = handle->data;
  struct output *o = ring_item(handle, struct output, pipe);
  size_t left = p->limit - o->kept.length;
  if (left > sizeof p->scratch)
    left = sizeof p->scratch;
  if (left && p->done && buf_reserve(&o->kept, left) == 0)
    *room = uv_buf_init(o->kept.data + o->kept.length, (unsigned)left);
  else
    *room = uv_buf_init(p->scratch, sizeof p->scratch);
}

static void output_arrived(uv_stream_t *stream, ssize_t n, const uv_buf_t *room) {
  struct process *p = stream->data;
  struct output *o = ring_item(stream, struct output, pipe);
  if (n < 0) {
    output_close(o);
    process_settle(p);
  } else if (n > 0 && room->base == p->scratch) {
    p->truncated = true;
  } else {
    o->kept.length += (size_t)n;
    if (n > 0)
      o->kept.data[o->kept.length] = '\0';
  }
}

static void input_written(uv_write_t *write, int status) {
  struct process *p = write->data;
  input_close(p); /* the child reads its end; that it did not want it all is no error */
}

static void pipe_init(struct process *p, uv_pipe_t *pipe) {
  uv_pipe_init(p->io->loop, pipe, 0);
  pipe->data = p;
  p->handles++;
}

static struct process *process_new(struct io *io, const struct process_options *options,
                                   process_fn done, void *arg) {
  struct process *p = calloc(1, sizeof *p);
  if (!p)
    return NULL;
  buf_add(&p->input, options->input, options->input_length);
  if (p->input.failed) {
    buf_free(&p->input);
    free(p);
    return NULL;
  }
  p->io = io;
  p->done = done;
  p->arg = arg;
  p->limit = options->output_limit ? options->output_limit : PROCESS_OUTPUT;
  pipe_init(p, &p->in);
  pipe_init(p, &p->out.pipe);
  pipe_init(p, &p->err.pipe);
  p->in_open = p->out.open = p->err.open = true;
  uv_timer_init(io->loop, &p->timer);
  p->timer.data = p->child.data = p;
  p->handles += 2;
  io_hold(io);
  return p;
}

int process_start(struct io *io, const struct process_options *options, process_fn done, void *arg,
                  struct process **out) {
  struct process *p = process_new(io, options, done, arg);
  if (!p)
    return -ENOMEM;
  uv_stdio_container_t stdio[3] = {
      {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&p->in},
      {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->out.pipe},
      {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->err.pipe},
  };
  uv_process_options_t spawn = {
      .exit_cb = process_exited,
      .file = options->args[0],
      .args = (char **)options->args,
      .env = (char **)options->env,
      .cwd = options->cwd,
      .flags = UV_PROCESS_DETACHED, /* setsid: a group of its own */
      .stdio = stdio,
      .stdio_count = 3,
  };
  /* Libraries open descriptors without O_CLOEXEC (libcurl's wakeup pair does): mark them all now.
   */
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  int rc = uv_spawn(io->loop, &p->child, &spawn);
  if (rc < 0) {
    p->done = NULL;
    process_close(p);
    return rc;
  }
  uv_read_start((uv_stream_t *)&p->out.pipe, output_room, output_arrived);
  uv_read_start((uv_stream_t *)&p->err.pipe, output_room, output_arrived);
  p->write.data = p;
  uv_buf_t input = uv_buf_init(p->input.data, (unsigned)p->input.length);
  if (p->input.length == 0 ||
      uv_write(&p->write, (uv_stream_t *)&p->in, &input, 1, input_written) < 0)
    input_close(p);
  if (options->timeout_ms)
    timer_start(&p->timer, process_tick, options->timeout_ms);
  *out = p;
  return 0;
}

void process_cancel(struct process *p) {
  p->done = NULL;
  if (!p->exited && !p->terminated)
    process_terminate(p);
}

/* feedback: the processes that count their calls. Each hands the agent its page over
 * RUN_DIR/feedback.sock; the page counts as long as the process lives and holds the connection.
 * While they write, the pages are read every few milliseconds; else nothing runs. Through the same
 * door come wishes: names of services that a process has not found. Control thread only. */
#pragma once

#include <stdint.h>
#include <uv.h>

struct fault;
struct feedback;
struct live;

/* Listens in `run_dir`, whose lock one holds. -ENOMEM, or as the socket's calls say. */
int feedback_new(uv_loop_t *loop, const char *run_dir, struct live *live, struct feedback **out,
                 struct fault *f);
/* Who is told of services that processes look for in vain. */
void feedback_on_wish(struct feedback *f, void (*wished)(void *arg, const char *service),
                      void *arg);
/* Before `live` ends. Memory goes with the loop's close callbacks. NULL is allowed. */
void feedback_free(struct feedback *f);
/* Once a second: meets those whose wake-up was lost. NULL is allowed. */
void feedback_tick(struct feedback *f);

struct feedback_stats {
  uint64_t processes; /* whose pages are read */
  uint64_t refused;   /* that sent something else than a page, or came when there were too many */
};
void feedback_stats(const struct feedback *f, struct feedback_stats *out);

#include "agent/builds.h"

#include <stdlib.h>

struct build {
  uv_work_t request;
  struct set_work *work;
};

static void run(uv_work_t *request) {
  set_work_run(((struct build *)request->data)->work);
}

static void over(uv_work_t *request, int status) {
  struct build *b = request->data;
  set_work_over(b->work);
  free(b);
}

static int begin(void *loop, struct set_work *work) {
  struct build *b = malloc(sizeof *b);
  if (!b)
    return UV_ENOMEM;
  *b = (struct build){.request = {.data = b}, .work = work};
  int rc = uv_queue_work(loop, &b->request, run, over);
  if (rc)
    free(b);
  return rc;
}

void builds_elsewhere(uv_loop_t *loop, struct sets *sets) {
  sets_elsewhere(sets, begin, loop);
}

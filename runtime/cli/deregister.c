#include "cli/api.h"
#include "cli/output.h"

static int run(const struct arguments *a) {
  struct buf path = {0}, answer = {0};
  buf_text(&path, "/v1/agent/service/deregister/");
  api_escape(&path, a->items[0]);
  int status = path.failed ? complain(a, EXIT_FAILED, "out of memory")
                           : api_call(a, "PUT", path.data, NULL, &answer);
  buf_clear(&answer);
  if (!status)
    buf_format(&answer, "deregistered %s\n", a->items[0]);
  output_write(&answer);
  buf_free(&path);
  buf_free(&answer);
  return status;
}

const struct command command_deregister = {
    .name = "deregister",
    .arguments = "ID",
    .summary = "Take an instance back that was registered with the agent",
    .about = "ID is the instance's, not the service's. What the configuration registers is taken "
             "back by changing the configuration.",
    .examples =
        (const struct example[]){
            {"perigee deregister web-127.0.0.1-8080", "no pick names it any more"}, {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "",
    .run = run,
};

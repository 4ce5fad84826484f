#include "cli/api.h"
#include "cli/local.h"
#include "cli/output.h"

#include <errno.h>
#include <string.h>

static int pick_once(const struct arguments *a, struct perigee_service *s,
                     struct perigee_endpoint *e) {
  const char *key = arguments_option(a, "key");
  struct perigee_pick_options options = {.size = sizeof options,
                                         .flags = PERIGEE_NO_REPORT,
                                         .key = key,
                                         .key_length = key ? strlen(key) : 0,
                                         .port = arguments_option(a, "port")};
  int status = perigee_pick(s, &options, e);
  for (int tries = 0; status == -EAGAIN && tries < 100; tries++)
    status = perigee_pick(s, &options, e);
  return status;
}

static int refuse(const struct arguments *a, struct perigee *p, int status) {
  const char *name = a->items[0];
  if (status == -EHOSTUNREACH)
    return complain(a, EXIT_NOTHING, "%s has no endpoint to pick", name);
  if (status == -ENXIO)
    return complain(a, EXIT_NOTHING, "%s has no port named \"%s\"", name,
                    arguments_option(a, "port"));
  if (status != -ENOENT)
    return complain(a, EXIT_FAILED, "cannot pick from %s: %s", name, strerror(-status));
  return local_no_service(a, p, name);
}

/* The first pick. Of a service that nobody has asked for yet an agent that runs may begin a watch,
 * and answers when that has loaded. */
static int pick_first(const struct arguments *a, struct perigee_service *s,
                      struct perigee_endpoint *e) {
  int status = pick_once(a, s, e);
  if (status != -ENOENT)
    return status;
  struct buf path = {0};
  buf_text(&path, "/v1/pick/");
  api_escape(&path, a->items[0]);
  if (!path.failed && api_mention(a, path.data))
    status = pick_once(a, s, e);
  buf_free(&path);
  return status;
}

static int pick_all(const struct arguments *a, struct perigee *p, struct perigee_service *s,
                    long count) {
  struct buf out = {0};
  struct perigee_endpoint e;
  int status = 0;
  for (long i = 0; i < count && !status; i++) {
    status = i == 0 ? pick_first(a, s, &e) : pick_once(a, s, &e);
    if (status)
      break;
    if (arguments_flag(a, "json"))
      local_write_json(s, a->items[0], &e, &out);
    else
      local_write_address(&e, &out);
    buf_char(&out, '\n');
    if (out.length > 60000)
      output_write(&out);
  }
  output_write(&out);
  buf_free(&out);
  return status ? refuse(a, p, status) : EXIT_DONE;
}

static int run(const struct arguments *a) {
  struct perigee *p;
  struct perigee_service *s;
  long count;
  int status = arguments_number(a, "count", 1, 1000000000, 1, &count);
  if (!status)
    status = local_open(a, &p);
  if (status)
    return status;
  status = local_service_open(a, p, a->items[0], &s);
  if (!status) {
    status = pick_all(a, p, s, count);
    perigee_service_close(s);
  }
  perigee_close(p);
  return status;
}

const struct command command_pick = {
    .name = "pick",
    .arguments = "SERVICE",
    .summary = "Print the endpoint to use next, as ADDRESS:PORT",
    .about = "Reads shared memory, as a program that links libperigee does: it works, and goes on "
             "working, while the agent is stopped. Of a service that is not known yet an agent "
             "that runs is asked, which may watch it from then on (`resolve`). Where a plugin "
             "picks, only the agent's own answers ask it (GET /v1/pick/SERVICE): here its standin "
             "picks. An IPv6 address is printed as [ADDRESS]:PORT, a unix socket as unix:PATH.",
    .options =
        (const struct option[]){
            {"key", 'k', "KEY", "for balancers that hash: the same key, the same endpoint", false},
            {"count", 'n', "N", "pick N times, one a line", false},
            {"port", 'p', "NAME", "the port of that name instead of the default one", false},
            {0}},
    .examples = (const struct example[]){{"curl http://$(perigee pick web)/",
                                          "ask the next instance of web"},
                                         {"perigee pick web --json", "with id, version and tags"},
                                         {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "services",
    .json = true,
    .nothing = true,
    .run = run,
};

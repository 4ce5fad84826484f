/* drain: asks the agent to take instances out of the world, and waits until that has happened. */
#include "base/clock.h"
#include "cli/api.h"
#include "cli/output.h"
#include "cli/reply.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000000)
static const int64_t look_ns = SECOND / 10;

static void rest(int64_t ns) {
  struct timespec left = {ns / SECOND, ns % SECOND};
  while (nanosleep(&left, &left) != 0 && errno == EINTR)
    ;
}

/* Asks once more who is still there: 0 with their number, and their names; or an exit code. */
static int look(const struct arguments *a, const struct buf *body, size_t *left,
                struct buf *names) {
  struct buf answer = {0};
  int status = api_call(a, "POST", "/v1/operate/drained", body, &answer);
  json_t *json = json_loadb(answer.data ? answer.data : "", answer.length, 0, NULL);
  const json_t *one, *registry;
  size_t i, k;
  *left = 0;
  buf_clear(names);
  json_array_foreach(json_object_get(json, "instances"), i, one) {
    const json_t *registries = json_object_get(one, "registries");
    if (!reply_flag(one, "picked") && json_array_size(registries) == 0)
      continue;
    buf_format(names, "%s%s", (*left)++ ? ", " : "", reply_text(one, "id"));
    json_array_foreach(registries, k, registry)
        buf_format(names, "%s%s", k ? " and " : " in ", json_string_value(registry));
  }
  json_decref(json);
  buf_free(&answer);
  return status;
}

static int wait_until_gone(const struct arguments *a, const struct buf *body, int64_t within) {
  struct buf names = {0};
  int64_t until = clock_now_ns() + within;
  size_t left;
  int status = look(a, body, &left, &names);
  while (!status && left && clock_now_ns() < until) {
    rest(look_ns);
    status = look(a, body, &left, &names);
  }
  if (!status && left)
    status = complain(a, EXIT_FAILED,
                      "not gone in time: %s. The agent goes on trying; what is left in a registry "
                      "ends with its lease",
                      names.data);
  buf_free(&names);
  return status;
}

static void write_body(const struct arguments *a, struct buf *body) {
  const char *id = arguments_option(a, "id");
  buf_text(body, "{\"service\":");
  buf_json_text(body, a->items[0]);
  if (id) {
    buf_text(body, ",\"id\":");
    buf_json_text(body, id);
  }
  buf_text(body, arguments_flag(a, "off") ? ",\"off\":true}" : "}");
}

static int begin(const struct arguments *a, const struct buf *body) {
  struct buf answer = {0};
  int status = api_call(a, "POST", "/v1/operate/drain", body, &answer);
  json_t *json = json_loadb(answer.data ? answer.data : "", answer.length, 0, NULL);
  if (!status)
    reply_mention_unkept(a, json);
  json_decref(json);
  buf_free(&answer);
  return status;
}

static int run(const struct arguments *a) {
  int64_t wait = 5 * SECOND, within = 30 * SECOND;
  bool off = arguments_flag(a, "off");
  if (off && (arguments_option(a, "wait") || arguments_option(a, "within")))
    return complain(a, EXIT_USAGE, "--off lets it back: no --wait or --within with it");
  if (arguments_duration(a, "wait", &wait) || arguments_duration(a, "within", &within))
    return EXIT_USAGE;
  struct buf body = {0}, out = {0};
  write_body(a, &body);
  int status = begin(a, &body);
  if (!status && !off)
    status = wait_until_gone(a, &body, within);
  if (!status && !off)
    rest(wait);
  if (!status)
    buf_format(&out, off ? "%s takes part again\n" : "%s is drained\n", a->items[0]);
  output_write(&out);
  buf_free(&body);
  buf_free(&out);
  return status;
}

static const struct option options[] = {
    {"id", 0, "ID", "this instance alone (default: all of the service that are registered here)",
     false},
    {"wait", 0, "T", "once it is gone, for what others have picked already (default: 5s)", false},
    {"within", 0, "T", "how long the registries may take (default: 30s)", false},
    {"off", 0, NULL, "let it take part again", false},
    {0},
};

const struct command command_drain = {
    .name = "drain",
    .arguments = "SERVICE",
    .summary = "Take a service of this host out of use before it stops",
    .about = "Its instances that are registered with this agent are deregistered everywhere, and "
             "picked no more on\nthis host. The command ends when the registries have done so, and "
             "some seconds later, in which\ncalls that were begun come to an end: then the service "
             "may be stopped. It stays drained until --off,\nor until it is registered no more; "
             "checks go on, and it outlives the agent's restarts.",
    .options = options,
    .examples =
        (const struct example[]){
            {"perigee drain web", "before web is stopped: as a preStop hook, or ExecStop="},
            {"perigee drain web --off", "when it has been started again"},
            {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "services",
    .run = run,
};
